//! The mesh as one value: resources become an immutable [`Snapshot`], a snapshot and a [`Proxy`] become a
//! [`View`] of slices, and every slice is exactly what one generator of xDS needs.
//!
//! Start at [`Snapshot::next`], then [`view()`].
//!
//! Never: an Envoy message, a socket, or a thought about how a slice is written on the wire.

mod address;
mod cluster;
mod destination_rule;
mod gateway;
mod inbound;
mod outbound;
mod proxy;
mod reference;
mod service;
mod settings;
mod sidecar;
mod slice;
mod snapshot;
mod view;
mod virtual_service;

pub use proxy::{Dialect, Interception, Proxy};
pub use settings::{OutboundPolicy, Settings};
pub use slice::{
    Arrival, Chain, ChainMatch, Cluster, ClusterSlice, Discovery, Endpoint, EndpointSlice, Http, Listener,
    ListenerSlice, Network, Route, RouteSlice, RouteSource, Rule, ServiceName, Side, Sniffing, Terminal,
    Upstream, VirtualHost,
};
pub use snapshot::Snapshot;
pub use view::{View, view};

/// What decides between two objects that claim the same: the older comes first, then the one whose name does.
/// An object without a time of its own counts as the oldest.
fn age(meta: &api::Meta) -> (Option<String>, String, String) {
    (meta.created.clone(), meta.name.to_string(), meta.namespace.to_string())
}
