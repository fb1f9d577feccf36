#![allow(clippy::unwrap_used)]

use api::{MeshConfig, ResourceSet, parse};
use serde_json::{Value, json};

use crate::slice::{Arrival, Chain, Listener, Share, Terminal};
use crate::{Proxy, Settings, Snapshot, View, view};

fn snapshot(text: &str, mesh: &str) -> Snapshot {
    let parsed = parse("sidecar.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let set: ResourceSet = parsed.resources.into_iter().collect();
    let (config, issues) = MeshConfig::parse("mesh.yaml", mesh.as_bytes());
    Snapshot::next(None, &set, &Settings::new(&config.unwrap_or_else(|| panic!("{issues:#?}"))))
}

fn told(text: &str, metadata: Value) -> View {
    told_by(text, "{}", metadata)
}

fn told_by(text: &str, mesh: &str, metadata: Value) -> View {
    let id = "sidecar~10.0.0.9~x.default~default.svc.cluster.local";
    view(&snapshot(text, mesh), &Proxy::new(id, &metadata, &[]).unwrap())
}

fn listener<'a>(view: &'a View, name: &str) -> &'a Listener {
    let found = view.listeners.listeners.iter().find(|listener| listener.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", names(view)))
}

fn names(view: &View) -> Vec<&str> {
    view.listeners.listeners.iter().map(|listener| listener.name.as_str()).collect()
}

/// Every chain of a listener: what it asks for, and where it leads.
fn chains(listener: &Listener) -> Vec<String> {
    let show = |chain: &Chain| {
        let condition = &chain.condition;
        let mut asks: Vec<String> = condition.server_names.clone();
        asks.extend(condition.destinations.iter().map(|net| format!("{}/{}", net.address, net.length)));
        asks.extend(condition.is_http.then(|| "http".to_owned()));
        asks.extend(condition.is_tls.then(|| "tls".to_owned()));
        let to = match &chain.terminal {
            Terminal::Http(_) => "requests".to_owned(),
            Terminal::Tcp(tcp) => {
                let shares = tcp.shares.iter();
                shares
                    .map(|Share { cluster, weight }| format!("{cluster}*{weight}"))
                    .collect::<Vec<_>>()
                    .join("+")
            }
        };
        format!("{} -> {}", asks.join(","), to.replace(".default.svc.cluster.local", ""))
    };
    listener.chains.iter().chain(&listener.default_chain).map(show).collect()
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    let version = if kind == "Service" { "v1" } else { "networking.istio.io/v1" };
    format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n")
}

#[test]
fn connections_are_routed_by_port_and_weight() {
    let text = object("Service", "db", "{clusterIP: 10.1.0.1, ports: [{name: tcp, port: 5432}]}")
        + &object(
            "VirtualService",
            "v",
            "{hosts: [db], tcp: [{match: [{port: 1}], route: [{destination: {host: never}}]}, \
             {match: [{port: 5432}], route: [{destination: {host: db, subset: a}, weight: 80}, \
             {destination: {host: db, subset: b}, weight: 20}, {destination: {host: db, subset: c}, weight: 0}]}]}",
        );

    let view = told(&text, json!({}));

    assert_eq!(chains(listener(&view, "10.1.0.1_5432")), [" -> outbound|5432|a|db*80+outbound|5432|b|db*20"]);
}

#[test]
fn connections_are_routed_by_network_and_caller() {
    let text = object("Service", "db", "{clusterIP: 10.1.0.1, ports: [{name: tcp, port: 5432}]}")
        + &object(
            "VirtualService",
            "v",
            "{hosts: [db], tcp: [{match: [{destinationSubnets: [10.9.0.0/16]}], route: [{destination: {host: a}}]}, \
             {match: [{sourceLabels: {app: z}}], route: [{destination: {host: b}}]}, \
             {match: [{sourceLabels: {app: x}}], route: [{destination: {host: c}}]}]}",
        );

    let view = told(&text, json!({"LABELS": {"app": "x"}}));

    let found = chains(listener(&view, "10.1.0.1_5432"));
    assert_eq!(found, ["10.9.0.0/16 -> outbound|5432||a*1", " -> outbound|5432||c*1"]);
}

