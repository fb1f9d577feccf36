//! What one proxy is to be told, as its own admin interface would dump it.

use http::StatusCode;
use proto::Any;
use proto::json::{Spelling, to_json_as};
use serde_json::{Value, json};
use xds::{Served, TypeUrl};

use crate::desk::Desk;
use crate::plane::Sight;
use crate::server::{Reply, json as json_reply, text};

/// Answers `?proxyID=NAME.NAMESPACE`; a connection's id or a whole node id will do as well.
pub(super) async fn page(desk: &Desk, query: &str) -> Reply {
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("proxyID=")).unwrap_or_default();
    if wanted.is_empty() {
        return text(StatusCode::BAD_REQUEST, "You must provide a proxyID in the query string\n");
    }
    let known = desk.proxies.by_connection().into_iter().find(|(connection, known)| {
        let id = &known.proxy.id;
        connection == wanted || known.node == wanted || format!("{}.{}", id.name, id.namespace) == wanted
    });
    let Some((_, known)) = known else {
        let message =
            "Proxy not connected to this Pilot instance. It may be connected to another instance.\n";
        return text(StatusCode::NOT_FOUND, message);
    };
    match desk.plane.see(&known.proxy, None).await {
        Some(sight) => json_reply(StatusCode::OK, &dump(&sight)),
        None => text(StatusCode::INTERNAL_SERVER_ERROR, "its configuration could not be made\n"),
    }
}

/// Every part of Envoy's dump, the empty ones too: its readers go by their order.
fn dump(sight: &Sight) -> Value {
    let version = sight.generation.to_string();
    let of = |ty: TypeUrl| sight.scope.shown(ty).map(move |served| resource(ty, served));
    let clusters: Vec<Value> = of(TypeUrl::Cluster).map(|cluster| json!({ "cluster": cluster })).collect();
    let listeners: Vec<Value> = of(TypeUrl::Listener)
        .map(|listener| {
            let name = listener["name"].clone();
            json!({ "name": name, "activeState": { "versionInfo": version, "listener": listener } })
        })
        .collect();
    let routes: Vec<Value> =
        of(TypeUrl::Route).map(|route| json!({ "versionInfo": version, "routeConfig": route })).collect();
    let part = |name: &str, mut part: Value| {
        part["@type"] = format!("type.googleapis.com/envoy.admin.v3.{name}").into();
        part
    };
    json!({ "configs": [
        part("BootstrapConfigDump", json!({})),
        part("ClustersConfigDump", json!({ "versionInfo": version, "dynamicActiveClusters": clusters })),
        part("ListenersConfigDump", json!({ "versionInfo": version, "dynamicListeners": listeners })),
        part("ScopedRoutesConfigDump", json!({})),
        part("RoutesConfigDump", json!({ "dynamicRouteConfigs": routes })),
        part("SecretsConfigDump", json!({})),
        part("EcdsConfigDump", json!({})),
    ] })
}

fn resource(ty: TypeUrl, served: &Served) -> Value {
    let any = Any { type_url: ty.as_str().to_owned(), value: served.value.to_vec() };
    to_json_as(&any, Spelling::Json)
}
