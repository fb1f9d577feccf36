//! The services there are, and how they are called.

use serde_json::{Value, json};

use super::draw::Draw;
use crate::exchange::Asked;
use crate::town::Town;

/// The port of every service over HTTP.
pub(super) const PORT: u16 = 8000;

/// Ports that belong to one configuration alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// The gateway's for TLS.
    pub(super) tls: u16,
    /// The gateway's for bytes.
    pub(super) tcp: u16,
    /// Of services that speak bytes.
    pub(super) bytes: u16,
    /// Of services that speak TLS themselves.
    pub(super) sealed: u16,
}

/// What of a request chooses the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Cookie,
    Header,
    Query,
    Source,
}

impl Hash {
    /// Whether a request has it; otherwise the endpoint is drawn.
    pub(super) fn is_in(self, asked: &Asked) -> bool {
        let has = |name: &str, what: fn(&str) -> bool| {
            asked.headers.iter().any(|(n, value)| *n == name && what(value))
        };
        match self {
            // An empty cookie is as good as none.
            Hash::Cookie => has("cookie", |value| !value.starts_with("session=;")),
            Hash::Header => has("x-user", |_| true),
            Hash::Query => asked.path.contains("q="),
            Hash::Source => true,
        }
    }
}

/// Every service.
pub(super) fn services(town: &Town, ports: Ports) -> Vec<Value> {
    let http = |name: &str| service(town, (name, &[name]), &[("http", PORT, "HTTP")]);
    let sealed =
        |name: &str| service(town, (name, &[name]), &[("http", PORT, "HTTP"), ("tls", ports.sealed, "TLS")]);
    let raw = |name: &str| service(town, (name, &[name]), &[("tcp", ports.bytes, "TCP")]);
    vec![
        http("one"),
        http("two"),
        service(town, ("many", &["many-1", "many-2", "many-3"]), &[("http", PORT, "HTTP")]),
        service(town, ("calls", &["calls"]), &[("grpc", PORT, "GRPC")]),
        sealed("sealed"),
        sealed("strict"),
        raw("bytes-1"),
        raw("bytes-2"),
        tls(town, "sealed", false),
        tls(town, "strict", true),
    ]
}

fn service(town: &Town, (name, backends): (&str, &[&str]), ports: &[(&str, u16, &str)]) -> Value {
    let endpoints: Vec<Value> = backends
        .iter()
        .enumerate()
        .map(|(index, backend)| {
            let at = town.at(backend);
            let ports: serde_json::Map<_, _> =
                ports.iter().map(|(name, ..)| ((*name).to_owned(), json!(at.port()))).collect();
            json!({
                "address": at.ip().to_string(),
                "ports": ports,
                "labels": {
                    "version": if index == 0 { "v1" } else { "v2" }, "security.istio.io/tlsMode": "istio",
                },
            })
        })
        .collect();
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, number, protocol)| json!({"number": number, "name": name, "protocol": protocol}))
        .collect();
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "hosts": [format!("{name}.test")], "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": ports, "endpoints": endpoints,
        },
    })
}

/// TLS to the port of a service that is for HTTP: what comes by the other has TLS of its own.
fn tls(town: &Town, name: &str, shows: bool) -> Value {
    let keys = &town.keys;
    let host = format!("{name}.test");
    let mut tls =
        json!({"mode": "SIMPLE", "caCertificates": keys.authority(), "sni": host, "subjectAltNames": [host]});
    if shows {
        tls["mode"] = json!("MUTUAL");
        tls["clientCertificate"] = json!(keys.certificate("client"));
        tls["privateKey"] = json!(keys.key("client"));
    }
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "host": host,
            "trafficPolicy": {"portLevelSettings": [{"port": {"number": PORT}, "tls": tls}]},
        },
    })
}

impl Draw<'_> {
    /// Every request of one kind finds the same endpoint of `many`, on every proxy.
    pub(super) fn hashed(&mut self) -> (Hash, [&'static str; 2], Value) {
        let kind =
            self.of(&["hash: header", "hash: cookie", "hash: query parameter", "hash: source address"]);
        let (hash, mut by) = match kind {
            "hash: header" => (Hash::Header, json!({"httpHeaderName": "x-user"})),
            "hash: cookie" => (Hash::Cookie, json!({"httpCookie": {"name": "session", "ttl": "0s"}})),
            "hash: query parameter" => (Hash::Query, json!({"httpQueryParameterName": "q"})),
            _ => (Hash::Source, json!({"useSourceIp": true})),
        };
        let table = self.of(&["ring hash", "Maglev"]);
        match table {
            "Maglev" => by["maglev"] = json!({"tableSize": 101}),
            _ => by["ringHash"] = json!({"minimumRingSize": 128}),
        }
        let rule = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "many", "namespace": "default"},
            "spec": {
                "host": "many.test",
                "trafficPolicy": {"loadBalancer": {"consistentHash": by}},
                "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
            },
        });
        (hash, [kind, table], rule)
    }
}