#[test]
fn tls_is_told_apart_by_server_name_where_nothing_else_does() {
    let entry = |name: &str| {
        let spec = format!(
            "{{hosts: [{name}.com], resolution: DNS, ports: [{{number: 443, name: tls, protocol: TLS}}]}}"
        );
        object("ServiceEntry", name, &spec)
    };
    let text = entry("a")
        + &entry("b")
        + &object(
            "VirtualService",
            "v",
            "{hosts: [a.com], tls: [{match: [{sniHosts: [a.com], port: 443}], route: [{destination: {host: b.com}}]}]}",
        );

    let view = told(&text, json!({}));

    assert_eq!(
        chains(listener(&view, "0.0.0.0_443")),
        ["a.com -> outbound|443||b.com*1", "b.com -> outbound|443||b.com*1", " -> PassthroughCluster*1"]
    );
}

#[test]
fn requests_beside_connections_by_server_name_have_their_routes() {
    let text = object("Service", "web", "{clusterIP: 10.1.0.1, ports: [{name: http, port: 443}]}")
        + &object(
            "ServiceEntry",
            "outside",
            "{hosts: ['*.example.com'], resolution: NONE, ports: [{name: tls, number: 443, protocol: TLS}]}",
        );

    let view = told(&text, json!({"INTERCEPTION_MODE": "NONE", "WEFT_LOCAL": {"mesh": 77, "workload": 4}}));

    let outside = "*.example.com -> outbound|443||*.example.com*1";
    assert_eq!(chains(listener(&view, "0.0.0.0_443")), [outside, " -> requests"]);
    assert!(view.route("443").is_some());
}

#[test]
fn a_headless_service_has_a_listener_for_each_workload_but_the_proxys_own() {
    let text = object(
        "Service",
        "db",
        "{clusterIP: None, selector: {app: db}, ports: [{name: tcp, port: 5432}, {name: http, port: 80}]}",
    ) + &object("WorkloadEntry", "a", "{address: 10.0.0.1, labels: {app: db}}")
        + &object("WorkloadEntry", "b", "{address: 10.0.0.9, labels: {app: db}}");

    let view = told(&text, json!({}));

    assert_eq!(names(&view), ["0.0.0.0_80", "10.0.0.1_5432", "virtualInbound", "virtualOutbound"]);
    let domains = &view.route("80").unwrap().virtual_hosts[0].domains;
    assert!(domains.contains(&"*.db.default.svc.cluster.local".to_owned()), "{domains:?}");
}

#[test]
fn unknown_destinations_are_let_out_refused_or_resolved() {
    let text = object("Service", "web", "{clusterIP: 10.1.0.1, ports: [{name: http, port: 80}]}");
    let told = |mode: &str| told_by(&text, &format!("outboundTrafficPolicy: {{mode: {mode}}}"), json!({}));
    let last = |view: &View| view.route("80").unwrap().virtual_hosts.last().unwrap().name.clone();

    let any = told("ALLOW_ANY");
    assert_eq!(chains(listener(&any, "0.0.0.0_80")), ["http -> requests", " -> PassthroughCluster*1"]);
    assert_eq!(last(&any), "allow_any");

    let none = told("REGISTRY_ONLY");
    assert_eq!(chains(listener(&none, "0.0.0.0_80")), ["http -> requests", " -> BlackHoleCluster*1"]);
    assert_eq!(last(&none), "block_all");

    let by_name = told("ALLOW_ANY_DYNAMIC_DNS");
    assert_eq!(last(&by_name), "allow_any_dynamic_dns");
    assert_eq!(
        chains(listener(&by_name, "virtualOutbound")),
        [" -> BlackHoleCluster*1", "http -> requests", " -> PassthroughCluster*1"]
    );
    assert!(by_name.clusters.clusters.iter().any(|cluster| cluster.name == "AllowAnyDynamicDNSCluster"));
}

