//! Towards a workload: its own ports, or those that its Sidecar names, with a listener and a cluster for each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::connection_pool::ConnectionPool;
use api::mesh_config::InboundMode;
use api::sidecar::{CaptureMode, DefaultEndpoint, Ingress};
use base::{Address, Origin, Protocol};

use crate::cluster::{self, BLACK_HOLE, INBOUND_PASSTHROUGH};
use crate::proxy::Interception;
use crate::site::Site;
use crate::slice::{
    Arrival, Chain, ChainMatch, Cluster, Discovery, Endpoint, EndpointGroup, Http, Listener, Route,
    RouteSlice, RouteSource, ServerTls, ServiceName, Side, Sniffing, Tcp, Terminal, Upstream, VirtualHost,
};
use crate::state::Own;
use crate::{policy, server_tls, stat_name};

/// The listeners towards a proxy's workload.
pub(crate) fn listeners(site: Site<'_>) -> Vec<Listener> {
    let (bound, captured): (Vec<Gate>, Vec<Gate>) = gates(site).into_iter().partition(|gate| gate.is_bound);
    let mut listeners = Vec::new();
    if site.is_captured() {
        listeners.push(capture(site, &captured));
    }
    listeners.extend(
        bound.iter().filter(|gate| site.proxy.may_bind(gate.target)).map(|gate| own_listener(site, gate)),
    );
    listeners
}

/// The clusters towards a proxy's workload.
pub(crate) fn clusters(site: Site<'_>) -> Vec<Cluster> {
    gates(site).into_iter().map(|gate| gate.cluster(site)).collect()
}

/// Istio's name of the cluster for one of the workload's own ports.
fn inbound_name(target: u16) -> String {
    format!("inbound|{target}||")
}

/// A port of the workload.
struct Gate {
    /// The port connections are made to.
    target: u16,
    /// The service's port.
    number: u16,
    protocol: Protocol,
    /// Who is called, as a trace names it.
    host: String,
    /// The address it is known under.
    ip: IpAddr,
    /// Whether the address is listened on, rather than captured.
    is_bound: bool,
    /// Where the workload itself listens; None is where the connection was made to.
    endpoint: Option<Address>,
    /// TLS that ends here.
    tls: Option<ServerTls>,
    /// The limits of connections to it.
    pool: ConnectionPool,
    services: Vec<ServiceName>,
    /// The name under which its numbers are kept; None is the cluster's own.
    stat_name: Option<String>,
    origin: Option<Origin>,
}

/// The ports of a proxy's workload: those its Sidecar names, else those that services lead to.
fn gates(site: Site<'_>) -> Vec<Gate> {
    let own = by_target(site.state.own(site.proxy));
    let sidecar = site.scope.sidecar.as_ref().filter(|sidecar| !sidecar.ingress.is_empty());
    let Some(sidecar) = sidecar else {
        // Without capture nothing arrives, except where the addresses are ours to choose.
        let arrives = site.is_captured() || site.proxy.local.is_some();
        return own
            .iter()
            .filter(|_| arrives)
            .filter_map(|(target, own)| of_services(site, *target, own))
            .collect();
    };
    let named = format!("{}.{}", sidecar.meta().name, site.proxy.namespace);
    let ingress = sidecar.ingress.iter().enumerate().map(|(index, ingress)| {
        let origin = sidecar.origin().at(format!("ingress[{index}]"));
        let own = own.get(&ingress.port.number).map_or(&[][..], Vec::as_slice);
        of_ingress(site, ingress, own, &named, origin)
    });
    ingress.collect()
}

/// Own ports by the workload's port; what speaks no protocol a proxy takes is left out.
fn by_target(own: Vec<Own>) -> BTreeMap<u16, Vec<Own>> {
    let mut ports: BTreeMap<u16, Vec<Own>> = BTreeMap::new();
    for own in own.into_iter().filter(|own| own.port.protocol != Protocol::Udp) {
        ports.entry(own.target).or_default().push(own);
    }
    ports
}

/// A port that services lead to; of several that disagree about it the oldest decides.
fn of_services(site: Site<'_>, target: u16, own: &[Own]) -> Option<Gate> {
    let first = own.first()?;
    let endpoint = match site.state.settings.inbound {
        InboundMode::Localhost => Some(SocketAddr::new(site.loopback(), target)),
        InboundMode::Passthrough => None,
    };
    Some(Gate {
        target,
        number: first.port.number,
        protocol: first.port.protocol,
        host: first.service.host.to_string(),
        ip: site.proxy.local.map_or(site.any(), |local| local.sidecar().into()),
        is_bound: !site.is_captured(),
        endpoint: program(site, target).or(endpoint).map(Address::Ip),
        tls: None,
        pool: pool(site, None, own),
        services: names(own),
        stat_name: stat_name::inbound(site.state, first),
        origin: Some(first.service.origin.clone()),
    })
}

