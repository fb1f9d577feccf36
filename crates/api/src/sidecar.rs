//! Istio's Sidecar: what the proxies of some workloads see and listen to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::{Host, Labels, Protocol};

use crate::bind::Bind;
use crate::connection_pool::ConnectionPool;
use crate::tls::ServerTls;
use crate::virtual_service::Destination;

mod read;

pub(crate) use read::{FIELDS, read};

/// What the proxies of some workloads of a namespace see and listen to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sidecar {
    /// The labels of the workloads; None means all of the namespace, or of the mesh in its root namespace.
    pub workload_selector: Option<Labels>,
    /// What is listened to for the workload, in place of its services' ports.
    pub ingress: Vec<Ingress>,
    /// What is listened to for others; empty means the mesh's default, everything.
    pub egress: Vec<Egress>,
    /// What becomes of traffic to destinations nobody declared; None means the mesh's default.
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    /// Limits of connections to the workload.
    pub inbound_connection_pool: Option<ConnectionPool>,
}

/// One port that is listened to for the workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ingress {
    /// The port.
    pub port: Port,
    /// The address to listen on; None means the workload's.
    pub bind: Option<IpAddr>,
    /// Whether connections are captured.
    pub capture_mode: CaptureMode,
    /// Where connections go; None means the workload's address and the same port.
    pub default_endpoint: Option<DefaultEndpoint>,
    /// TLS that ends here: its certificates are files.
    pub tls: Option<ServerTls>,
    /// Limits of connections to this port.
    pub connection_pool: Option<ConnectionPool>,
}

/// One listener for others, or all that stand for services it sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Egress {
    /// The port; None means every port of the services seen.
    pub port: Option<Port>,
    /// Where to listen; None means the services' own addresses, or all.
    pub bind: Option<Bind>,
    /// Whether connections are captured.
    pub capture_mode: CaptureMode,
    /// The hosts seen.
    pub hosts: Vec<EgressHost>,
    /// Hosts that are not seen though one of `hosts` names them (written with `~`).
    pub except: Vec<EgressHost>,
}

/// A host and the namespaces it is seen in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressHost {
    /// The namespaces.
    pub namespace: EgressNamespace,
    /// The host, perhaps a wildcard.
    pub host: Host,
}

/// The namespaces a host is seen in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EgressNamespace {
    /// Every one (`*`).
    Any,
    /// This one.
    Named(String),
    /// The proxy's (`.`), which for a Sidecar of the root namespace is not the Sidecar's.
    Own,
}

/// A port of a Sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The number; 0 for a Unix socket.
    pub number: u16,
    /// The name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
}

/// Whether connections are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaptureMode {
    /// As the proxy's environment has it.
    #[default]
    Default,
    /// They are.
    Iptables,
    /// They are not: the listener is bound.
    None,
}

/// Where connections to the workload go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefaultEndpoint {
    /// A port of the workload's own address (`0.0.0.0:PORT`, `[::]:PORT`).
    Instance(u16),
    /// An address that only the workload itself reaches (`127.0.0.1:PORT`, `[::1]:PORT`).
    Loopback(SocketAddr),
    /// A Unix socket by its path, or by `@` and the name of an abstract one.
    Pipe(Arc<str>),
}

/// What becomes of traffic to destinations nobody declared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OutboundTrafficPolicy {
    /// Whether it goes out.
    pub mode: OutboundMode,
    /// The proxy it goes out through, with [`OutboundMode::AllowAny`] only.
    pub egress_proxy: Option<Destination>,
}

/// Whether traffic to destinations nobody declared goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutboundMode {
    /// It does, as it is.
    AllowAny,
    /// It does; where it is HTTP, to what the name it asks for resolves to. For the whole mesh only.
    AllowAnyDynamicDns,
    /// It does not.
    #[default]
    RegistryOnly,
}

#[cfg(test)]
mod tests;