#[test]
fn a_sidecar_decides_what_becomes_of_unknown_destinations() {
    let text = object("Service", "web", "{clusterIP: 10.1.0.1, ports: [{name: http, port: 80}]}");
    let none = object("Sidecar", "s", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}");
    let proxied = object(
        "Sidecar",
        "s",
        "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: out.istio-system.svc.cluster.local, port: {number: 443}}}}",
    );

    let refused = told(&(text.clone() + &none), json!({}));
    let sent = told(&(text + &proxied), json!({}));

    assert_eq!(refused.route("80").unwrap().virtual_hosts.last().unwrap().name, "block_all");
    let through = " -> outbound|443||out.istio-system.svc.cluster.local*1";
    assert_eq!(chains(listener(&sent, "0.0.0.0_80"))[1], through);
}

#[test]
fn an_egress_listener_is_bound_where_it_says() {
    let text = object("Service", "web", "{clusterIP: 10.1.0.1, ports: [{name: http, port: 80}]}")
        + &object(
            "Sidecar",
            "s",
            "{egress: [{port: {number: 3128, name: proxy, protocol: HTTP_PROXY}, bind: 127.0.0.1, captureMode: NONE, hosts: ['./*']}, \
             {port: {number: 80, name: http, protocol: HTTP}, captureMode: NONE, hosts: ['./*']}]}",
        );

    let view = told(&text, json!({}));

    assert_eq!(names(&view), ["127.0.0.1_3128", "127.0.0.1_80", "virtualInbound", "virtualOutbound"]);
    assert_eq!(listener(&view, "127.0.0.1_80").arrival, Arrival::Bound);
    let everything = view.route("3128").unwrap();
    assert!(everything.virtual_hosts[0].domains.contains(&"web:80".to_owned()));
}

#[test]
fn the_http_proxy_sees_each_port_as_its_egress_listener_does() {
    let port = |name: &str, number: u16| {
        object("Service", name, &format!("{{ports: [{{name: http, port: {number}}}]}}"))
    };
    let egress = |number: u16, host: &str| {
        format!(
            "{{port: {{number: {number}, name: h, protocol: HTTP}}, hosts: ['./{host}.default.svc.cluster.local']}}"
        )
    };
    let services = port("web", 81) + &port("web-too", 81) + &port("api", 82) + &port("rest", 83);
    let domains = |listeners: &[String]| {
        let sidecar = object("Sidecar", "s", &format!("{{egress: [{}]}}", listeners.join(", ")));
        let view = told(&(services.clone() + &sidecar), json!({"HTTP_PROXY_PORT": "15007"}));
        let hosts = &view.route("http_proxy").unwrap().virtual_hosts;
        hosts.iter().map(|host| host.domains[0].replace(".default.svc.cluster.local", "")).collect::<Vec<_>>()
    };
    let placed = [egress(81, "web"), egress(82, "api")];
    let rest = "{hosts: ['*/*']}".to_owned();

    assert_eq!(domains(&placed), ["api:82", "web:81", "*"]);
    assert_eq!(domains(&[&placed[..], &[rest]].concat()), ["api:82", "rest:83", "web:81", "*"]);
}

#[test]
fn a_proxy_of_both_families_listens_at_both() {
    let text = object("Service", "web", "{clusterIP: 10.1.0.1, ports: [{name: http, port: 80}]}");

    let both = told(&text, json!({"INSTANCE_IPS": "10.0.0.9,fd00::9"}));

    let shared = listener(&both, "0.0.0.0_80");
    assert_eq!(shared.additional, ["[::]:80".parse().unwrap()]);
    assert_eq!(listener(&both, "virtualInbound").additional, ["[::]:15006".parse().unwrap()]);
}

