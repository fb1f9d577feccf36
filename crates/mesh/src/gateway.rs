//! Listeners and routes of a gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use api::Bind;
use api::tls::ServerTlsMode;
use api::virtual_service::GatewayRef;
use base::{Address, Host, Protocol};

use crate::cluster::sni_name;
use crate::server::{self, Kind, Place, Served};
use crate::service::Resolution;
use crate::site::Site;
use crate::slice::{
    Arrival, Chain, ChainMatch, Http, Listener, Route, RouteSlice, RouteSource, Side, Sniffing, Tcp,
    Terminal, VirtualHost,
};
use crate::tcp::destined;
use crate::vantage::{Vantage, takes_everything};
use crate::virtual_service::Bound;
use crate::{policy, server_tls};

/// What TLS clients of the mesh offer; nobody else's connections are passed on by Istio's server names.
const MESH_PROTOCOLS: [&str; 5] =
    ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

/// Every listener of a gateway and the routes they ask for by name.
pub(crate) fn listeners(site: Site<'_>) -> (Vec<Arc<Listener>>, Vec<RouteSlice>) {
    let mut listeners = Vec::new();
    let mut routes = Vec::new();
    let services = || site.scope.services.iter().map(|import| &import.service);
    let resolves_names = services().any(|service| service.resolution == Resolution::DnsOfClient);
    let keeps_sessions = services().any(|service| service.session.is_some());
    let bindings = Bindings::new(site);
    for (place, servers) in server::places(site.state, site.proxy) {
        let bindings = &bindings;
        let (chains, table) = (Vec::new(), Vec::new());
        let mut draft =
            Draft { site, bindings, place, resolves_names, keeps_sessions, chains, routes: table };
        match servers.first().map(Served::kind) {
            Some(Kind::Http) => draft.http(&servers),
            Some(Kind::Tcp) => servers.iter().for_each(|served| draft.tcp(served)),
            Some(Kind::Tls) => servers.iter().for_each(|served| draft.tls(served, &servers)),
            None => {}
        }
        draft.part_names();
        // A port that nothing is routed from stays closed.
        if draft.chains.is_empty() {
            continue;
        }
        routes.append(&mut draft.routes);
        listeners.push(Arc::new(draft.listener(&servers)));
    }
    (listeners, routes)
}

/// A listener in the making.
struct Draft<'a> {
    site: Site<'a>,
    bindings: &'a Bindings<'a>,
    place: Place,
    /// Whether requests may lead to hosts that are resolved when they are asked for.
    resolves_names: bool,
    /// Whether requests may lead to a service that keeps sessions.
    keeps_sessions: bool,
    chains: Vec<Chain>,
    routes: Vec<RouteSlice>,
}

