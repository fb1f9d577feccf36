//! The mesh as one value: resources become an immutable [`Snapshot`], a snapshot and a [`Proxy`] become a
//! [`View`] of slices, and every slice is exactly what one generator of xDS needs.
//!
//! Start at [`Snapshot::next`], then [`view()`].
//!
//! Never: an Envoy message, a socket, or a thought about how a slice is written on the wire.

mod address;
mod claim;
mod client_tls;
mod cluster;
mod connect;
mod delegate;
mod destination_rule;
mod endpoint;
mod entry;
mod exit;
mod gateway;
mod inbound;
mod labelled;
mod locality;
mod moved;
mod outbound;
mod outward;
mod policy;
mod port;
mod proxy;
mod reference;
mod registry;
mod scope;
mod secret;
mod server;
mod server_tls;
mod service;
mod services;
mod session;
mod settings;
mod sidecar;
mod site;
mod slice;
mod snapshot;
mod stat_name;
mod state;
mod tcp;
mod unknown;
mod vantage;
mod view;
mod virtual_ip;
mod virtual_service;
mod workload;

pub use proxy::{Dialect, Interception, Proxy};
pub use registry::{Finding, KnownInstance, KnownPort, KnownService, KnownWorkload};
pub use secret::secrets_behind;
pub use settings::{Exports, Requests, Settings, StatNames, Traffic};
pub use slice::{
    Arrival, Balance, Chain, ChainMatch, ClientCertificates, ClientTls, Cluster, ClusterSlice, Discovery,
    Dns, DnsFamily, Endpoint, EndpointGroup, EndpointSlice, Http, Listener, ListenerSlice, Localities,
    Manner, Material, Network, Route, RouteSlice, RouteSource, Rule, SecretContent, SecretSlice, ServerTls,
    ServiceName, Session, Share, Side, Sniffing, Source, Tcp, Terminal, TlsParameters, Trust, Upstream,
    VirtualHost,
};
pub use snapshot::Snapshot;
pub use view::{View, view};

/// What decides between two objects that claim the same: the older comes first, then the one whose name does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Age {
    /// None, the object without a time of its own, counts as the oldest.
    created: Option<String>,
    name: String,
    namespace: String,
}

fn age(meta: &api::Meta) -> Age {
    Age { created: meta.created.clone(), name: meta.name.to_string(), namespace: meta.namespace.to_string() }
}