fn of_ingress(site: Site<'_>, ingress: &Ingress, own: &[Own], host: &str, origin: Origin) -> Gate {
    let number = ingress.port.number;
    let at = |port, elsewhere| match site.proxy.local {
        Some(_) => program(site, port),
        None => elsewhere,
    };
    let endpoint = match &ingress.default_endpoint {
        Some(DefaultEndpoint::Pipe(path)) => Some(Address::Pipe(Arc::clone(path))),
        Some(DefaultEndpoint::Instance(port)) => {
            at(*port, Some(SocketAddr::new(site.proxy.id.ip, *port))).map(Address::Ip)
        }
        Some(DefaultEndpoint::Loopback(address)) => at(address.port(), Some(*address)).map(Address::Ip),
        None => at(number, None).map(Address::Ip),
    };
    let tls = ingress.tls.as_ref().map(server_tls::settings);
    let own_ip = site.proxy.local.map_or(site.proxy.id.ip, |local| local.sidecar().into());
    Gate {
        target: number,
        number,
        protocol: match ingress.port.protocol {
            // What is left once TLS has ended.
            Protocol::Https if tls.is_some() => Protocol::Http,
            Protocol::Tls if tls.is_some() => Protocol::Tcp,
            protocol => protocol,
        },
        host: host.to_owned(),
        ip: ingress.bind.unwrap_or(own_ip),
        is_bound: match ingress.capture_mode {
            CaptureMode::Default => !site.is_captured(),
            CaptureMode::Iptables => false,
            CaptureMode::None => true,
        },
        endpoint,
        tls,
        pool: pool(site, ingress.connection_pool.as_ref(), own),
        services: names(own),
        stat_name: own.first().and_then(|own| stat_name::inbound(site.state, own)),
        origin: Some(origin),
    }
}

/// Where the program of a local workload listens for a port.
fn program(site: Site<'_>, target: u16) -> Option<SocketAddr> {
    let local = site.proxy.local?;
    let port = site.proxy.program_ports.get(&target).copied().unwrap_or(target);
    Some(SocketAddr::new(local.program().into(), port))
}

/// The limits of connections to a port: its own, else the Sidecar's, else those that clients of its oldest service
/// have.
fn pool(site: Site<'_>, written: Option<&ConnectionPool>, own: &[Own]) -> ConnectionPool {
    let Site { state, proxy, .. } = site;
    let first = own.first();
    let mut policy =
        first.map(|own| policy::of(state, proxy, &own.service.host, "", own.port.number)).unwrap_or_default();
    let sidecar = site.scope.sidecar.as_ref();
    let written = written.or_else(|| sidecar.and_then(|sidecar| sidecar.inbound_connection_pool.as_ref()));
    policy.pool = written.cloned().or(policy.pool);
    policy.limits(&state.settings.traffic)
}

fn names(own: &[Own]) -> Vec<ServiceName> {
    let mut names: Vec<ServiceName> = Vec::new();
    for own in own {
        if !names.contains(&own.service.name) {
            names.push(own.service.name.clone());
        }
    }
    names
}

impl Gate {
    fn name(&self) -> String {
        format!("{}_{}", self.ip, self.target)
    }

    fn cluster(self, site: Site<'_>) -> Cluster {
        let is_original = self.endpoint.is_none();
        let discovery = match self.endpoint {
            Some(address) => Discovery::Static(vec![only(&address)]),
            None => Discovery::OriginalDestination { port: None },
        };
        let source = is_original.then(|| cluster::inbound_source(site.proxy));
        let mut cluster = cluster::fixed(site.state, &inbound_name(self.target), discovery);
        cluster.source = source;
        cluster.upstream = match self.pool.http.uses_client_protocol {
            true => Upstream::Downstream,
            false => policy::upstream(self.protocol),
        };
        cluster.pool = self.pool;
        cluster.stat_name = self.stat_name;
        cluster.buffer_limit = site.connections().cluster_per_connection_buffer_limit_bytes;
        cluster.services = self.services;
        cluster.origin = self.origin;
        cluster
    }

    /// Its chains under a condition that singles it out, and the one for whatever is not HTTP where the port says
    /// neither.
    fn chains(&self, site: Site<'_>, port: &ChainMatch) -> (Vec<Chain>, Option<Chain>) {
        let name = self.name();
        let cluster = inbound_name(self.target);
        let chain = |condition, terminal| Chain {
            name: name.clone(),
            condition,
            tls: self.tls.clone(),
            terminal,
            origin: self.origin.clone(),
        };
        let port = ChainMatch { is_tls: self.tls.is_some(), ..port.clone() };
        let tcp = Tcp::to(&cluster).counted_as(self.stat_name.clone());
        let tcp = chain(port.clone(), Terminal::Tcp(tcp));
        let is_http = self.protocol == Protocol::Auto;
        if !self.protocol.is_http() && !is_http {
            return (vec![tcp], None);
        }
        let route = Route::Default {
            name: "default".into(),
            operation: format!("{}:{}/*", self.host, self.number),
            cluster: cluster.clone(),
            hash: None,
            origin: self.origin.clone(),
        };
        let http = Terminal::Http(Http {
            routes: inbound_routes(site, &cluster, self.number, route),
            stat_prefix: format!("inbound_{name}"),
            forwards_by_dns: false,
            keeps_sessions: false,
            takes_tunnels: false,
        });
        (vec![chain(ChainMatch { is_http, ..port }, http)], is_http.then_some(tcp))
    }
}