impl Draft<'_> {
    fn name(&self) -> String {
        let named = self.place.bind.as_ref().map_or_else(|| "0.0.0.0".to_owned(), Bind::to_string);
        format!("{named}_{}", self.place.port)
    }

    /// Requests without TLS: one chain, one table of routes for every server.
    fn http(&mut self, servers: &[Served<'_>]) {
        let name = match &self.place.bind {
            Some(bind) => format!("http.{}.{bind}", self.place.port),
            None => format!("http.{}", self.place.port),
        };
        self.routes.push(self.table(&name, self.hosts(servers, self.place.port)));
        let terminal = self.manager(&name, String::new());
        self.chains.push(Chain {
            name: String::new(),
            condition: ChainMatch::default(),
            tls: None,
            terminal,
            origin: servers.first().map(origin),
        });
    }

    fn manager(&self, routes: &str, stat_prefix: String) -> Terminal {
        let usual = || format!("outbound_{}", self.name());
        Terminal::Http(Http {
            routes: RouteSource::Dynamic(routes.to_owned()),
            stat_prefix: if stat_prefix.is_empty() { usual() } else { stat_prefix },
            forwards_by_dns: self.resolves_names,
            keeps_sessions: self.keeps_sessions,
            takes_tunnels: false,
        })
    }

    /// Bytes without TLS: to where the first VirtualService for them leads.
    fn tcp(&mut self, served: &Served<'_>) {
        let terminal = self.vantage(served, first_tcp);
        self.chains.extend(terminal.map(|(tcp, origin)| Chain {
            name: String::new(),
            condition: ChainMatch::default(),
            tls: None,
            terminal: Terminal::Tcp(tcp),
            origin: Some(origin),
        }));
    }

    fn tls(&mut self, served: &Served<'_>, all: &[Served<'_>]) {
        let Some(mode) = served.mode() else { return };
        if mode == ServerTlsMode::AutoPassthrough {
            self.by_name(served);
        } else if served.ends_https() {
            self.https(served, all);
        } else {
            self.streams(served, mode);
        }
    }

    /// Requests inside TLS that ends here: each server has a certificate and a table of its own.
    fn https(&mut self, served: &Served<'_>, all: &[Served<'_>]) {
        let name = served.https_routes(self.place.bind.as_ref());
        let number = served.server.port.number;
        let mut hosts = self.hosts(std::slice::from_ref(served), number);
        refuse_misdirected(&mut hosts, served, all);
        self.routes.push(self.table(&name, hosts));
        let terminal = self.manager(&name, served.server.name.clone());
        self.chains.push(Chain {
            name: String::new(),
            condition: names(served.server_names()),
            tls: server_tls::of(served.server),
            terminal,
            origin: Some(origin(served)),
        });
    }

    /// Bytes inside TLS, which ends here or at their destination, by the names that `tls` routes are for; and,
    /// where it ends here, whatever else comes under the server's own names by `tcp`.
    fn streams(&mut self, served: &Served<'_>, mode: ServerTlsMode) {
        let tls = if mode.terminates() { server_tls::of(served.server) } else { None };
        let mut chains = Vec::new();
        self.for_each_bound(served, |vantage, bound| {
            for (index, route) in bound.config.tls.iter().enumerate() {
                let matches = route.matches.iter().enumerate();
                for (at, condition) in matches.filter(|(_, m)| vantage.admits(&m.connection)) {
                    let path = format!("tls[{index}].match[{at}]");
                    let mut asked: Vec<String> =
                        condition.sni_hosts.iter().map(|host| host.as_str().to_owned()).collect();
                    if asked.iter().any(|name| name == "*") {
                        asked.clear();
                    }
                    chains.push(Chain {
                        name: String::new(),
                        condition: names(asked),
                        tls: tls.clone(),
                        terminal: Terminal::Tcp(destined(vantage, bound, &route.route)),
                        origin: Some(bound.config.origin().at(path)),
                    });
                }
            }
        });
        if mode.terminates()
            && let Some((tcp, origin)) = self.vantage(served, first_tcp)
        {
            chains.push(Chain {
                name: String::new(),
                condition: names(served.server_names()),
                tls,
                terminal: Terminal::Tcp(tcp),
                origin: Some(origin),
            });
        }
        self.chains.append(&mut chains);
    }

    /// TLS of the mesh's own clients, passed on to the service whose port they ask for by name.
    fn by_name(&mut self, served: &Served<'_>) {
        let Site { state, proxy, scope } = self.site;
        for import in scope.services.iter() {
            let service = &import.service;
            if service.is_external || !server::exposes(served, &service.host) {
                continue;
            }
            let rule = policy::rule(state, proxy, service);
            let subsets = rule.into_iter().flat_map(|rule| rule.subsets.iter().map(|s| s.name.as_str()));
            let parts: Vec<&str> = std::iter::once("").chain(subsets).collect();
            for port in import.ports().filter(|port| port.protocol != Protocol::Udp) {
                for subset in &parts {
                    let cluster = sni_name(port.number, subset, &service.host);
                    self.chains.push(Chain {
                        name: String::new(),
                        condition: ChainMatch {
                            server_names: vec![cluster.clone()],
                            offers: MESH_PROTOCOLS.map(str::to_owned).into(),
                            ..ChainMatch::default()
                        },
                        tls: None,
                        terminal: Terminal::Tcp(Tcp::to(cluster)),
                        origin: Some(origin(served)),
                    });
                }
            }
        }
    }

    /// The routes of some servers: per host those of every VirtualService bound to one of them, the oldest first.
    fn hosts(&self, servers: &[Served<'_>], place: u16) -> Vec<VirtualHost> {
        let Site { state, proxy, .. } = self.site;
        let mut hosts: BTreeMap<Host, Exposed<'_>> = BTreeMap::new();
        for served in servers {
            let gateway = served.reference();
            let port = served.server.port.number;
            if served.server.redirects {
                // A host is redirected whether or not anything is routed there.
                for exposed in &served.server.hosts {
                    hosts.entry(exposed.host.clone()).or_insert_with(|| Exposed::new(port)).redirects = true;
                }
            }
            let is_tls = served.ends_https();
            let vantage = Vantage { state, proxy, gateway: &gateway, port, is_tls };
            for bound in self.bindings.of(served) {
                let shared = served.shared_hosts(bound);
                if shared.is_empty() {
                    continue;
                }
                let routes = vantage.routes(bound);
                if !routes.is_empty() {
                    add(&mut hosts, shared, served, bound, &routes);
                }
            }
        }
        let mut virtual_hosts: Vec<VirtualHost> =
            hosts.into_iter().map(|(host, exposed)| exposed.finish(&host)).collect();
        if virtual_hosts.is_empty() {
            virtual_hosts.push(black_hole(place));
        }
        virtual_hosts
    }

    fn table(&self, name: &str, hosts: Vec<VirtualHost>) -> RouteSlice {
        let retries = self.site.state.settings.requests.retries.clone();
        RouteSlice::new(name, Side::Gateway, true, hosts).with_retries(retries)
    }

    /// Calls for each VirtualService that is bound to a server and has a host in common with it, oldest first.
    fn for_each_bound(&self, served: &Served<'_>, mut call: impl FnMut(&Vantage<'_>, &Arc<Bound>)) {
        let Site { state, proxy, .. } = self.site;
        let gateway = served.reference();
        let port = served.server.port.number;
        let vantage = Vantage { state, proxy, gateway: &gateway, port, is_tls: served.ends_https() };
        for bound in self.bindings.of(served) {
            if !served.shared_hosts(bound).is_empty() {
                call(&vantage, bound);
            }
        }
    }

    /// The first thing that one of them gives.
    fn vantage<T>(
        &self,
        served: &Served<'_>,
        mut find: impl FnMut(&Vantage<'_>, &Arc<Bound>) -> Option<T>,
    ) -> Option<T> {
        let mut found = None;
        self.for_each_bound(served, |vantage, bound| {
            if found.is_none() {
                found = find(vantage, bound);
            }
        });
        found
    }

    /// Lets no server name occur twice: the older chain keeps it. A proxy takes no listener with two chains for
    /// one name.
    fn part_names(&mut self) {
        let mut seen: BTreeSet<(Option<String>, Vec<String>)> = BTreeSet::new();
        self.chains.retain_mut(|chain| {
            let offers = chain.condition.offers.clone();
            if chain.condition.server_names.is_empty() {
                return seen.insert((None, offers));
            }
            chain.condition.server_names.retain(|name| seen.insert((Some(name.clone()), offers.clone())));
            !chain.condition.server_names.is_empty()
        });
    }

    fn listener(self, servers: &[Served<'_>]) -> Listener {
        let port = self.place.port;
        Listener {
            name: self.name(),
            address: match &self.place.bind {
                Some(Bind::Pipe(path)) => Address::Pipe(Arc::clone(path)),
                Some(Bind::Ip(ip)) => SocketAddr::new(*ip, port).into(),
                None => SocketAddr::new(self.site.proxy.gateway_bind, port).into(),
            },
            additional: Vec::new(),
            arrival: Arrival::Bound,
            manner: self.site.manner(),
            side: Side::Gateway,
            sniffs_http: Sniffing::Off,
            chains: self.chains,
            default_chain: None,
            origin: servers.first().map(origin),
        }
    }
}

fn origin(served: &Served<'_>) -> base::Origin {
    served.gateway.origin().at(format!("servers[{}]", served.index))
}

fn names(server_names: Vec<String>) -> ChainMatch {
    ChainMatch { server_names, ..ChainMatch::default() }
}

/// The VirtualServices that a gateway sees, by the Gateway they are bound to, the oldest first.
struct Bindings<'a>(BTreeMap<&'a GatewayRef, Vec<&'a Arc<Bound>>>);

impl<'a> Bindings<'a> {
    fn new(site: Site<'a>) -> Self {
        let mut bindings: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let namespace = &site.proxy.namespace;
        for bound in site.state.virtual_services.iter().filter(|bound| bound.distance(namespace).is_some()) {
            for gateway in &bound.config.gateways {
                bindings.entry(gateway).or_default().push(bound);
            }
        }
        Self(bindings)
    }

    fn of(&self, served: &Served<'_>) -> impl Iterator<Item = &'a Arc<Bound>> {
        self.0.get(&served.reference()).into_iter().flatten().copied()
    }
}

/// Where the first `tcp` route of a VirtualService leads that a connection here can take.
fn first_tcp(vantage: &Vantage<'_>, bound: &Arc<Bound>) -> Option<(Tcp, base::Origin)> {
    let routes = bound.config.tcp.iter().enumerate();
    let mut admitted = routes.filter(|(_, route)| {
        route.matches.is_empty() || route.matches.iter().any(|condition| vantage.admits(condition))
    });
    let (index, route) = admitted.next()?;
    Some((destined(vantage, bound, &route.route), bound.config.origin().at(format!("tcp[{index}]"))))
}

/// A virtual host in the making.
struct Exposed<'a> {
    port: u16,
    redirects: bool,
    routes: Vec<Route>,
    from: Vec<&'a Arc<Bound>>,
}

fn add<'a>(
    hosts: &mut BTreeMap<Host, Exposed<'a>>,
    shared: BTreeSet<Host>,
    served: &Served<'_>,
    bound: &'a Arc<Bound>,
    routes: &[Route],
) {
    for host in shared {
        let known = hosts.entry(host).or_insert_with(|| Exposed::new(served.server.port.number));
        known.redirects |= served.server.redirects;
        if !known.from.iter().any(|from| Arc::ptr_eq(from, bound)) {
            known.routes.extend(routes.iter().cloned());
            known.from.push(bound);
        }
    }
}

