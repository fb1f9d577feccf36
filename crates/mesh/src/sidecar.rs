//! Listeners and routes of a sidecar's outbound side: shared ones chosen by host, and one per address of a service.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::Bind;
use api::service::TargetPort;
use api::sidecar::{CaptureMode, OutboundMode};
use base::{Address, Protocol};

use crate::cluster::BLACK_HOLE;
use crate::entry::{At, Entries, Entry, Opening, Place};
use crate::exit::Exit;
use crate::outbound;
use crate::port::Port;
use crate::scope::{Egress, Import};
use crate::service::{Resolution, Service};
use crate::site::Site;
use crate::slice::{
    Arrival, Chain, ChainMatch, Http, Listener, Network, RouteSlice, RouteSource, Side, Sniffing, Tcp,
    Terminal,
};
use crate::tcp::{self, Entrance};
use crate::unknown;

/// Route configurations by name.
pub(crate) type Routes = BTreeMap<String, Arc<RouteSlice>>;

/// Every outbound listener of a sidecar and the routes they ask for by name.
pub(crate) fn listeners(site: Site<'_>) -> (Vec<Arc<Listener>>, Routes) {
    let mut opener = Opener { site, entries: Entries::default(), wanted: BTreeMap::new() };
    for egress in &site.scope.egress {
        opener.open(egress);
    }
    let Opener { entries, mut wanted, .. } = opener;
    let mut listeners = Vec::new();
    if site.is_captured() {
        listeners.push(dispatcher(site));
    }
    let proxy = http_proxy(site);
    for (place, entry) in entries.finish() {
        let listener = listener(site, &place, entry);
        // The HTTP proxy has this port, and leads to the same services.
        if proxy.as_ref().is_none_or(|proxy| proxy.address != listener.address) {
            listeners.push(listener);
        }
    }
    if let Some(proxy) = proxy {
        wanted.insert(outbound::HTTP_PROXY.to_owned(), Wanted::HttpProxy);
        listeners.push(proxy);
    }
    let chains = listeners.iter().flat_map(|listener| listener.chains.iter().chain(&listener.default_chain));
    let names = chains.filter_map(asked_for);
    let routes =
        names.filter_map(|name| Some((name.to_owned(), Arc::new(wanted.get(name)?.route(site, name)?))));
    let routes = routes.collect();
    (listeners.into_iter().map(Arc::new).collect(), routes)
}

/// The routes that a chain asks for by name.
fn asked_for(chain: &Chain) -> Option<&str> {
    match &chain.terminal {
        Terminal::Http(Http { routes: RouteSource::Dynamic(name), .. }) => Some(name),
        _ => None,
    }
}

/// What a route configuration is about.
enum Wanted {
    /// Every service of every egress listener.
    HttpProxy,
    /// Every service of the egress listener at a port, at any port of its own.
    Everything(u16),
    /// Every service that has a port.
    Port(u16),
    /// Every service of the egress listener at a Unix socket.
    Pipe(Arc<str>),
    /// One service's port.
    Service(Arc<Service>, u16),
}

impl Wanted {
    fn route(&self, site: Site<'_>, name: &str) -> Option<RouteSlice> {
        let exit = |port| Exit::at_port(site, port);
        Some(match self {
            Self::HttpProxy => outbound::of_http_proxy(site),
            Self::Everything(port) => exit(*port)?.of_everything(name),
            Self::Pipe(path) => Exit { site, egress: site.scope.at_pipe(path)? }.of_everything(name),
            Self::Port(port) => exit(*port)?.of_port(*port),
            Self::Service(service, port) => exit(*port)?.of_service(service, *port),
        })
    }
}

/// Opens listeners for services.
struct Opener<'a> {
    site: Site<'a>,
    entries: Entries,
    wanted: BTreeMap<String, Wanted>,
}

/// Where one egress listener listens.
#[derive(Clone)]
struct Binding {
    /// None is where each service has its addresses.
    at: Option<Bind>,
    is_bound: bool,
}