/// One endpoint by its address.
fn only(address: &Address) -> EndpointGroup {
    let (address, port) = match address {
        Address::Ip(address) => (address.ip().to_string(), address.port()),
        Address::Pipe(path) => (format!("unix://{path}"), 0),
    };
    let endpoint = Endpoint { address, port, weight: 1, drains: false, workload: String::new() };
    EndpointGroup { locality: String::new(), priority: 0, weight: 1, endpoints: vec![endpoint] }
}

fn own_listener(site: Site<'_>, gate: &Gate) -> Listener {
    let (chains, default_chain) = gate.chains(site, &ChainMatch::default());
    Listener {
        name: gate.name(),
        address: SocketAddr::new(gate.ip, gate.target).into(),
        additional: Vec::new(),
        arrival: Arrival::Bound,
        side: Side::Inbound,
        sniffs_http: match gate.protocol {
            Protocol::Auto => Sniffing::AllBut(Vec::new()),
            _ => Sniffing::Off,
        },
        chains,
        default_chain,
        manner: site.manner(),
        origin: gate.origin.clone(),
    }
}

/// The listener of captured connections.
fn capture(site: Site<'_>, gates: &[Gate]) -> Listener {
    let mut unsniffed: BTreeSet<u16> =
        gates.iter().filter(|gate| gate.protocol != Protocol::Auto).map(|gate| gate.target).collect();
    let port = site.state.settings.inbound_port;
    unsniffed.insert(port);
    let mut chains = vec![black_hole(port)];
    chains.extend(passthrough(site));
    for gate in gates {
        let own = ChainMatch { destination_port: Some(gate.target), ..ChainMatch::default() };
        let (of_port, rest) = gate.chains(site, &own);
        chains.extend(of_port);
        chains.extend(rest.map(|mut chain| {
            chain.condition.is_plaintext = true;
            chain
        }));
    }
    Listener {
        name: "virtualInbound".into(),
        address: SocketAddr::new(site.any(), port).into(),
        additional: site.other_any().map(|ip| SocketAddr::new(ip, port)).into_iter().collect(),
        arrival: Arrival::CapturedInbound { is_transparent: site.proxy.interception == Interception::Tproxy },
        side: Side::Inbound,
        sniffs_http: Sniffing::AllBut(unsniffed.into_iter().collect()),
        chains,
        default_chain: None,
        manner: site.manner(),
        origin: None,
    }
}

/// A connection made to the capturing port itself would come back for ever.
fn black_hole(port: u16) -> Chain {
    Chain {
        name: "virtualInbound-blackhole".into(),
        condition: ChainMatch { destination_port: Some(port), ..ChainMatch::default() },
        tls: None,
        terminal: Terminal::Tcp(Tcp::to(BLACK_HOLE)),
        origin: None,
    }
}

fn passthrough(site: Site<'_>) -> [Chain; 2] {
    let routes = inbound_routes(
        site,
        INBOUND_PASSTHROUGH,
        0,
        Route::Default {
            name: "default".into(),
            cluster: INBOUND_PASSTHROUGH.into(),
            operation: ":0/*".into(),
            hash: None,
            origin: None,
        },
    );
    [
        Chain {
            name: "virtualInbound-catchall-http".into(),
            condition: ChainMatch { is_http: true, ..ChainMatch::default() },
            tls: None,
            terminal: Terminal::Http(Http {
                routes,
                stat_prefix: INBOUND_PASSTHROUGH.into(),
                forwards_by_dns: false,
                keeps_sessions: false,
                takes_tunnels: false,
            }),
            origin: None,
        },
        Chain {
            name: "virtualInbound".into(),
            condition: ChainMatch { is_plaintext: true, ..ChainMatch::default() },
            tls: None,
            terminal: Terminal::Tcp(Tcp::to(INBOUND_PASSTHROUGH)),
            origin: None,
        },
    ]
}

fn inbound_routes(site: Site<'_>, name: &str, port: u16, route: Route) -> RouteSource {
    let host = VirtualHost::new(format!("inbound|http|{port}"), vec!["*".into()], vec![route]);
    let retries = site.state.settings.requests.inbound_retries.clone();
    let routes = RouteSlice::new(name, Side::Inbound, false, vec![host]).with_retries(retries);
    RouteSource::Inline(Arc::new(routes))
}
