//! Slices: what one generator of xDS needs and nothing else, with a digest by which equal ones are shared.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::Valid;
use api::destination_rule::LoadBalancer;
use api::virtual_service::{HttpMatch, HttpRoute, VirtualService};
use base::{Digest, Origin};

/// Every cluster of one proxy.
#[derive(Clone, Debug)]
pub struct ClusterSlice {
    /// The clusters, ordered by name.
    pub clusters: Vec<Arc<Cluster>>,
    digest: Digest,
}

impl ClusterSlice {
    /// Makes a slice of these clusters.
    pub fn new(mut clusters: Vec<Arc<Cluster>>) -> Self {
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        clusters.dedup_by(|a, b| a.name == b.name);
        let digest = Digest::of_value(&clusters);
        Self { clusters, digest }
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// One upstream: a service port or a subset of one, a port of the proxy's own workload, or a fixed one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// Istio's name for it, `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub name: String,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// What is spoken to it.
    pub upstream: Upstream,
    /// The algorithm that chooses an endpoint; None where discovery leaves no choice.
    pub load_balancer: Option<LoadBalancer>,
    /// The longest a TCP connect may take.
    pub connect_timeout: Duration,
    /// The address connections are made from.
    pub source: Option<IpAddr>,
    /// The services it stands for.
    pub services: Vec<ServiceName>,
    /// The subset, empty for the whole service.
    pub subset: String,
    /// Whether it is outside the mesh.
    pub is_external: bool,
    /// The object that decided it, with Istio's name for that object.
    pub origin: Option<Origin>,
}

impl Cluster {
    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        Digest::of_value(self)
    }
}

/// Where a cluster's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// The host a request asks for, resolved by DNS.
    DynamicForward,
    /// EDS under the cluster's own name.
    Eds,
    /// The address the connection was made to.
    OriginalDestination,
    /// These addresses.
    Static(Vec<Endpoint>),
    /// What these names resolve to; every address is an endpoint.
    StrictDns(Vec<Endpoint>),
    /// What this name resolves to; one address at a time.
    LogicalDns(Vec<Endpoint>),
}

/// What is spoken to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// The protocol the client came with.
    Downstream,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// Bytes.
    Tcp,
}

/// A service as telemetry names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Its host.
    pub host: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The endpoints of one cluster.
#[derive(Clone, Debug)]
pub struct EndpointSlice {
    /// The cluster.
    pub cluster: String,
    /// The endpoints, ordered by locality and address.
    pub endpoints: Vec<Endpoint>,
    digest: Digest,
}

impl EndpointSlice {
    /// Makes a slice of these endpoints.
    pub fn new(cluster: &str, mut endpoints: Vec<Endpoint>) -> Self {
        endpoints.sort_by(|a, b| (&a.locality, &a.address, a.port).cmp(&(&b.locality, &b.address, b.port)));
        endpoints.dedup_by(|a, b| (&a.address, a.port) == (&b.address, b.port));
        let digest = Digest::of_value(&(cluster, &endpoints));
        Self { cluster: cluster.to_owned(), endpoints, digest }
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// One address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// An IP address or a host name.
    pub address: String,
    /// The port.
    pub port: u16,
    /// Its share; at least 1.
    pub weight: u32,
    /// `region/zone/subzone`, empty where unknown.
    pub locality: String,
    /// Istio's `name;namespace;canonical name;canonical revision;cluster`, empty where unknown.
    pub workload: String,
}

/// Every listener of one proxy.
#[derive(Clone, Debug)]
pub struct ListenerSlice {
    /// The listeners, ordered by name.
    pub listeners: Vec<Arc<Listener>>,
    digest: Digest,
}

impl ListenerSlice {
    /// Makes a slice of these listeners.
    pub fn new(mut listeners: Vec<Arc<Listener>>) -> Self {
        listeners.sort_by(|a, b| a.name.cmp(&b.name));
        listeners.dedup_by(|a, b| a.name == b.name);
        let digest = Digest::of_value(&listeners);
        Self { listeners, digest }
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Istio's name for it, `0.0.0.0_9080`.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// More addresses of the same listener.
    pub additional: Vec<SocketAddr>,
    /// How connections arrive.
    pub arrival: Arrival,
    /// Which side of the workload it is.
    pub side: Side,
    /// Whether plaintext HTTP is recognised before a chain is chosen.
    pub sniffs_http: Sniffing,
    /// The filter chains, in order.
    pub chains: Vec<Chain>,
    /// The chain for what none of them takes.
    pub default_chain: Option<Chain>,
    /// The object that decided it.
    pub origin: Option<Origin>,
}

impl Listener {
    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        Digest::of_value(self)
    }
}

/// How connections arrive at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// They are made to its address.
    Bound,
    /// Captured by the kernel; the listener looks for another one by the original destination.
    CapturedDispatch,
    /// Captured by the kernel; chains see the original destination.
    CapturedInbound {
        /// Whether the source address is kept on the way on (`TPROXY`).
        is_transparent: bool,
    },
    /// Handed over by a listener that dispatches.
    HandedOver,
}

/// Which side of a workload a listener, and what it routes, is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Of no workload: a gateway.
    Gateway,
    /// Towards the workload.
    Inbound,
    /// From the workload.
    Outbound,
}

/// For which ports plaintext HTTP is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sniffing {
    /// For all but these destination ports.
    AllBut(Vec<u16>),
    /// For none.
    #[default]
    Off,
}

