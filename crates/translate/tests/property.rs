//! Whatever is valid can be translated, twice to the same bytes, and everything that is named is there.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use api::sidecar::OutboundMode;
use mesh::{Discovery, Proxy, RouteSource, Settings, Share, Snapshot, Terminal, View};
use proptest::prelude::*;
use serde_json::{Value, json};
use translate::Output;

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
const NAMESPACES: [&str; 3] = ["default", "other", "istio-system"];
const PROTOCOLS: [&str; 8] = ["http", "http2", "grpc", "tcp", "tls", "mongo", "x", "https"];

fn one<T: Clone + std::fmt::Debug + 'static>(of: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(of.to_vec())
}

fn port() -> impl Strategy<Value = u16> {
    one(&[80, 443, 8080, 9080, 15007, 65535])
}

fn object(kind: &str, version: &str, spec: Value) -> impl Strategy<Value = Value> + use<> {
    let (kind, version) = (kind.to_owned(), version.to_owned());
    (one(&["a", "b", "web", "api"]), one(&NAMESPACES), one(&["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]))
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
    let condition = (one(&["/", "/a", "/%2f"]), one(&["exact", "prefix", "regex"]), port());
    let route = (proptest::collection::vec(condition, 0..3), one(&HOSTS[4..]), one(&[0u32, 1, 99]), 0u8..4);
    let gateways = one(&[json!(["mesh"]), json!(["a"]), json!(["mesh", "other/b"])]);
    (proptest::collection::vec(one(&HOSTS), 1..3), gateways, proptest::collection::vec(route, 1..4))
        .prop_flat_map(|(hosts, gateways, routes)| {
            let http: Vec<Value> = routes
                .iter()
                .map(|(conditions, host, weight, kind)| {
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
                })
                .collect();
            let spec = json!({"hosts": hosts, "gateways": gateways, "http": http});
            object("VirtualService", "networking.istio.io/v1", spec)
        })
}

fn rule() -> impl Strategy<Value = Value> {
    one(&HOSTS).prop_flat_map(|host| {
        let spec = json!({"host": host, "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}, "subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
        object("DestinationRule", "networking.istio.io/v1", spec)
    })
}

fn gateway() -> impl Strategy<Value = Value> {
    let server = (port(), one(&HOSTS[3..]), one(&["", "", "unix:///run/gate.sock", "unix://@gate"]));
    (proptest::collection::vec(server, 1..3), one(&["web", "api"])).prop_flat_map(|(servers, app)| {
        let servers: Vec<Value> = servers
            .iter()
            .enumerate()
            .map(|(index, (port, host, bind))| {
                let number = if bind.is_empty() { *port } else { 0 };
                let port = json!({"number": number, "name": format!("h{index}"), "protocol": "HTTP"});
                json!({"port": port, "hosts": [host], "bind": bind})
            })
            .collect();
        object("Gateway", "networking.istio.io/v1", json!({"selector": {"app": app}, "servers": servers}))
    })
}

fn resources() -> impl Strategy<Value = Vec<Value>> {
    let any = prop_oneof![service(), entry(), workload(), virtual_service(), rule(), gateway()];
    proptest::collection::vec(any, 1..16)
}

fn proxy() -> impl Strategy<Value = Proxy> {
    let kind = one(&["sidecar", "router"]);
    let mode = one(&["NONE", "REDIRECT", "TPROXY"]);
    (kind, mode, any::<bool>(), any::<bool>(), one(&NAMESPACES)).prop_map(
        |(kind, mode, local, unprivileged, namespace)| {
            let ip = if local { "127.77.4.1" } else { "10.0.0.9" };
            let id = format!("{kind}~{ip}~p.{namespace}~{namespace}.svc.cluster.local");
            let mut metadata = json!({
                "INTERCEPTION_MODE": mode, "LABELS": {"app": "web"},
                "UNPRIVILEGED_POD": unprivileged.to_string(), "HTTP_PROXY_PORT": "15007",
            });
            if local {
                metadata["WEFT_LOCAL"] = json!({"mesh": 77, "workload": 4});
            }
            Proxy::new(&id, &metadata, &[]).unwrap()
        },
    )
}

fn everything(view: &View) -> Vec<Output> {
    let mut all = translate::clusters(&view.clusters);
    all.extend(translate::listeners(&view.listeners));
    all.extend(view.routes().map(|route| translate::route(route)));
    all.extend(view.endpoint_names().map(|name| translate::endpoints(&view.endpoints(name).unwrap())));
    all
}

fn is_whole(view: &View) -> Result<(), String> {
    for listener in &view.listeners.listeners {
        for chain in listener.chains.iter().chain(&listener.default_chain) {
            match &chain.terminal {
                Terminal::Http(http) => {
                    if let RouteSource::Dynamic(name) = &http.routes
                        && view.route(name).is_none()
                    {
                        return Err(format!("{} asks for routes {name}", listener.name));
                    }
                }
                Terminal::Tcp(tcp) => {
                    for Share { cluster, .. } in &tcp.shares {
                        if !view.clusters.clusters.iter().any(|known| known.name == *cluster) {
                            return Err(format!("{} leads to {cluster}", listener.name));
                        }
                    }
                }
            }
        }
        if listener.chains.is_empty() {
            return Err(format!("{} has no chain", listener.name));
        }
    }
    let addresses = view.listeners.listeners.iter().flat_map(|l| {
        let more = l.additional.iter().map(|address| base::Address::Ip(*address));
        more.chain([l.address.clone()])
    });
    let mut bound = BTreeSet::new();
    if let Some(twice) = addresses.into_iter().find(|address| !bound.insert(address.clone())) {
        return Err(format!("{twice} is listened on twice"));
    }
    for route in view.routes() {
        let mut domains = BTreeSet::new();
        let all = route.virtual_hosts.iter().flat_map(|host| &host.domains);
        if let Some(twice) = all.into_iter().find(|domain| !domains.insert(*domain)) {
            return Err(format!("{}: {twice} occurs twice", route.name));
        }
    }
    for cluster in view.clusters.clusters.iter().filter(|cluster| cluster.discovery == Discovery::Eds) {
        if view.endpoints(&cluster.name).is_none() {
            return Err(format!("{} has no endpoints to give", cluster.name));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_valid_translates_whole_and_to_the_same_bytes(
        resources in resources(), proxy in proxy(), outbound in one(&[OutboundMode::AllowAny, OutboundMode::RegistryOnly]),
    ) {
        let text = json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string();
        let set = api::parse("any.json", text.as_bytes()).resources.into_iter().collect();
        let settings = Settings { outbound, ..Settings::default() };
        let snapshot = Snapshot::next(None, &set, &settings);

        let first = mesh::view(&snapshot, &proxy);
        let second = mesh::view(&Snapshot::next(Some(&snapshot), &set, &settings), &proxy);

        prop_assert_eq!(is_whole(&first), Ok(()));
        prop_assert_eq!(everything(&first), everything(&second));
    }
}
