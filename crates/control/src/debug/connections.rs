//! Who is connected, and how each stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use xds::{Connection, TypeStatus, TypeUrl};

use super::moment;
use crate::desk::Desk;
use crate::node;
use crate::proxies::Known;

/// istiod's rows: one per proxy, with the last nonce sent and acknowledged of every type.
pub(super) fn syncz(desk: &Desk) -> Value {
    rows(&desk.connections.list(), &desk.proxies.by_connection())
}

pub(super) fn rows(connections: &[Connection], known: &BTreeMap<String, Known>) -> Value {
    connections.iter().map(|connection| row(connection, known.get(&connection.id))).collect()
}

fn row(connection: &Connection, known: Option<&Known>) -> Value {
    let mut row = Map::new();
    let mut put = |key: String, text: &str| drop(row.insert(key, json!(text)));
    put("cluster_id".into(), known.map_or("", |known| &known.cluster));
    put("proxy".into(), name(connection));
    put("proxy_type".into(), connection.node.id.split('~').next().unwrap_or_default());
    put("istio_version".into(), known.map_or("", |known| &known.version));
    let mut resources = Map::new();
    for (ty, status) in &connection.types {
        if let Some(long) = long_name(*ty) {
            put(format!("{long}_sent"), &status.nonce_sent);
            put(format!("{long}_acked"), &status.nonce_acked);
        }
        resources.insert(ty.as_str().into(), synced(status));
    }
    row.insert("resources".into(), Value::Object(resources));
    Value::Object(row)
}

fn synced(status: &TypeStatus) -> Value {
    let mut synced = json!({ "sent": status.nonce_sent, "acked": status.nonce_acked });
    if let Some(at) = status.sent_at {
        synced["sentTime"] = moment::render(at).into();
    }
    synced
}

fn long_name(ty: TypeUrl) -> Option<&'static str> {
    match ty {
        TypeUrl::Cluster => Some("cluster"),
        TypeUrl::Endpoint => Some("endpoint"),
        TypeUrl::Listener => Some("listener"),
        TypeUrl::Route => Some("route"),
        TypeUrl::Secret => None,
    }
}

/// What istiod's tools call a proxy, `NAME.NAMESPACE`.
pub(super) fn name(connection: &Connection) -> &str {
    connection.node.id.split('~').nth(2).unwrap_or(&connection.node.id)
}

/// Who is connected, and since when.
pub(super) fn connections(desk: &Desk) -> Value {
    clients(desk.connections.list().iter().map(brief).collect())
}

/// The same, with what each says of itself and asks for.
pub(super) async fn adsz(desk: &Desk) -> Value {
    let known = desk.proxies.by_connection();
    let mut all = Vec::new();
    for connection in desk.connections.list() {
        let mut client = brief(&connection);
        let known = known.get(&connection.id);
        client["labels"] = known.map_or_else(|| json!({}), |known| json!(known.proxy.labels));
        client["metadata"] = node::metadata(&connection.node);
        client["locality"] = locality(&connection);
        client["watches"] = watches(desk, &connection, known).await;
        all.push(client);
    }
    clients(all)
}

fn clients(clients: Vec<Value>) -> Value {
    json!({ "totalClients": clients.len(), "clients": clients })
}

fn brief(connection: &Connection) -> Value {
    json!({
        "connectionId": connection.id,
        "connectedAt": moment::render(connection.since),
        "address": connection.peer.to_string(),
    })
}

fn locality(connection: &Connection) -> Value {
    let locality = connection.node.locality.clone().unwrap_or_default();
    let parts = [("region", locality.region), ("zone", locality.zone), ("sub_zone", locality.sub_zone)];
    let known = parts.into_iter().filter(|(_, part)| !part.is_empty());
    Value::Object(known.map(|(key, part)| (key.to_owned(), json!(part))).collect())
}

/// The names of each type: those asked for, or all there are where everything is.
async fn watches(desk: &Desk, connection: &Connection, known: Option<&Known>) -> Value {
    let mut watches = Map::new();
    let sight = match known {
        Some(known) => desk.plane.see(&known.proxy, None).await,
        None => None,
    };
    for (ty, status) in &connection.types {
        let names: Vec<Arc<str>> = match &sight {
            Some(sight) if status.is_wildcard => {
                sight.scope.shown(*ty).map(|served| served.name.clone()).collect()
            }
            _ => status.watched.asked().cloned().collect(),
        };
        watches.insert(ty.as_str().into(), names.iter().map(|name| json!(**name)).collect());
    }
    Value::Object(watches)
}
