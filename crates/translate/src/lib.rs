//! Slices become xDS: clusters, endpoints, listeners and routes under Istio's names, in the words of a stock Envoy.
//!
//! Start at [`clusters`], [`endpoints`], [`listeners`] and [`route`]: each takes exactly what it depends on, and
//! equal slices become equal bytes.
//!
//! Never: a second look at resources or at who asks. What is not in the slice does not count.

mod access_log;
mod action;
mod balance;
mod cluster;
mod condition;
mod connect;
mod cors;
mod endpoint;
mod fault;
mod header;
mod http;
mod listener;
mod origin;
mod outlier;
mod pool;
mod retry;
mod route;
mod secret;
mod session;
mod tls;
mod wire;

use proto::Any;

/// One resource of xDS.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The resource, packed; equal slices give equal bytes.
    pub any: Any,
}

/// Every cluster of a slice, in its order.
pub fn clusters(slice: &mesh::ClusterSlice) -> Vec<Output> {
    slice.clusters.iter().map(|cluster| self::cluster(cluster)).collect()
}

/// One cluster.
pub fn cluster(cluster: &mesh::Cluster) -> Output {
    Output { name: cluster.name.clone(), any: proto::any::pack(&cluster::cluster(cluster)) }
}

/// Every listener of a slice, in its order.
pub fn listeners(slice: &mesh::ListenerSlice) -> Vec<Output> {
    slice.listeners.iter().map(|listener| self::listener(listener)).collect()
}

/// One listener.
pub fn listener(listener: &mesh::Listener) -> Output {
    Output { name: listener.name.clone(), any: proto::any::pack(&listener::listener(listener)) }
}

/// The route configuration of a slice.
pub fn route(slice: &mesh::RouteSlice) -> Output {
    Output { name: slice.name.clone(), any: proto::any::pack(&route::configuration(slice)) }
}

/// The secret of a slice.
pub fn secret(slice: &mesh::SecretSlice) -> Output {
    Output { name: slice.name.clone(), any: proto::any::pack(&secret::secret(slice)) }
}

/// The endpoints of a slice.
pub fn endpoints(slice: &mesh::EndpointSlice) -> Output {
    let assignment = endpoint::assignment(&slice.cluster, &slice.groups);
    Output { name: slice.cluster.clone(), any: proto::any::pack(&assignment) }
}
