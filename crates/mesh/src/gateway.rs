//! Listeners and routes of a gateway: the servers of all Gateways that select it, merged port by port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::gateway::{Server, ServerHost};
use api::virtual_service::GatewayRef;
use api::{Gateway, Valid};
use base::Host;

use crate::proxy::Proxy;
use crate::slice::{
    Arrival, Chain, ChainMatch, Http, Listener, Route, RouteSlice, RouteSource, Side, Sniffing, Terminal,
    VirtualHost,
};
use crate::snapshot::{Own, State};
use crate::virtual_service::{Bound, Vantage, takes_everything};

/// Istio's annotation that binds a Gateway to services instead of a selector.
const SERVICE_ANNOTATION: &str = "internal.istio.io/gateway-service";

/// Istio's label by which a service does not translate the ports of Gateways.
const NO_TRANSLATION_LABEL: &str = "experimental.istio.io/disable-gateway-port-translation";

/// Every listener of a gateway and the routes they ask for by name.
pub(crate) fn listeners(state: &State, proxy: &Proxy) -> (Vec<Arc<Listener>>, Vec<RouteSlice>) {
    let mut listeners = Vec::new();
    let mut routes = Vec::new();
    for (place, servers) in places(state, proxy) {
        // Only HTTP servers have routes to offer; a port that belongs to another protocol stays closed.
        if !servers.first().is_some_and(Served::is_http) {
            continue;
        }
        let table = table(state, proxy, place, &servers);
        listeners.push(Arc::new(listener(proxy, place, &servers, &table.name)));
        routes.push(table);
    }
    (listeners, routes)
}

/// An address and port to listen on; None is where this proxy usually binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    port: u16,
    bind: Option<IpAddr>,
}

/// A server of a Gateway.
struct Served<'a> {
    gateway: &'a Valid<Gateway>,
    index: usize,
    server: &'a Server,
}

impl Served<'_> {
    fn is_http(&self) -> bool {
        self.server.port.protocol.is_http()
    }
}

/// The servers this proxy is to offer, by where it listens. The first server of a place decides its protocol.
fn places<'a>(state: &'a State, proxy: &Proxy) -> BTreeMap<Place, Vec<Served<'a>>> {
    let own = state.own(proxy);
    let mut places: BTreeMap<Place, Vec<Served<'a>>> = BTreeMap::new();
    for gateway in &state.gateways {
        for (index, server) in gateway.servers.iter().enumerate() {
            for port in ports(gateway, server.port.number, proxy, &own) {
                if !proxy.may_bind(port) {
                    continue;
                }
                let served = Served { gateway, index, server };
                let here = places.entry(Place { port, bind: server.bind }).or_default();
                if here.first().is_none_or(|first| first.is_http() == served.is_http()) {
                    here.push(served);
                }
            }
        }
    }
    places
}

/// The ports a proxy listens on for a Gateway's port: the target ports of the services that lead to it, else
/// the port itself.
fn ports(gateway: &Valid<Gateway>, number: u16, proxy: &Proxy, own: &[Own]) -> BTreeSet<u16> {
    let meta = gateway.meta();
    if let Some(services) = meta.annotations.get(SERVICE_ANNOTATION) {
        let named: Vec<Host> = services.split(',').map(|host| Host::new(host.trim())).collect();
        return own
            .iter()
            .filter(|own| named.contains(&own.service.host) && own.service.name.namespace == *meta.namespace)
            .filter(|own| own.port.number == number)
            .map(|own| own.target)
            .collect();
    }
    if !gateway.selector.selects(&proxy.labels) {
        return BTreeSet::new();
    }
    let translated = own
        .iter()
        .filter(|own| own.port.number == number && own.service.labels.value(NO_TRANSLATION_LABEL).is_none())
        .map(|own| own.target)
        .min();
    BTreeSet::from([translated.unwrap_or(number)])
}

fn listener(proxy: &Proxy, place: Place, servers: &[Served<'_>], routes: &str) -> Listener {
    let named = place.bind.map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string());
    let name = format!("{named}_{}", place.port);
    let origin =
        servers.first().map(|served| served.gateway.origin().at(format!("servers[{}]", served.index)));
    Listener {
        address: SocketAddr::new(place.bind.unwrap_or(proxy.gateway_bind), place.port),
        additional: Vec::new(),
        arrival: Arrival::Bound,
        side: Side::Gateway,
        sniffs_http: Sniffing::Off,
        chains: vec![Chain {
            name: String::new(),
            condition: ChainMatch::default(),
            terminal: Terminal::Http(Http {
                routes: RouteSource::Dynamic(routes.to_owned()),
                stat_prefix: format!("outbound_{name}"),
                forwards_by_dns: false,
            }),
            origin: origin.clone(),
        }],
        default_chain: None,
        origin,
        name,
    }
}

/// A virtual host in the making.
struct Exposed<'a> {
    port: u16,
    redirects: bool,
    routes: Vec<Route>,
    from: Vec<&'a Arc<Bound>>,
}

/// The routes of one place: per host those of every VirtualService bound to a server there, the oldest first.
fn table(state: &State, proxy: &Proxy, place: Place, servers: &[Served<'_>]) -> RouteSlice {
    let mut hosts: BTreeMap<Host, Exposed<'_>> = BTreeMap::new();
    for served in servers {
        let meta = served.gateway.meta();
        let gateway =
            GatewayRef::Named { namespace: meta.namespace.to_string(), name: meta.name.to_string() };
        let port = served.server.port.number;
        let redirects = served.server.redirects;
        if redirects {
            // A host is redirected whether or not anything is routed there.
            for exposed in &served.server.hosts {
                hosts.entry(exposed.host.clone()).or_insert_with(|| Exposed::new(port)).redirects = true;
            }
        }
        let vantage = Vantage { state, proxy, gateway: &gateway, port };
        for bound in state.virtual_services.iter().filter(|bound| bound.config.gateways.contains(&gateway)) {
            let shared = shared_hosts(&served.server.hosts, bound);
            if shared.is_empty() {
                continue;
            }
            let routes = vantage.routes(bound);
            if !routes.is_empty() {
                add(&mut hosts, shared, served, bound, &routes);
            }
        }
    }
    let name = match place.bind {
        Some(ip) => format!("http.{}.{ip}", place.port),
        None => format!("http.{}", place.port),
    };
    let mut virtual_hosts: Vec<VirtualHost> =
        hosts.into_iter().map(|(host, exposed)| exposed.finish(&host)).collect();
    if virtual_hosts.is_empty() {
        virtual_hosts.push(black_hole(place.port));
    }
    RouteSlice::new(&name, Side::Gateway, true, virtual_hosts)
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
            name: format!("{host}:{}", self.port),
            domains: vec![host.to_string()],
            redirects: self.redirects,
            routes: self.routes,
        }
    }
}

/// The hosts that a server exposes and a VirtualService routes: of two that overlap the narrower.
fn shared_hosts(exposed: &[ServerHost], bound: &Bound) -> BTreeSet<Host> {
    let namespace = &bound.config.meta().namespace;
    let mut shared = BTreeSet::new();
    for server in exposed.iter().filter(|host| host.namespace.as_ref().is_none_or(|n| **n == **namespace)) {
        for host in &bound.hosts {
            if server.host.covers(host) {
                shared.insert(host.clone());
            } else if host.covers(&server.host) {
                shared.insert(server.host.clone());
            }
        }
    }
    shared
}

fn black_hole(port: u16) -> VirtualHost {
    VirtualHost::new(format!("blackhole:{port}"), vec!["*".into()], Vec::new())
}
