//! Objects of every kind of the routing API: few hosts, names and ports, so that they meet.

use proptest::prelude::*;
use serde_json::{Value, json};

const HOSTS: [&str; 8] = [
    "web",
    "api.other",
    "api.other.svc.cluster.local",
    "*",
    "*.svc.cluster.local",
    "a.example.com",
    "*.example.com",
    "gone",
];
const NETWORKS: [&str; 5] = ["10.9.0.0/16", "10.9.0.1", "10.0.0.1", "0.0.0.0/0", "2001:db8::/32"];
pub(super) const NAMESPACES: [&str; 3] = ["default", "other", "istio-system"];
const PROTOCOLS: [&str; 8] = ["http", "http2", "grpc", "tcp", "tls", "mongo", "x", "https"];

/// One of several.
pub(super) fn one<T: Clone + std::fmt::Debug + 'static>(of: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(of.to_vec())
}

fn port() -> impl Strategy<Value = u16> {
    one(&[80, 443, 8080, 9080, 15007, 65535])
}

fn object(kind: &str, version: &str, spec: Value) -> impl Strategy<Value = Value> + use<> {
    let (kind, version) = (kind.to_owned(), version.to_owned());
    (
        one(&["a", "b", "c", "d", "e", "f", "web", "api"]),
        one(&NAMESPACES),
        one(&["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]),
    )
        .prop_map(move |(name, namespace, created)| {
            json!({
                "apiVersion": version, "kind": kind, "spec": spec,
                "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
            })
        })
}

fn service() -> impl Strategy<Value = Value> {
    let ports = proptest::collection::btree_map(port(), (one(&PROTOCOLS), port()), 1..3);
    (ports, one(&["10.0.0.1", "10.0.0.2", "None"]), one(&["web", "api"])).prop_flat_map(|(ports, ip, app)| {
        let ports: Vec<Value> = ports
            .iter()
            .map(|(number, (protocol, target))| {
                json!({"name": format!("{protocol}-{number}"), "port": number, "targetPort": target})
            })
            .collect();
        object("Service", "v1", json!({"clusterIP": ip, "selector": {"app": app}, "ports": ports}))
    })
}

fn entry() -> impl Strategy<Value = Value> {
    let addresses = proptest::collection::vec(one(&["10.9.0.0/16", "10.9.0.1", "2001:db8::/32"]), 0..3);
    let resolution = one(&["STATIC", "DNS", "NONE", "DNS_ROUND_ROBIN"]);
    (one(&["a.example.com", "*.example.com", "b.example.org"]), addresses, resolution, port(), one(&["HTTP", "TCP", "TLS", "GRPC"]))
        .prop_flat_map(|(host, addresses, resolution, port, protocol)| {
            let mut spec = json!({
                "hosts": [host], "addresses": addresses, "resolution": resolution,
                "ports": [{"number": port, "name": "p", "protocol": protocol}],
            });
            if resolution == "STATIC" {
                spec["endpoints"] = json!([{"address": "10.1.1.1", "weight": u32::MAX}, {"address": "10.1.1.2", "weight": u32::MAX}]);
            }
            object("ServiceEntry", "networking.istio.io/v1", spec)
        })
}

fn workload() -> impl Strategy<Value = Value> {
    let address = one(&["10.0.0.9", "127.77.4.1", "10.0.0.7", "host.example.com", "unix:///run/app.sock"]);
    (address, one(&["web", "api"]), one(&["v1", "v2"])).prop_flat_map(|(address, app, version)| {
        let spec = json!({"address": address, "labels": {"app": app, "version": version}});
        object("WorkloadEntry", "networking.istio.io/v1", spec)
    })
}

fn virtual_service() -> impl Strategy<Value = Value> {
    let gateways = one(&[json!(["mesh"]), json!(["a"]), json!(["mesh", "other/b"])]);
    let hosts = proptest::collection::vec(one(&HOSTS), 1..3);
    let http = proptest::collection::vec(http_route(), 0..4);
    let tls = proptest::collection::vec(tls_route(), 0..3);
    let tcp = proptest::collection::vec(tcp_route(), 0..3);
    (hosts, gateways, http, tls, tcp).prop_flat_map(|(hosts, gateways, http, mut tls, tcp)| {
        // A server name must be one of the hosts.
        for (route, host) in tls.iter_mut().zip(hosts.iter().cycle()) {
            route["match"][0]["sniHosts"] = json!([host]);
        }
        let spec = json!({"hosts": hosts, "gateways": gateways, "http": http, "tls": tls, "tcp": tcp});
        object("VirtualService", "networking.istio.io/v1", spec)
    })
}

fn http_route() -> impl Strategy<Value = Value> {
    let condition = (one(&["/", "/a", "/%2f"]), one(&["exact", "prefix", "regex"]), port());
    let conditions = proptest::collection::vec(condition, 0..3);
    (conditions, one(&HOSTS[4..]), one(&[0u32, 1, 99]), 0u8..4).prop_map(
        |(conditions, host, weight, kind)| {
            let host = host.trim_start_matches("*.");
            let mut route = match kind {
                0 => json!({"redirect": {"authority": "x.example.com"}}),
                1 => json!({"directResponse": {"status": 503}}),
                _ => json!({"route": [
                    {"destination": {"host": host, "subset": "v1"}, "weight": weight},
                    {"destination": {"host": "web"}, "weight": 100 - weight},
                ]}),
            };
            let matches: Vec<Value> = conditions
                .iter()
                .map(|(path, how, port)| json!({"uri": {*how: path}, "port": port}))
                .collect();
            if !matches.is_empty() {
                route["match"] = matches.into();
            }
            route
        },
    )
}

/// Where connections go: all to one host, or shared by two.
fn shares() -> impl Strategy<Value = Value> {
    (one(&HOSTS), one(&[0u32, 1, 99, 100])).prop_map(|(host, weight)| {
        let host = host.trim_start_matches("*.").replace('*', "web");
        json!([
            {"destination": {"host": host, "port": {"number": 443}}, "weight": weight},
            {"destination": {"host": "api.other", "subset": "v1"}, "weight": 100 - weight},
        ])
    })
}

/// Connections by server name, which is left out.
fn tls_route() -> impl Strategy<Value = Value> {
    (connections(), shares()).prop_map(|(condition, shares)| json!({"match": [condition], "route": shares}))
}

fn tcp_route() -> impl Strategy<Value = Value> {
    (proptest::collection::vec(connections(), 0..3), shares())
        .prop_map(|(conditions, shares)| json!({"match": conditions, "route": shares}))
}

fn connections() -> impl Strategy<Value = Value> {
    let networks = proptest::collection::vec(one(&NETWORKS), 0..2);
    (proptest::option::of(port()), networks).prop_map(|(port, networks)| {
        let mut condition = json!({"destinationSubnets": networks});
        if let Some(port) = port {
            condition["port"] = port.into();
        }
        condition
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let tls = one(&[
        Value::Null,
        json!({"mode": "DISABLE"}),
        json!({"mode": "SIMPLE", "sni": "a.example.com"}),
        json!({"mode": "SIMPLE", "credentialName": "keys"}),
        json!({"mode": "MUTUAL", "clientCertificate": "/c", "privateKey": "/k"}),
    ]);
    let balancer = one(&[
        json!({"simple": "RANDOM"}),
        json!({"consistentHash": {"httpHeaderName": "x-user"}}),
        json!({"consistentHash": {"useSourceIp": true, "maglev": {"tableSize": 17}}}),
        json!({"simple": "PASSTHROUGH"}),
        json!({"simple": "LEAST_REQUEST", "warmup": {"duration": "10s"}}),
    ]);
    (one(&HOSTS), tls, balancer, port(), any::<bool>()).prop_flat_map(|(host, tls, balancer, port, is_common)| {
        let own = json!({"loadBalancer": balancer, "tls": tls, "outlierDetection": {"consecutive5xxErrors": 3}});
        let policy = match is_common {
            true => own,
            false => json!({"portLevelSettings": [{"port": {"number": port}, "loadBalancer": balancer, "tls": tls}]}),
        };
        let spec = json!({
            "host": host, "trafficPolicy": policy,
            "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
        });
        object("DestinationRule", "networking.istio.io/v1", spec)
    })
}

/// What a server of a Gateway speaks, and the TLS it does.
const SERVERS: [(&str, &str); 9] = [
    ("HTTP", "null"),
    ("HTTP", r#"{"httpsRedirect": true}"#),
    ("HTTPS", r#"{"mode": "SIMPLE", "credentialName": "keys"}"#),
    ("HTTPS", r#"{"mode": "MUTUAL", "serverCertificate": "/c", "privateKey": "/k", "caCertificates": "/a"}"#),
    ("TLS", r#"{"mode": "PASSTHROUGH"}"#),
    ("TLS", r#"{"mode": "AUTO_PASSTHROUGH"}"#),
    ("TLS", r#"{"mode": "SIMPLE", "credentialName": "other"}"#),
    ("TCP", "null"),
    ("GRPC", "null"),
];

fn gateway() -> impl Strategy<Value = Value> {
    let server = (
        port(),
        one(&HOSTS[3..7]),
        one(&["", "", "", "10.0.0.9", "unix:///run/gate.sock", "unix://@gate"]),
        one(&SERVERS),
    );
    (proptest::collection::vec(server, 1..4), one(&["web", "api"])).prop_flat_map(|(servers, app)| {
        let servers: Vec<Value> = servers
            .iter()
            .enumerate()
            .map(|(index, (port, host, bind, (protocol, tls)))| {
                let number = if bind.starts_with("unix") { 0 } else { *port };
                let port = json!({"number": number, "name": format!("h{index}"), "protocol": protocol});
                let tls: Value = serde_json::from_str(tls).unwrap();
                json!({"port": port, "hosts": [host], "bind": bind, "tls": tls})
            })
            .collect();
        object("Gateway", "networking.istio.io/v1", json!({"selector": {"app": app}, "servers": servers}))
    })
}

/// What an egress listener sees.
const SEEN: [&str; 6] =
    ["*/*", "./*", "other/*", "~/*", "*/a.example.com", "./web.default.svc.cluster.local"];

fn sidecar() -> impl Strategy<Value = Value> {
    let placed = proptest::collection::vec(egress(), 0..3);
    let rest = proptest::option::of(one(&SEEN));
    let ingress = proptest::collection::btree_map(port(), ingress(), 0..3);
    let policy = one(&[Value::Null, json!({"mode": "REGISTRY_ONLY"}), json!({"mode": "ALLOW_ANY"})]);
    let selector = one(&[Value::Null, json!({"labels": {"app": "web"}})]);
    (placed, rest, ingress, policy, selector).prop_flat_map(|(mut egress, rest, ingress, policy, selector)| {
        egress.extend(rest.map(|seen| json!({"hosts": [seen]})));
        let ingress: Vec<Value> = ingress
            .into_iter()
            .map(|(port, mut listener)| {
                listener["port"]["number"] = port.into();
                listener
            })
            .collect();
        let spec = json!({
            "workloadSelector": selector, "egress": egress, "ingress": ingress, "outboundTrafficPolicy": policy,
        });
        object("Sidecar", "networking.istio.io/v1", spec)
    })
}

/// A listener for what leaves, with a place of its own.
fn egress() -> impl Strategy<Value = Value> {
    let protocol = one(&["HTTP", "TCP", "TLS", "HTTP_PROXY", "MONGO", "GRPC"]);
    let bind = one(&["", "10.0.0.1", "127.0.0.1", "unix:///run/out.sock"]);
    let capture = one(&["DEFAULT", "NONE", "IPTABLES"]);
    (port(), protocol, bind, one(&SEEN), capture).prop_map(|(number, protocol, bind, seen, capture)| {
        let number = if bind.starts_with("unix") { 0 } else { number };
        let mut listener = json!({
            "port": {"number": number, "protocol": protocol, "name": "p"}, "hosts": [seen], "captureMode": capture,
        });
        if !bind.is_empty() {
            listener["bind"] = bind.into();
        }
        listener
    })
}

/// A listener for what arrives; its port's number is left out.
fn ingress() -> impl Strategy<Value = Value> {
    let end = one(&["127.0.0.1:8080", "0.0.0.0:8080", "unix:///run/app.sock"]);
    let protocol = one(&["HTTP", "TCP", "TLS", "GRPC"]);
    (protocol, end, one(&["", "", "10.0.0.9"])).prop_map(|(protocol, end, bind)| {
        let mut listener = json!({"port": {"protocol": protocol, "name": "p"}, "defaultEndpoint": end});
        if !bind.is_empty() {
            listener["bind"] = bind.into();
        }
        listener
    })
}

/// Some of them, in any order.
pub(super) fn resources() -> impl Strategy<Value = Vec<Value>> {
    let any = prop_oneof![
        3 => service(), 3 => entry(), 2 => workload(), 3 => virtual_service(), 2 => rule(), 2 => gateway(),
        1 => sidecar(),
    ];
    proptest::collection::vec(any, 1..16)
}
