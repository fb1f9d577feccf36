//! Listeners and routes of a sidecar: shared ones chosen by host, and one per address of a service.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base::{Origin, Protocol};

use crate::cluster::{BLACK_HOLE, catch_all};
use crate::proxy::{Interception, Proxy};
use crate::service::{Port, Service};
use crate::slice::{
    Arrival, Chain, ChainMatch, Http, Listener, Network, RouteSlice, RouteSource, Side, Sniffing, Terminal,
};
use crate::snapshot::State;
use crate::virtual_service::cluster_name;
use crate::{inbound, outbound};

/// Istio's port for captured outbound connections.
const CAPTURE: u16 = 15001;

/// Every listener of a sidecar and the routes they ask for by name.
pub(crate) fn listeners(state: &State, proxy: &Proxy) -> (Vec<Arc<Listener>>, Vec<RouteSlice>) {
    let mut listeners = inbound::listeners(state, proxy);
    let mut routes = Vec::new();
    if proxy.interception != Interception::None {
        listeners.push(dispatcher(state));
    }
    let proxy_place = Place { ip: None, port: proxy.http_proxy_port.unwrap_or_default() };
    for (place, draft) in drafts(state, proxy).0 {
        // The HTTP proxy has this port, and leads to the same services.
        if place == proxy_place && bind(proxy).is_some() {
            continue;
        }
        routes.extend(draft.routes(state, proxy, place));
        listeners.push(draft.listener(state, proxy, place));
    }
    if let (Some(port), Some(ip)) = (proxy.http_proxy_port, bind(proxy)) {
        routes.push(outbound::of_http_proxy(state, proxy));
        listeners.push(http_proxy(proxy, ip, port));
    }
    (listeners.into_iter().map(Arc::new).collect(), routes)
}

/// Where bound outbound listeners listen; None where connections are captured.
fn bind(proxy: &Proxy) -> Option<IpAddr> {
    (proxy.interception == Interception::None)
        .then(|| proxy.local.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |local| local.outbound().into()))
}

fn dispatcher(state: &State) -> Listener {
    let chain = |name: &str, port, cluster: &str| Chain {
        name: name.into(),
        condition: ChainMatch { destination_port: port, ..ChainMatch::default() },
        terminal: Terminal::Tcp { cluster: cluster.into() },
        origin: None,
    };
    Listener {
        name: "virtualOutbound".into(),
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), CAPTURE),
        additional: Vec::new(),
        arrival: Arrival::CapturedDispatch,
        side: Side::Outbound,
        sniffs_http: Sniffing::Off,
        chains: vec![
            // A connection made to the capturing port itself would come back for ever.
            chain("virtualOutbound-blackhole", Some(CAPTURE), BLACK_HOLE),
            chain("virtualOutbound-catchall-tcp", None, catch_all(state)),
        ],
        default_chain: None,
        origin: None,
    }
}

fn http_proxy(proxy: &Proxy, ip: IpAddr, port: u16) -> Listener {
    let name = format!("{ip}_{port}");
    Listener {
        address: SocketAddr::new(ip, port),
        additional: Vec::new(),
        arrival: Arrival::Bound,
        side: Side::Outbound,
        sniffs_http: Sniffing::Off,
        chains: vec![http_chain(proxy, &name, false, outbound::HTTP_PROXY.to_owned())],
        default_chain: None,
        origin: None,
        name,
    }
}

/// An address and port that some service is found at; None is any address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    ip: Option<IpAddr>,
    port: u16,
}

/// What services want of one place.
#[derive(Default)]
struct Draft {
    /// Whether requests are routed by host.
    is_shared: bool,
    /// The service whose requests are routed here, by the port's RDS name.
    sniffed: Option<Arc<Service>>,
    tcp: Option<Target>,
    networks: BTreeMap<Network, Target>,
    server_names: BTreeMap<String, Target>,
    /// More addresses of the shared listener.
    additional: Vec<IpAddr>,
}

#[derive(Clone)]
struct Target {
    cluster: String,
    origin: Origin,
}

/// What services want, by place.
#[derive(Default)]
struct Drafts(BTreeMap<Place, Draft>);

impl Drafts {
    fn at(&mut self, ip: Option<IpAddr>, port: u16) -> &mut Draft {
        self.0.entry(Place { ip, port }).or_default()
    }

    fn add(&mut self, proxy: &Proxy, service: &Arc<Service>, port: &Port, ips: &[IpAddr]) {
        let number = port.number;
        let target =
            Target { cluster: cluster_name(number, "", &service.host), origin: service.origin.clone() };
        match port.protocol {
            Protocol::Udp => {}
            protocol if protocol.is_http() => {
                let shared = self.at(None, number);
                shared.is_shared = true;
                if proxy.local.is_some() {
                    shared.additional.extend(ips);
                }
            }
            Protocol::Auto if ips.is_empty() && proxy.interception == Interception::None => {
                let alone = self.at(None, number);
                alone.sniffed.get_or_insert_with(|| service.clone());
                alone.tcp.get_or_insert(target);
            }
            Protocol::Auto if ips.is_empty() => {
                let shared = self.at(None, number);
                shared.is_shared = true;
                shared.tcp.get_or_insert(target);
            }
            Protocol::Auto => {
                // Where every host has to be asked for by name, the shared listener knows this one too.
                if proxy.local.is_some() {
                    self.at(None, number).is_shared = true;
                }
                for ip in ips {
                    let own = self.at(Some(*ip), number);
                    own.sniffed.get_or_insert_with(|| service.clone());
                    own.tcp.get_or_insert_with(|| target.clone());
                }
            }
            protocol => self.add_tcp(proxy, (service, number), protocol, ips, target),
        }
    }

