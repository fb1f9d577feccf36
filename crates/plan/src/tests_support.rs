//! What the tests of several modules share: resources as JSON, requests, a store.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use filter::{Built, Exchange, Filter, FilterConfig, Phases, Registry, Verdict};
use proto::Any;
use serde_json::{Value, json};

use crate::store::Store;

/// A resource from its JSON, without its `@type`.
pub(crate) fn any(type_url: &str, mut json: Value) -> Any {
    json["@type"] = type_url.into();
    proto::json::from_json(&json).unwrap()
}

/// Puts resources of one type into a store and returns the complaints.
pub(crate) fn put(store: &mut Store, type_url: &str, all: &[Value]) -> Vec<String> {
    let name =
        |json: &Value| json.get("cluster_name").or(json.get("name")).unwrap().as_str().unwrap().to_owned();
    let added: Vec<_> = all.iter().map(|json| (name(json), any(type_url, json.clone()))).collect();
    store
        .update(type_url, &added, &[])
        .into_iter()
        .map(|reject| format!("{}: {}", reject.name, reject.message))
        .collect()
}

/// The head of a GET.
pub(crate) fn get(uri: &str, headers: &[(&str, &str)]) -> http::request::Parts {
    let mut builder = http::Request::get(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

/// A filter that says how it was configured: listener's stat prefix, then the route's.
#[derive(Debug)]
struct Told(String);

impl Filter for Told {
    fn name(&self) -> &str {
        &self.0
    }

    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn request_head(&self, _x: &mut Exchange) -> Verdict {
        Verdict::Continue
    }
}

/// A filter is inert unless a route configures it; the key `bad` is wrong.
fn make(config: FilterConfig<'_>) -> Result<Built, String> {
    let Some(route) = config.route else { return Ok(Built::Inert) };
    let message: proto::google::protobuf::Struct = proto::any::unpack(route)?;
    let keys: Vec<_> = message.fields.keys().cloned().collect();
    match keys.iter().any(|key| key == "bad") {
        true => Err("bad is wrong".into()),
        false => Ok(Built::Filter(Arc::new(Told(format!("{}:{}", config.name, keys.join(",")))))),
    }
}

/// A registry of that filter and an inert one.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register("google.protobuf.Struct", make);
    registry.register_inert("stats.PluginConfig", "counted elsewhere");
    registry
}

/// A store with that registry.
pub(crate) fn store() -> Store {
    Store::new(registry())
}

/// The configuration of that filter on a route.
pub(crate) fn told(key: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": {key: true}})
}

/// A network filter that speaks HTTP, with the fields given.
pub(crate) fn http_filter(fields: Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "http_filters": [
            {"name": "told", "typed_config": told("listener")},
            {"name": "stats", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}},
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            },
        ],
    });
    for (key, value) in fields.as_object().unwrap() {
        manager[key] = value.clone();
    }
    json!({"name": "http", "typed_config": manager})
}

/// A network filter that forwards bytes to a cluster.
pub(crate) fn tcp_filter(cluster: &str) -> Value {
    json!({
        "name": "tcp",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "x",
            "cluster": cluster,
        },
    })
}

/// A listener of one chain.
pub(crate) fn listener(name: &str, port: u16, filter: Value) -> Value {
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [filter]}],
    })
}

/// A listener of one chain that takes its routes by name.
pub(crate) fn listener_of_routes(name: &str, port: u16, routes: &str) -> Value {
    listener(name, port, http_filter(json!({"rds": {"route_config_name": routes}})))
}

/// A route by prefix to a cluster of the same name.
pub(crate) fn to(prefix: &str, cluster: &str) -> Value {
    json!({"name": cluster, "match": {"prefix": prefix}, "route": {"cluster": cluster}})
}

/// A route configuration of one virtual host for every domain.
pub(crate) fn routes(name: &str, routes: &[Value]) -> Value {
    json!({"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
}
