//! Slices of listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Address, Digest, Origin};

use crate::slice::manner::Manner;
use crate::slice::network::Network;
use crate::slice::route::{RouteSlice, Side};
use crate::slice::tcp::Tcp;
use crate::slice::tls::ServerTls;

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
    pub address: Address,
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
    /// How it treats what comes.
    pub manner: Arc<Manner>,
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
    /// The TLS it ends; None passes bytes on as they are.
    pub tls: Option<ServerTls>,
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
    /// Whether anything but TLS is taken. A chain beside one for HTTP must ask for as much as that: of those that are left
    /// Envoy tries the closest to a connection, and none after it.
    pub is_plaintext: bool,
    /// Whether only TLS is taken.
    pub is_tls: bool,
    /// The protocols a TLS client offers, one of which it must.
    pub offers: Vec<String>,
}

/// What a filter chain does with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// Routes its requests.
    Http(Http),
    /// Passes its bytes on.
    Tcp(Tcp),
}

/// How requests of a connection are routed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Http {
    /// The routes.
    pub routes: RouteSource,
    /// Istio's name of the statistics, without its final semicolon.
    pub stat_prefix: String,
    /// Whether unknown hosts are resolved by DNS (see [`Discovery::DynamicForward`](crate::Discovery::DynamicForward)).
    pub forwards_by_dns: bool,
    /// Whether some routes keep clients with one endpoint.
    pub keeps_sessions: bool,
    /// Whether clients may ask for tunnels (CONNECT).
    pub takes_tunnels: bool,
}

/// Where routes come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteSource {
    /// RDS, under this name.
    Dynamic(String),
    /// They are part of the listener.
    Inline(Arc<RouteSlice>),
}