impl<'a> Opener<'a> {
    fn open(&mut self, egress: &'a Egress) {
        let written = self.site.scope.listener(egress);
        let binding = self.binding(egress);
        if let Some(port) = written.and_then(|written| written.port.as_ref()) {
            let port = Port {
                number: port.number,
                name: port.name.clone(),
                protocol: port.protocol,
                target: TargetPort::Number(port.number),
            };
            for import in egress.services.iter() {
                let port = Port { number: meant(&port, import), ..port.clone() };
                self.open_port(Exit { site: self.site, egress }, &binding, import, &port);
            }
            return;
        }
        // A place that an egress listener names belongs to its services alone.
        self.entries.lock();
        for import in egress.services.iter() {
            for port in import.ports() {
                self.open_port(Exit { site: self.site, egress }, &binding, import, port);
            }
        }
    }

    fn binding(&self, egress: &Egress) -> Binding {
        let written = self.site.scope.listener(egress);
        // Nothing is redirected to a Unix socket.
        let is_told = |listener: &api::sidecar::Egress| {
            listener.capture_mode == CaptureMode::None || matches!(listener.bind, Some(Bind::Pipe(_)))
        };
        let is_bound = !self.site.is_captured() || written.is_some_and(is_told);
        // Of a service's own addresses those of a local mesh can be bound.
        let loopback = is_bound && self.site.proxy.local.is_none();
        let at = written.and_then(|written| written.bind.clone());
        Binding { at: at.or(loopback.then_some(self.site.loopback().into())), is_bound }
    }

    fn open_port(&mut self, exit: Exit<'_>, binding: &Binding, import: &Import, port: &Port) {
        if port.protocol == Protocol::Udp || !self.may_listen(binding, port) {
            return;
        }
        let service = &import.service;
        let ips = match &binding.at {
            Some(_) => Vec::new(),
            None => self.site.state.virtual_ips(service, self.site.proxy),
        };
        if port.protocol.is_http() {
            let additional = if self.site.proxy.local.is_some() { ips } else { Vec::new() };
            self.open_shared(binding, port, additional);
            return;
        }
        if port.protocol == Protocol::Auto && self.site.proxy.local.is_some() && !ips.is_empty() {
            // Where every host has to be asked for by name, the shared listener knows this one too.
            self.open_shared(binding, port, Vec::new());
        }
        for (at, network) in self.places(binding, import, port, &ips) {
            self.open_own(exit, Spot { at, network, is_bound: binding.is_bound }, import, port);
        }
    }

    fn may_listen(&self, binding: &Binding, port: &Port) -> bool {
        if binding.is_bound {
            // A Unix socket asks no privilege, whatever port is meant by it.
            let is_pipe = matches!(binding.at, Some(Bind::Pipe(_)));
            return is_pipe || self.site.proxy.may_bind(port.number);
        }
        // Where captured connections arrive, nothing else is listened for at every address.
        let settings = &self.site.state.settings;
        let is_reserved = [settings.outbound_port, settings.inbound_port].contains(&port.number);
        binding.at.is_some() || !port.protocol.is_http() || !is_reserved
    }

    /// Where connections to a port that is not known to be HTTP arrive, each with the service's network if the
    /// place takes more than that.
    fn places(
        &self,
        binding: &Binding,
        import: &Import,
        port: &Port,
        ips: &[IpAddr],
    ) -> Vec<(At, Option<Network>)> {
        if let Some(at) = &binding.at {
            return vec![(at.clone().into(), None)];
        }
        let service = &import.service;
        let mut places: Vec<(At, Option<Network>)> = ips.iter().map(|ip| (At::Ip(*ip), None)).collect();
        if !binding.is_bound {
            let networks = service.addresses.iter().filter(|network| !network.is_single());
            places.extend(networks.map(|network| (At::Any, Some(*network))));
        }
        if !places.is_empty() {
            return places;
        }
        // Clients connect to such workloads themselves, and bytes do not say which service they are for.
        if service.resolution == Resolution::Headless && !binding.is_bound {
            return self.instances(service, port);
        }
        vec![(At::Any, None)]
    }

    /// The workloads of a service by their addresses, the proxy's own left out.
    fn instances(&self, service: &Service, port: &Port) -> Vec<(At, Option<Network>)> {
        let listening = service.instances.iter().filter(|instance| instance.ports.contains_key(&port.number));
        let addresses = listening.filter_map(|instance| instance.address.parse().ok());
        addresses
            .filter(|address| !self.site.proxy.addresses.contains(address))
            .map(|address| (At::Ip(address), None))
            .collect()
    }