    fn add_tcp(
        &mut self,
        proxy: &Proxy,
        (service, port): (&Service, u16),
        protocol: Protocol,
        ips: &[IpAddr],
        target: Target,
    ) {
        for ip in ips {
            self.at(Some(*ip), port).tcp.get_or_insert_with(|| target.clone());
        }
        let mut has_networks = false;
        if proxy.interception != Interception::None {
            for network in service.addresses.iter().filter(|network| !network.is_single()) {
                has_networks = true;
                self.at(None, port).networks.entry(*network).or_insert_with(|| target.clone());
            }
        }
        if !ips.is_empty() || has_networks {
            return;
        }
        // Captured connections may be for anyone, so the name a TLS client asks for tells them apart.
        let is_tls = matches!(protocol, Protocol::Https | Protocol::Tls);
        if is_tls && proxy.interception != Interception::None {
            let name = service.host.as_str().to_owned();
            self.at(None, port).server_names.entry(name).or_insert(target);
        } else {
            self.at(None, port).tcp.get_or_insert(target);
        }
    }
}

fn drafts(state: &State, proxy: &Proxy) -> Drafts {
    let captured = proxy.interception != Interception::None;
    let mut drafts = Drafts::default();
    for service in state.services.by_host.values() {
        // Of a service's own addresses those of a local mesh can be bound, and captured ones are not.
        let has_ips = captured || proxy.local.is_some();
        let ips = if has_ips { state.virtual_ips(service, proxy) } else { Vec::new() };
        for port in service.ports.iter().filter(|port| captured || proxy.may_bind(port.number)) {
            drafts.add(proxy, service, port, &ips);
        }
    }
    drafts
}

impl Draft {
    fn routes(&self, state: &State, proxy: &Proxy, place: Place) -> Option<RouteSlice> {
        if self.is_shared {
            return Some(outbound::of_port(state, proxy, place.port));
        }
        let service = self.sniffed.as_ref()?;
        Some(outbound::of_service(state, proxy, service, place.port))
    }

    fn listener(&self, state: &State, proxy: &Proxy, place: Place) -> Listener {
        let bound = bind(proxy);
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let ip = place.ip.or(bound).unwrap_or(any);
        // The shared listener of a local mesh is Istio's wildcard one with another bind.
        let named = if proxy.local.is_some() { place.ip.unwrap_or(any) } else { ip };
        let name = format!("{named}_{}", place.port);
        // Connections made to us are meant for us; captured ones may be anything.
        let sniffs = self.is_shared && bound.is_none() || self.sniffed.is_some() && !self.is_shared;
        let mut chains = Vec::new();
        if self.is_shared {
            chains.push(http_chain(proxy, &name, sniffs, place.port.to_string()));
        } else if let Some(service) = &self.sniffed {
            let routes = outbound::service_route(&service.host, place.port);
            chains.push(http_chain(proxy, &name, sniffs, routes));
        }
        for (network, target) in &self.networks {
            let condition = ChainMatch { destinations: vec![*network], ..ChainMatch::default() };
            chains.push(tcp_chain(target, condition));
        }
        for (host, target) in &self.server_names {
            let condition = ChainMatch { server_names: vec![host.clone()], ..ChainMatch::default() };
            chains.push(tcp_chain(target, condition));
        }
        let mut default_chain = self.tcp.as_ref().map(|target| tcp_chain(target, ChainMatch::default()));
        if chains.is_empty() {
            chains.extend(default_chain.take());
        } else if default_chain.is_none() && bound.is_none() {
            default_chain = Some(unmatched(state));
        } else if !sniffs && self.is_shared {
            // The HTTP chain already takes every connection.
            default_chain = None;
        }
        Listener {
            address: SocketAddr::new(ip, place.port),
            additional: self.additional.iter().map(|ip| SocketAddr::new(*ip, place.port)).collect(),
            arrival: if bound.is_some() { Arrival::Bound } else { Arrival::HandedOver },
            side: Side::Outbound,
            sniffs_http: if sniffs { Sniffing::AllBut(Vec::new()) } else { Sniffing::Off },
            chains,
            default_chain,
            origin: None,
            name,
        }
    }
}

fn http_chain(proxy: &Proxy, listener: &str, is_http: bool, routes: String) -> Chain {
    Chain {
        name: String::new(),
        condition: ChainMatch { is_http, ..ChainMatch::default() },
        terminal: Terminal::Http(Http {
            routes: RouteSource::Dynamic(routes),
            stat_prefix: format!("outbound_{listener}"),
            forwards_by_dns: proxy.local.is_some(),
        }),
        origin: None,
    }
}

fn tcp_chain(target: &Target, condition: ChainMatch) -> Chain {
    Chain {
        name: String::new(),
        condition,
        terminal: Terminal::Tcp { cluster: target.cluster.clone() },
        origin: Some(target.origin.clone()),
    }
}

/// For captured connections that no chain of a listener takes.
fn unmatched(state: &State) -> Chain {
    Chain {
        name: "PassthroughFilterChain".into(),
        condition: ChainMatch::default(),
        terminal: Terminal::Tcp { cluster: catch_all(state).into() },
        origin: None,
    }
}