#[test]
fn a_workloads_ports_are_those_that_its_sidecar_names() {
    let text = object(
        "Service",
        "web",
        "{selector: {app: x}, ports: [{name: http, port: 80, targetPort: 8080}]}",
    ) + &object(
        "Sidecar",
        "s",
        "{ingress: [{port: {number: 9080, name: http, protocol: HTTP}, defaultEndpoint: 127.0.0.1:8080}, \
             {port: {number: 9090, name: tls, protocol: TLS}, tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}}, \
             {port: {number: 9100, name: tcp, protocol: TCP}, bind: 127.0.0.1, captureMode: NONE}]}",
    );

    let view = told(&text, json!({"LABELS": {"app": "x"}}));

    let captured = listener(&view, "virtualInbound");
    let ports: Vec<_> = captured.chains.iter().filter_map(|chain| chain.condition.destination_port).collect();
    assert_eq!(ports, [15006, 9080, 9090]);
    let secured = captured.chains.iter().find(|chain| chain.tls.is_some()).unwrap();
    assert_eq!(secured.name, "10.0.0.9_9090");
    assert!(secured.condition.is_tls);
    assert_eq!(listener(&view, "127.0.0.1_9100").arrival, Arrival::Bound);
    let inbound = view.clusters.clusters.iter().map(|cluster| cluster.name.as_str());
    let inbound: Vec<&str> = inbound.filter(|name| name.starts_with("inbound")).collect();
    assert_eq!(inbound, ["inbound|9080||", "inbound|9090||", "inbound|9100||"]);
}

const SOCKETS: &str = "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: sockets}
spec:
  egress:
  - {port: {number: 0, name: any}, bind: 'unix:///run/any.sock', hosts: ['./one.test']}
  - {port: {number: 0, name: bytes, protocol: TCP}, bind: 'unix://@bytes', hosts: ['./one.test', './many.test']}
  - {hosts: ['./*']}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one}
spec:
  hosts: [one.test]
  resolution: STATIC
  ports: [{number: 81, name: http, protocol: HTTP}]
  endpoints: [{address: 'unix:///run/one.sock'}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: many}
spec:
  hosts: [many.test]
  resolution: DNS
  ports: [{number: 82, name: http, protocol: HTTP}, {number: 83, name: more, protocol: HTTP}]
  workloadSelector: {labels: {app: many}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: many}
spec: {address: 'unix:///run/many.sock', labels: {app: many}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: many-too}
spec: {address: many.example, labels: {app: many}}
";

#[test]
fn unix_sockets_are_bound_and_lead_to_what_their_listener_sees() {
    let view = told(SOCKETS, json!({"HTTP_PROXY_PORT": "15007", "UNPRIVILEGED_POD": "true"}));

    let (any, bytes) = (listener(&view, "unix:///run/any.sock_0"), listener(&view, "unix://@bytes_0"));
    assert_eq!((any.arrival, any.address.to_string()), (Arrival::Bound, "/run/any.sock".into()));
    // What says no name is for the first service that has but one port.
    assert_eq!(chains(bytes), [" -> outbound|81||one.test*1"]);
    let domains = |route: &str| {
        let route = view.route(route).unwrap();
        let hosts = route.virtual_hosts.iter().map(|host| host.domains[0].clone());
        hosts.collect::<Vec<_>>()
    };
    assert_eq!(domains("unix:///run/any.sock"), ["one.test:81", "*"]);
    // The HTTP proxy, which has no port of its own either, sees what is left.
    assert_eq!(domains("http_proxy"), ["many.test:82", "many.test:83", "one.test:81", "*"]);
}

#[test]
fn a_unix_socket_is_no_endpoint_of_names() {
    let view = told(SOCKETS, json!({}));
    let found = |name: &str| view.clusters.clusters.iter().find(|cluster| cluster.name == name);

    assert!(view.endpoints("outbound|81||one.test").is_some_and(|slice| slice.endpoints().count() == 1));
    let many = format!("{:?}", found("outbound|82||many.test").unwrap().discovery);
    assert!(many.contains("many.example") && !many.contains("unix://"), "{many}");
}