    /// Opens the listener of every service's requests at a port.
    fn open_shared(&mut self, binding: &Binding, port: &Port, additional: Vec<IpAddr>) {
        let at = binding.at.clone().map_or(At::Any, At::from);
        let (name, wanted) = everybodys(&at, port);
        let place = Place::new(at, port.number);
        // Connections made to us are meant for us; captured ones may be anything.
        let looks = !binding.is_bound;
        let is_proxy = port.protocol == Protocol::HttpProxy;
        self.wanted.entry(name.clone()).or_insert(wanted);
        let chains = vec![http_chain(self.site, &place, looks, name)];
        let protocol = if is_proxy { Protocol::HttpProxy } else { Protocol::Http };
        self.entries.open(place, Opening { protocol, is_bound: binding.is_bound, chains, additional });
    }

    /// Opens the listener of one service's port.
    fn open_own(&mut self, exit: Exit<'_>, spot: Spot, import: &Import, port: &Port) {
        let place = Place::new(spot.at, port.number);
        let is_shared = place.at == At::Any && !spot.is_bound;
        let mut chains = tcp::chains(&Entrance { exit, import, port, network: spot.network, is_shared });
        if port.protocol == Protocol::Auto {
            // Behind an address of its own a service needs no choice by host.
            let (name, wanted) = match &place.at {
                At::Ip(_) => (
                    outbound::service_route(&import.service.host, port.number),
                    Wanted::Service(import.service.clone(), port.number),
                ),
                at => everybodys(at, port),
            };
            chains.push(http_chain(self.site, &place, true, name.clone()));
            self.wanted.entry(name).or_insert(wanted);
        }
        if chains.is_empty() {
            return;
        }
        let opening =
            Opening { protocol: port.protocol, is_bound: spot.is_bound, chains, additional: Vec::new() };
        self.entries.open(place, opening);
    }
}

/// One place of a service's port.
struct Spot {
    at: At,
    network: Option<Network>,
    is_bound: bool,
}

/// The address of a place. The shared listener of a local mesh is Istio's wildcard one with another bind.
fn address(site: Site<'_>, place: &Place, is_bound: bool) -> Address {
    let ip = match (&place.at, site.proxy.local) {
        (At::Pipe(path), _) => return Address::Pipe(Arc::clone(path)),
        (At::Ip(ip), _) => *ip,
        (At::Any, Some(local)) if is_bound => local.outbound().into(),
        (At::Any, _) => site.any(),
    };
    SocketAddr::new(ip, place.port).into()
}

fn name(site: Site<'_>, place: &Place) -> String {
    let bind = match &place.at {
        At::Any => Bind::Ip(site.any()),
        At::Ip(ip) => Bind::Ip(*ip),
        At::Pipe(path) => Bind::Pipe(Arc::clone(path)),
    };
    format!("{bind}_{}", place.port)
}

/// The number that a listener's port means at a service: a Unix socket has none, and bytes that say nothing are for
/// the service's only port.
fn meant(port: &Port, import: &Import) -> u16 {
    let mut ports = import.ports();
    match (port.number, ports.next(), ports.next()) {
        (0, Some(only), None) if !port.protocol.is_http() => only.number,
        (number, ..) => number,
    }
}

/// The routes that all services of a place share: Istio's name of them, and what they are about.
fn everybodys(at: &At, port: &Port) -> (String, Wanted) {
    match at {
        At::Pipe(path) => (Bind::Pipe(Arc::clone(path)).to_string(), Wanted::Pipe(Arc::clone(path))),
        At::Any | At::Ip(_) if port.protocol == Protocol::HttpProxy => {
            (port.number.to_string(), Wanted::Everything(port.number))
        }
        At::Any | At::Ip(_) => (port.number.to_string(), Wanted::Port(port.number)),
    }
}