impl Exposed<'_> {
    fn new(port: u16) -> Self {
        Self { port, redirects: false, routes: Vec::new(), from: Vec::new() }
    }

    fn finish(mut self, host: &Host) -> VirtualHost {
        if self.from.len() > 1 {
            // What takes everything would hide the routes of a younger VirtualService.
            self.routes.sort_by_key(|route| matches!(route, Route::Rule(rule) if takes_everything(rule)));
        }
        VirtualHost {
            redirects: self.redirects,
            ..VirtualHost::new(format!("{host}:{}", self.port), vec![host.to_string()], self.routes)
        }
    }
}

/// Refuses requests for hosts of other servers of the port, which a client may send by a connection it has already:
/// they would be served past the certificate, and the client certificates, of the server they are for.
fn refuse_misdirected(hosts: &mut Vec<VirtualHost>, served: &Served<'_>, all: &[Served<'_>]) {
    let own: BTreeSet<&Host> = served.server.hosts.iter().map(|exposed| &exposed.host).collect();
    let others = all.iter().flat_map(|other| &other.server.hosts).map(|exposed| &exposed.host);
    for host in others.filter(|host| !own.contains(host)).collect::<BTreeSet<_>>() {
        let domains = vec![host.to_string()];
        let refusal = VirtualHost::new(format!("misdirected:{host}"), domains, vec![Route::Misdirected]);
        match hosts.iter_mut().find(|known| known.domains == refusal.domains) {
            Some(known) => *known = refusal,
            None => hosts.push(refusal),
        }
    }
}

fn black_hole(port: u16) -> VirtualHost {
    VirtualHost::new(format!("blackhole:{port}"), vec!["*".into()], Vec::new())
}

#[cfg(test)]
mod tests;
