//! Slices of routes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use api::load_balancer::HashKey;
use api::virtual_service::{HttpMatch, HttpRoute, Retries};
use base::{Digest, Origin};

use crate::slice::tcp::Tcp;

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
    /// The retries of routes that say nothing of them; None is Istio's own.
    pub retries: Option<Retries>,
    digest: Digest,
}

impl RouteSlice {
    /// Makes a slice of these virtual hosts.
    pub fn new(name: &str, side: Side, ignores_port: bool, virtual_hosts: Vec<VirtualHost>) -> Self {
        let mut slice = Self {
            name: name.to_owned(),
            ignores_port,
            side,
            virtual_hosts,
            retries: None,
            digest: Digest::default(),
        };
        slice.digest = slice.make_digest();
        slice
    }

    /// The same with other retries for routes that say nothing of them.
    pub fn with_retries(mut self, retries: Option<Retries>) -> Self {
        self.retries = retries;
        self.digest = self.make_digest();
        self
    }

    fn make_digest(&self) -> Digest {
        Digest::of_value(&(&self.name, self.side, self.ignores_port, &self.virtual_hosts, &self.retries))
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
    /// How clients stay with one endpoint, whatever route they take.
    pub session: Option<Session>,
    /// The routes, in order.
    pub routes: Vec<Route>,
}

impl VirtualHost {
    /// The routes of these hosts, with or without TLS.
    pub fn new(name: impl Into<String>, domains: Vec<String>, routes: Vec<Route>) -> Self {
        Self { name: name.into(), domains, redirects: false, session: None, routes }
    }
}

/// One route of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Refuses every request (`block_all`).
    Block,
    /// Takes tunnels (CONNECT), and nothing else.
    Connect {
        /// How the bytes in them are passed on; None refuses them.
        tcp: Option<Tcp>,
        /// The object that decided it.
        origin: Option<Origin>,
    },
    /// Takes every request to one cluster.
    Default {
        /// Its name, `default` or `allow_any`.
        name: String,
        /// The cluster.
        cluster: String,
        /// The name of the operation, `HOST:PORT/*`; empty for none.
        operation: String,
        /// What of a request decides its endpoint.
        hash: Option<HashKey>,
        /// The object that decided it.
        origin: Option<Origin>,
    },
    /// Tells the client that it has come by the connection of another host (421, RFC 9110 §15.5.20).
    Misdirected,
    /// What one condition of a VirtualService's route says.
    Rule(Rule),
}

/// One condition of one HTTP route of a VirtualService, with its hosts resolved to clusters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    source: Arc<Source>,
    condition: Option<usize>,
    /// The clusters of the route's destinations, in their order.
    pub clusters: Vec<String>,
    /// The clusters of its mirrors, in their order.
    pub mirrors: Vec<String>,
    /// `HOST:PORT` of the only destination, else the VirtualService's name and the port clients asked for.
    pub operation: String,
    /// The port clients asked for.
    pub port: u16,
    /// Whether clients come over TLS.
    pub is_tls: bool,
    /// What of a request decides its endpoint.
    pub hashes: Vec<HashKey>,
    /// How clients stay with one endpoint.
    pub session: Option<Session>,
}

impl Rule {
    /// The rule of a route under its `matches[condition]`, or under none. None where there is no such.
    pub fn new(source: &Arc<Source>, condition: Option<usize>) -> Option<Self> {
        if let Some(condition) = condition {
            source.route.matches.get(condition)?;
        }
        Some(Self {
            source: source.clone(),
            condition,
            clusters: Vec::new(),
            mirrors: Vec::new(),
            operation: String::new(),
            port: 0,
            is_tls: false,
            hashes: Vec::new(),
            session: None,
        })
    }

    /// The route.
    pub fn route(&self) -> &HttpRoute {
        &self.source.route
    }

    /// The condition; None takes every request.
    pub fn condition(&self) -> Option<&HttpMatch> {
        self.condition.and_then(|condition| self.source.route.matches.get(condition))
    }

    /// The VirtualService that wrote it, down to the route or its condition.
    pub fn origin(&self) -> Origin {
        let written = self.condition.and_then(|condition| self.source.conditions.get(condition));
        written.unwrap_or(&self.source.origin).clone()
    }

    /// The VirtualService that has the hosts: the same, unless it delegates.
    pub fn root(&self) -> &Origin {
        &self.source.root
    }
}

/// One HTTP route as it holds: as a VirtualService wrote it, or as one that is delegated to did, completed by
/// the route that delegates.
#[derive(Clone, Debug)]
pub struct Source {
    /// The route.
    pub(crate) route: HttpRoute,
    /// Where it was written.
    pub(crate) origin: Origin,
    /// Where each of its conditions was written.
    pub(crate) conditions: Vec<Origin>,
    /// The VirtualService that has the hosts.
    pub(crate) root: Origin,
    /// The digest of the objects it was made from.
    pub(crate) written: Digest,
}

impl Source {
    fn key(&self) -> impl Eq + Hash + '_ {
        (self.written, &self.origin, &self.root)
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// How a service keeps each client with one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Session {
    /// By a cookie that the proxy sets.
    Cookie {
        /// Its name.
        name: String,
        /// The path it is set for.
        path: String,
    },
    /// By a header that the proxy sets and clients send again.
    Header(String),
}
