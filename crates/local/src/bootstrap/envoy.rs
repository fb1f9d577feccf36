//! The same bootstrap, as a stock Envoy reads it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use base::{Bootstrap, Discovery};

/// The type of the HTTP connection manager's settings.
const HTTP_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The type of the router's settings.
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

/// The type of a cluster's HTTP options.
const HTTP_OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The type of the limit on open connections.
const CONNECTION_LIMIT: &str = "type.googleapis.com/\
    envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";

/// The type of the settings of its resolver.
const CARES: &str =
    "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";

/// The most connections an Envoy takes from all its clients together.
const CONNECTIONS: u32 = 65_536;

/// Writes the bootstrap for a stock Envoy: delta ADS, admin, readiness and metrics on the usual ports.
///
/// The access log is not in it: Envoy's listeners write theirs where the control plane says, to standard output.
pub fn envoy(bootstrap: &Bootstrap) -> Value {
    let mut written = json!({
        "node": {
            "id": bootstrap.id,
            "cluster": bootstrap.cluster,
            "metadata": bootstrap.metadata,
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }],
            },
            "cds_config": by_ads(),
            "lds_config": by_ads(),
        },
        "static_resources": {
            "clusters": [discovery(&bootstrap.discovery), admin_cluster(bootstrap.admin)],
            "listeners": [
                forwarder("readiness", bootstrap.readiness, "/healthz/ready", "/ready"),
                forwarder("metrics", bootstrap.metrics, "/stats/prometheus", "/stats/prometheus"),
            ],
        },
        "admin": { "address": address(bootstrap.admin) },
        "stats_config": { "use_all_default_tags": true, "stats_tags": tags() },
        "overload_manager": {
            "resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": CONNECTION_LIMIT, "max_active_downstream_connections": CONNECTIONS,
                },
            }],
        },
    });
    if !bootstrap.dns.is_empty() {
        written["typed_dns_resolver_config"] = resolver(&bootstrap.dns);
    }
    written
}

/// The resolver that asks these servers and no others.
fn resolver(servers: &[SocketAddr]) -> Value {
    json!({
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": CARES,
            "resolvers": servers.iter().map(|at| address(*at)).collect::<Vec<_>>(),
            "dns_resolver_options": { "no_default_search_domain": true },
        },
    })
}

/// Waits for the first answer however long it takes: with none there is nothing to serve.
fn by_ads() -> Value {
    json!({ "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" })
}

fn discovery(at: &Discovery) -> Value {
    let address = match at {
        Discovery::Tcp(at) => address(*at),
        Discovery::Unix(path) => json!({ "pipe": { "path": path } }),
    };
    json!({
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment("xds-grpc", &address),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP_OPTIONS,
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": { "interval": "30s", "timeout": "10s" },
                    },
                },
            },
        },
    })
}

fn admin_cluster(at: SocketAddr) -> Value {
    json!({
        "name": "prometheus_stats",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment("prometheus_stats", &address(at)),
    })
}

fn assignment(cluster: &str, address: &Value) -> Value {
    json!({
        "cluster_name": cluster,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
    })
}

/// A listener that shows one path of the admin interface and nothing else of it.
fn forwarder(name: &str, at: SocketAddr, path: &str, admin_path: &str) -> Value {
    json!({
        "name": name,
        "address": address(at),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": HTTP_MANAGER,
                "stat_prefix": name,
                "route_config": { "virtual_hosts": [{
                    "name": name,
                    "domains": ["*"],
                    "routes": [{
                        "match": { "path": path },
                        "route": { "cluster": "prometheus_stats", "prefix_rewrite": admin_path },
                    }],
                }] },
                "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": ROUTER } }],
            },
        }] }],
    })
}

/// The names our listeners and clusters have contain dots, which Envoy's own rules take for separators.
fn tags() -> Value {
    json!([
        { "tag_name": "cluster_name", "regex": r"^cluster\.(((?:outbound|inbound)\|.*?\.svc\.[a-z0-9.-]*?local;?|[^.]+)\.)" },
        { "tag_name": "http_conn_manager_prefix", "regex": r"^http\.(((?:outbound|inbound)_[^;]*;|[^.]+)\.)" },
    ])
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}