/// One filter chain: which connections it takes and what it does with them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Istio's name for it, empty where Istio gives none.
    pub name: String,
    /// The connections it takes.
    pub condition: ChainMatch,
    /// What it does with them.
    pub terminal: Terminal,
    /// The object that decided it.
    pub origin: Option<Origin>,
}

/// The connections a filter chain takes; what is empty does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChainMatch {
    /// The destination port.
    pub destination_port: Option<u16>,
    /// The destination addresses, `10.0.0.0/8`.
    pub destinations: Vec<Network>,
    /// The server names a TLS client asks for.
    pub server_names: Vec<String>,
    /// Whether only plaintext HTTP is taken.
    pub is_http: bool,
}

/// An IP network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub length: u8,
}

/// What a filter chain does with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// Routes its requests.
    Http(Http),
    /// Passes its bytes on.
    Tcp {
        /// The cluster.
        cluster: String,
    },
}

/// How requests of a connection are routed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Http {
    /// The routes.
    pub routes: RouteSource,
    /// Istio's name of the statistics, without its final semicolon.
    pub stat_prefix: String,
    /// Whether unknown hosts are resolved by DNS (see [`Discovery::DynamicForward`]).
    pub forwards_by_dns: bool,
}

/// Where routes come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteSource {
    /// RDS, under this name.
    Dynamic(String),
    /// They are part of the listener.
    Inline(Arc<RouteSlice>),
}

/// One route configuration.
#[derive(Clone, Debug)]
pub struct RouteSlice {
    /// Its name, `9080` or `http.8080`.
    pub name: String,
    /// Whether the port in a request's host counts for nothing.
    pub ignores_port: bool,
    /// Which side it serves.
    pub side: Side,
    /// The virtual hosts, in order.
    pub virtual_hosts: Vec<VirtualHost>,
    digest: Digest,
}

impl RouteSlice {
    /// Makes a slice of these virtual hosts.
    pub fn new(name: &str, side: Side, ignores_port: bool, virtual_hosts: Vec<VirtualHost>) -> Self {
        let digest = Digest::of_value(&(name, side, ignores_port, &virtual_hosts));
        Self { name: name.to_owned(), ignores_port, side, virtual_hosts, digest }
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl PartialEq for RouteSlice {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for RouteSlice {}

impl Hash for RouteSlice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// The routes of one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualHost {
    /// `HOST:PORT`, or one of Istio's catch-alls.
    pub name: String,
    /// The hosts it takes.
    pub domains: Vec<String>,
    /// Whether clients that come without TLS are sent to `https`.
    pub redirects: bool,
    /// The routes, in order.
    pub routes: Vec<Route>,
}

impl VirtualHost {
    /// The routes of these hosts, with or without TLS.
    pub fn new(name: impl Into<String>, domains: Vec<String>, routes: Vec<Route>) -> Self {
        Self { name: name.into(), domains, redirects: false, routes }
    }
}

/// One route of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Refuses every request (`block_all`).
    Block,
    /// Takes every request to one cluster.
    Default {
        /// Its name, `default` or `allow_any`.
        name: String,
        /// The cluster.
        cluster: String,
        /// The name of the operation, `HOST:PORT/*`; empty for none.
        operation: String,
        /// The object that decided it.
        origin: Option<Origin>,
    },
    /// What one condition of a VirtualService's route says.
    Rule(Rule),
}

/// One condition of one HTTP route of a VirtualService, with its hosts resolved to clusters.
#[derive(Clone, Debug)]
pub struct Rule {
    config: Arc<Valid<VirtualService>>,
    http: usize,
    condition: Option<usize>,
    /// The clusters of the route's destinations, in their order.
    pub clusters: Vec<String>,
    /// The clusters of its mirrors, in their order.
    pub mirrors: Vec<String>,
    /// `HOST:PORT` of the only destination, else the VirtualService's name and the port clients asked for.
    pub operation: String,
    /// The port clients asked for.
    pub port: u16,
}

impl Rule {
    /// The rule of `config.http[http]` under its `match[condition]`, or under none. None where there is no such.
    pub fn new(config: &Arc<Valid<VirtualService>>, http: usize, condition: Option<usize>) -> Option<Self> {
        let route = config.http.get(http)?;
        if let Some(condition) = condition {
            route.matches.get(condition)?;
        }
        Some(Self {
            config: config.clone(),
            http,
            condition,
            clusters: Vec::new(),
            mirrors: Vec::new(),
            operation: String::new(),
            port: 0,
        })
    }

    /// The route.
    pub fn route(&self) -> &HttpRoute {
        self.config.http.get(self.http).expect("invariant: Rule::new has checked the index")
    }

    /// The condition; None takes every request.
    pub fn condition(&self) -> Option<&HttpMatch> {
        self.condition.and_then(|condition| self.route().matches.get(condition))
    }

    /// The VirtualService, down to the route or its condition.
    pub fn origin(&self) -> Origin {
        let path = match self.condition {
            Some(condition) => format!("http[{}].match[{condition}]", self.http),
            None => format!("http[{}]", self.http),
        };
        self.config.origin().at(path)
    }

    fn key(&self) -> impl Eq + Hash + '_ {
        let object = (self.config.digest(), self.config.key().to_string(), self.http, self.condition);
        (object, &self.clusters, &self.mirrors, &self.operation, self.port)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Rule {}

impl Hash for Rule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
