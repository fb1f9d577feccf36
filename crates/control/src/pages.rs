//! The pages on 15014: readiness, metrics, and what istiod's tools ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use xds::{Connection, TypeUrl};

use crate::desk::Desk;
use crate::metrics::{Gauges, Metrics};
use crate::proxies::Known;
use crate::server::{Handler, Reply, json as json_reply, reply, text};

#[cfg(test)]
mod tests;

const INDEX: &str = "/debug/syncz  what each connected proxy was sent and has acknowledged\n";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers on 15014.
pub(crate) struct Pages {
    pub(crate) desk: Arc<Desk>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) is_ready: watch::Receiver<bool>,
}

impl Handler for Pages {
    async fn handle(&self, request: Request<Incoming>) -> Reply {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "these pages can only be read\n");
        }
        match request.uri().path() {
            "/ready" if *self.is_ready.borrow() => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "discovery is not served\n"),
            "/metrics" => reply(StatusCode::OK, PROMETHEUS, self.metrics()),
            "/debug" | "/debug/" => text(StatusCode::OK, INDEX),
            "/debug/syncz" => {
                let rows = syncz(&self.desk.connections.list(), &self.desk.proxies.by_connection());
                json_reply(StatusCode::OK, &rows)
            }
            path => text(StatusCode::NOT_FOUND, format!("there is no {path}\n")),
        }
    }
}

impl Pages {
    fn metrics(&self) -> String {
        let standing = self.desk.built.standing();
        self.metrics.render(Gauges {
            proxies: self.desk.proxies.count(),
            services: standing.set.services().count(),
            virtual_services: standing.set.virtual_services().count(),
            issues: standing.issues.len(),
        })
    }
}

/// istiod's rows: one per proxy, with the last nonce sent and acknowledged of every type.
fn syncz(connections: &[Connection], known: &BTreeMap<String, Known>) -> Vec<Value> {
    connections.iter().map(|connection| row(connection, known.get(&connection.id))).collect()
}

fn row(connection: &Connection, known: Option<&Known>) -> Value {
    let mut parts = connection.node.split('~');
    let kind = parts.next().unwrap_or_default();
    let proxy = parts.nth(1).unwrap_or_default();
    let mut row = Map::new();
    row.insert("cluster_id".into(), json!(known.map_or("", |known| &known.cluster)));
    row.insert("proxy".into(), json!(proxy));
    row.insert("proxy_type".into(), json!(kind));
    row.insert("istio_version".into(), json!(known.map_or("", |known| &known.version)));
    let mut resources = Map::new();
    for (ty, status) in &connection.types {
        if let Some(name) = long_name(*ty) {
            row.insert(format!("{name}_sent"), json!(status.nonce_sent));
            row.insert(format!("{name}_acked"), json!(status.nonce_acked));
        }
        let entry = json!({ "sent": status.nonce_sent, "acked": status.nonce_acked });
        resources.insert(ty.as_str().into(), entry);
    }
    row.insert("resources".into(), Value::Object(resources));
    Value::Object(row)
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
