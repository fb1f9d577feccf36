//! The types of resources, and those of them that were refused.

/// The type URL of clusters.
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// The type URL of the endpoints of a cluster.
pub const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// The type URL of listeners.
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// The type URL of secrets.
pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// The type URL of route configurations.
pub const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// A resource that was refused; its last good version, if it had one, stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The resource's type URL.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// The field that is wrong, and why.
    pub message: String,
}
