//! A running proxy and the configuration it is given.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base::Bootstrap;
use proto::Any;
use proxy::{Control, Machine};
use serde_json::{Value, json};
use xds::{Accept, Added, Reject, TypeUrl, Update};

/// The address every test's listener asks for; the kernel chooses the port.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// A proxy with one worker, no control plane, and an access log of its own.
pub(crate) struct Bed {
    pub(crate) machine: Machine,
    pub(crate) control: Control,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bed {
    /// Starts a proxy that serves nothing yet.
    pub(crate) async fn start() -> Self {
        Self::of_kind("sidecar").await
    }

    /// Starts one that is to follow a control plane.
    pub(crate) async fn following(discovery: SocketAddr) -> Self {
        Self::with("sidecar", discovery, Vec::new()).await
    }

    /// Starts one that asks a name server.
    pub(crate) async fn asking(dns: SocketAddr) -> Self {
        Self::with("sidecar", ANY.parse().unwrap(), vec![dns]).await
    }

    /// Starts one as a sidecar or a router.
    pub(crate) async fn of_kind(kind: &str) -> Self {
        Self::with(kind, ANY.parse().unwrap(), Vec::new()).await
    }

    async fn with(kind: &str, discovery: SocketAddr, dns: Vec<SocketAddr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let any: SocketAddr = ANY.parse().unwrap();
        let bootstrap = Bootstrap {
            id: format!("{kind}~127.0.0.1~tested.default~default.svc.cluster.local"),
            cluster: "tested.default".into(),
            metadata: [("LABELS".to_owned(), json!({ "app": "tested", "version": "v1" }))].into(),
            discovery: discovery.into(),
            admin: any,
            readiness: any,
            metrics: any,
            access_log: Some(log.clone()),
            concurrency: Some(1),
            dns,
        };
        let (machine, control) = Machine::start(bootstrap).await.unwrap();
        Self { machine, control, log, _folder: folder }
    }

    /// Applies resources given as JSON; nothing may be refused.
    pub(crate) async fn apply(&mut self, ty: TypeUrl, resources: &[Value]) {
        let rejects = self.try_apply(ty, resources).await;
        assert_eq!(rejects, []);
    }

    /// Applies resources given as JSON.
    pub(crate) async fn try_apply(&mut self, ty: TypeUrl, resources: &[Value]) -> Vec<Reject> {
        let added = resources.iter().map(|resource| {
            let name =
                resource.get("name").or(resource.get("cluster_name")).unwrap().as_str().unwrap().to_owned();
            let mut typed = resource.clone();
            typed["@type"] = ty.as_str().into();
            Added { name, any: proto::json::from_json::<Any>(&typed).unwrap(), version: "1".into() }
        });
        let update = Update { ty, added: added.collect(), removed: Vec::new() };
        self.control.apply(update).await
    }

    /// Removes resources.
    pub(crate) async fn remove(&mut self, ty: TypeUrl, names: &[&str]) {
        let removed = names.iter().map(ToString::to_string).collect();
        self.control.apply(Update { ty, added: Vec::new(), removed }).await;
    }

    /// Serves routes on the one listener, with clusters of fixed endpoints.
    pub(crate) async fn serve(&mut self, clusters: &[(&str, &[SocketAddr])], routes: Value) {
        let clusters: Vec<Value> =
            clusters.iter().map(|(name, endpoints)| cluster(name, endpoints)).collect();
        self.apply(TypeUrl::Cluster, &clusters).await;
        self.apply(TypeUrl::Listener, &[listener("web", manager(json!({})))]).await;
        self.apply(TypeUrl::Route, &[route_configuration(routes)]).await;
    }

    /// The listener's real address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.machine.bound(ANY.parse().unwrap()).expect("the listener is bound")
    }

    /// Ends the proxy; its whole access log.
    pub(crate) async fn drain(self, time: Duration) -> Vec<String> {
        self.machine.drain(time).await;
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The access log once it holds `count` lines.
    pub(crate) async fn log_lines(&self, count: usize) -> Vec<String> {
        let all = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let text = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                if lines.len() >= count {
                    return lines;
                }
                tokio::task::yield_now().await;
            }
        });
        all.await.expect("the lines are written")
    }
}

/// A cluster of fixed endpoints.
pub(crate) fn cluster(name: &str, endpoints: &[SocketAddr]) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment(name, endpoints),
    })
}

/// A cluster that speaks HTTP/2 to its endpoints.
pub(crate) fn cluster_http2(name: &str, endpoints: &[SocketAddr]) -> Value {
    let mut cluster = cluster(name, endpoints);
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    cluster
}

/// The endpoints of a cluster.
pub(crate) fn assignment(name: &str, endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|e| json!({ "endpoint": { "address": { "socket_address": { "address": e.ip().to_string(), "port_value": e.port() } } } }))
        .collect();
    json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] })
}

/// An HTTP manager that takes its routes by name; `more` overrides or adds fields.
pub(crate) fn manager(more: Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "rds": { "route_config_name": "routes", "config_source": { "ads": {} } },
        "server_name": "istio-envoy",
        "http_filters": [fault(), router()],
        "access_log": log(),
    });
    for (name, value) in more.as_object().unwrap() {
        manager[name] = value.clone();
    }
    manager
}

/// What writes lines to the access log.
pub(crate) fn log() -> Value {
    json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
        },
    }])
}

/// The fault filter, which routes configure.
pub(crate) fn fault() -> Value {
    json!({
        "name": "envoy.filters.http.fault",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault" },
    })
}

/// The filter at the end.
pub(crate) fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    })
}

/// A listener with one filter.
pub(crate) fn listener(name: &str, filter: Value) -> Value {
    let address: SocketAddr = ANY.parse().unwrap();
    json!({
        "name": name,
        "address": { "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } },
        "filter_chains": [{ "filters": [{ "name": "main", "typed_config": filter }] }],
    })
}

/// A route configuration with one virtual host for everything.
pub(crate) fn route_configuration(routes: Value) -> Value {
    json!({
        "name": "routes",
        "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }],
    })
}

/// A route of a prefix to a cluster; `more` adds to the action.
pub(crate) fn to(prefix: &str, cluster: &str, more: Value) -> Value {
    let mut action = json!({ "cluster": cluster });
    for (name, value) in more.as_object().unwrap() {
        action[name] = value.clone();
    }
    json!({ "name": format!("to-{cluster}"), "match": { "prefix": prefix }, "route": action })
}