fn listener(site: Site<'_>, place: &Place, entry: Entry) -> Listener {
    // What takes every connection stands apart, so that one which fails half of another chain's conditions comes
    // there.
    let (rest, mut chains): (Vec<Chain>, Vec<Chain>) =
        entry.chains.into_iter().partition(|chain| chain.condition == ChainMatch::default());
    let mut default_chain = rest.into_iter().next();
    if chains.is_empty() {
        chains.extend(default_chain.take());
    } else if default_chain.is_none() && !entry.is_bound {
        default_chain = Some(unmatched(site));
    }
    let looks = chains.iter().any(|chain| chain.condition.is_http);
    let other = site.other_any().filter(|_| place.at == At::Any && !entry.is_bound);
    let additional = entry.additional.into_iter().chain(other).map(|ip| SocketAddr::new(ip, place.port));
    Listener {
        name: name(site, place),
        address: address(site, place, entry.is_bound),
        additional: additional.collect(),
        arrival: if entry.is_bound { Arrival::Bound } else { Arrival::HandedOver },
        side: Side::Outbound,
        sniffs_http: if looks { Sniffing::AllBut(Vec::new()) } else { Sniffing::Off },
        chains,
        default_chain,
        manner: site.manner(),
        origin: None,
    }
}

/// The listener of captured connections: it hands each over to the listener of where it was for, if there is one.
fn dispatcher(site: Site<'_>) -> Listener {
    let chain = |name: &str, condition, terminal| Chain {
        name: name.into(),
        condition,
        tls: None,
        terminal,
        origin: None,
    };
    let port = site.state.settings.outbound_port;
    let to_itself = ChainMatch { destination_port: Some(port), ..ChainMatch::default() };
    // A connection made to the capturing port itself would come back for ever.
    let mut chains = vec![chain("virtualOutbound-blackhole", to_itself, Terminal::Tcp(Tcp::to(BLACK_HOLE)))];
    let by_name = unknown::policy(site) == OutboundMode::AllowAnyDynamicDns;
    if by_name {
        let condition = ChainMatch { is_http: true, ..ChainMatch::default() };
        chains.push(chain(
            "virtualOutbound-catchall-http",
            condition,
            Terminal::Http(unknown::requests(site)),
        ));
    }
    let rest = Terminal::Tcp(Tcp::to(unknown::cluster(site)));
    chains.push(chain("virtualOutbound-catchall-tcp", ChainMatch::default(), rest));
    Listener {
        name: "virtualOutbound".into(),
        address: SocketAddr::new(site.any(), port).into(),
        additional: site.other_any().map(|ip| SocketAddr::new(ip, port)).into_iter().collect(),
        arrival: Arrival::CapturedDispatch,
        side: Side::Outbound,
        sniffs_http: if by_name { Sniffing::AllBut(vec![port]) } else { Sniffing::Off },
        chains,
        default_chain: None,
        manner: site.manner(),
        origin: None,
    }
}

/// The listener that takes requests for any host, where the proxy has one.
fn http_proxy(site: Site<'_>) -> Option<Listener> {
    let port = site.proxy.http_proxy_port.or(site.state.settings.http_proxy_port)?;
    let ip = site.proxy.local.map_or(site.loopback(), |local| local.outbound().into());
    let place = Place::new(At::Ip(ip), port);
    Some(Listener {
        name: name(site, &place),
        address: SocketAddr::new(ip, port).into(),
        additional: Vec::new(),
        arrival: Arrival::Bound,
        side: Side::Outbound,
        sniffs_http: Sniffing::Off,
        chains: vec![http_chain(site, &place, false, outbound::HTTP_PROXY.to_owned())],
        default_chain: None,
        manner: site.manner(),
        origin: None,
    })
}

fn http_chain(site: Site<'_>, place: &Place, is_http: bool, routes: String) -> Chain {
    Chain {
        name: String::new(),
        condition: ChainMatch { is_http, ..ChainMatch::default() },
        tls: None,
        terminal: Terminal::Http(Http {
            stat_prefix: format!("outbound_{}", name(site, place)),
            forwards_by_dns: unknown::resolves_names(site) || site.scope.resolves_names,
            keeps_sessions: site.scope.keeps_sessions,
            takes_tunnels: site.proxy.local.is_some() && routes == outbound::HTTP_PROXY,
            routes: RouteSource::Dynamic(routes),
        }),
        origin: None,
    }
}

/// For captured connections that no chain of a listener takes.
fn unmatched(site: Site<'_>) -> Chain {
    Chain {
        name: "PassthroughFilterChain".into(),
        condition: ChainMatch::default(),
        tls: None,
        terminal: Terminal::Tcp(Tcp::to(unknown::cluster(site))),
        origin: None,
    }
}

#[cfg(test)]
mod tests;
