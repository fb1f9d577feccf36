//! The smallest configuration that serves: one listener, one table of routes, one cluster, its endpoints.

use std::net::SocketAddr;

use proto::Any;
use serde_json::{Value, json};
use xds::TypeUrl;

use crate::desk::Resource;

/// The listener's name.
pub const LISTENER: &str = "web";
/// The name of its routes.
pub const ROUTES: &str = "web-routes";
/// The cluster's name, and that of its endpoints.
pub const CLUSTER: &str = "backend";

/// The whole of it: what comes in at one address goes on to the other.
pub fn configuration(from: SocketAddr, to: SocketAddr) -> [Resource; 4] {
    [
        resource(TypeUrl::Listener, LISTENER, &listener(from)),
        resource(TypeUrl::Route, ROUTES, &routes()),
        resource(TypeUrl::Cluster, CLUSTER, &cluster()),
        resource(TypeUrl::Endpoint, CLUSTER, &endpoints(to)),
    ]
}

/// A resource of a message in JSON.
///
/// # Panics
/// When the JSON is not such a message.
pub fn resource(ty: TypeUrl, name: &str, message: &Value) -> Resource {
    let mut message = message.clone();
    message["@type"] = ty.as_str().into();
    let any: Any = proto::json::from_json(&message).unwrap_or_else(|error| panic!("{name}: {error}"));
    Resource { ty, name: name.into(), value: any.value }
}

/// A listener for HTTP, its routes by name.
pub fn listener(address: SocketAddr) -> Value {
    json!({
        "name": LISTENER,
        "address": socket(address),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "web",
                "rds": {"route_config_name": ROUTES, "config_source": {"ads": {}, "resource_api_version": "V3"}},
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }],
            },
        }]}],
    })
}

/// Everything to the cluster.
pub fn routes() -> Value {
    json!({
        "name": ROUTES,
        "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": CLUSTER}}],
        }],
    })
}

/// A cluster whose endpoints are discovered.
pub fn cluster() -> Value {
    json!({
        "name": CLUSTER,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
        "connect_timeout": "5s",
    })
}

/// One endpoint.
pub fn endpoints(address: SocketAddr) -> Value {
    json!({
        "cluster_name": CLUSTER,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(address)}}]}],
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}
