//! Slices: what one generator of xDS needs and nothing else, with a digest by which equal ones are shared.

mod cluster;
mod endpoint;
mod listener;
mod manner;
mod network;
mod route;
mod secret;
mod tcp;
mod tls;

pub use cluster::{
    Balance, Cluster, ClusterSlice, Discovery, Dns, DnsFamily, Localities, ServiceName, Upstream,
};
pub use endpoint::{Endpoint, EndpointGroup, EndpointSlice};
pub use listener::{
    Arrival, Chain, ChainMatch, Http, Listener, ListenerSlice, RouteSource, Sniffing, Terminal,
};
pub use manner::Manner;
pub use network::Network;
pub use route::{Route, RouteSlice, Rule, Session, Side, Source, VirtualHost};
pub use secret::{Material, SecretContent, SecretSlice};
pub use tcp::{Share, Tcp};
pub use tls::{ClientCertificates, ClientTls, ServerTls, TlsParameters, Trust};
