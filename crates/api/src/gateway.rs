//! Istio's Gateway: what a gateway proxy listens to.

use base::{Host, Labels, Protocol};

use crate::bind::Bind;
use crate::tls::ServerTls;

mod read;

pub(crate) use read::{FIELDS, read};

/// The servers of the gateway proxies that a selector picks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// The labels of the gateway workloads; empty means all of them.
    pub selector: Labels,
    /// The servers.
    pub servers: Vec<Server>,
}

/// One port of a gateway and the hosts behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// The server's name, empty where none is written.
    pub name: String,
    /// The port clients see.
    pub port: Port,
    /// Where to listen; None means all addresses.
    pub bind: Option<Bind>,
    /// The hosts exposed; never empty.
    pub hosts: Vec<ServerHost>,
    /// TLS; Some where the protocol is HTTPS or TLS, or another stream that is to be wrapped in TLS.
    pub tls: Option<ServerTls>,
    /// Whether clients that come without TLS are sent to `https` (`tls.httpsRedirect`).
    pub redirects: bool,
}

/// A port of a gateway's server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The number; 0 for a Unix socket.
    pub number: u16,
    /// The name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The number the gateway listens on, where it is not the one clients see.
    pub target_port: Option<u16>,
}

/// A host and the namespaces whose VirtualServices may claim it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerHost {
    /// The namespace; None means any. The Gateway's own `.` has been replaced by its name.
    pub namespace: Option<String>,
    /// The host.
    pub host: Host,
}

#[cfg(test)]
mod tests;
