#![allow(clippy::unwrap_used)]

use api::parse;
use serde_json::json;

use crate::slice::ClientCertificates;
use crate::{Listener, Proxy, Route, Settings, Snapshot, Terminal, View, view};

const API: &str = "
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{name: http, port: 8080}, {name: db, port: 5432, appProtocol: tcp}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-x, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: db, port: 5432}]
endpoints: [{addresses: [10.0.0.1]}]
---
";

fn seen(text: &str) -> View {
    seen_by(text, &json!({"LABELS": {"gate": "main"}}))
}

fn seen_by(text: &str, metadata: &serde_json::Value) -> View {
    let parsed = parse("gateway.yaml", format!("{API}{text}").as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let set = parsed.resources.into_iter().collect();
    let proxy = Proxy::new("router~10.9.0.1~gate.edge~edge.svc.cluster.local", metadata, &[]).unwrap();
    view(&Snapshot::next(None, &set, &Settings::default()), &proxy)
}

fn gateway(name: &str, age: u8, servers: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: edge, \
         creationTimestamp: '2024-01-0{age}T00:00:00Z'}}\nspec:\n  selector: {{gate: main}}\n  servers: [{servers}]\n---\n"
    )
}

fn https(name: &str, host: &str, credential: &str) -> String {
    format!(
        "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: ['{host}'], \
         tls: {{mode: SIMPLE, credentialName: {credential}}}}}"
    )
}

fn plain(number: u16, host: &str) -> String {
    format!("{{port: {{number: {number}, name: http-{number}, protocol: HTTP}}, hosts: ['{host}']}}")
}

/// A VirtualService of the namespace `shop`.
fn routed(name: &str, gateways: &str, host: &str, routes: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  hosts: ['{host}']\n  gateways: [{gateways}]\n  {routes}\n---\n"
    )
}

const TO_API: &str = "http: [{route: [{destination: {host: api, port: {number: 8080}}}]}]";

fn listener<'a>(view: &'a View, name: &str) -> Option<&'a Listener> {
    view.listeners.listeners.iter().find(|listener| listener.name == name).map(|listener| &**listener)
}

fn asked(listener: &Listener) -> Vec<Vec<String>> {
    listener.chains.iter().map(|chain| chain.condition.server_names.clone()).collect()
}

fn domains(view: &View, route: &str) -> Vec<String> {
    view.route(route).unwrap().virtual_hosts.iter().flat_map(|host| host.domains.clone()).collect()
}

#[test]
fn servers_of_one_port_have_a_certificate_and_a_table_each() {
    let text = [
        gateway("a", 1, &https("https-a", "a.com", "cert-a")),
        gateway("b", 2, &https("https-b", "b.com", "cert-b")),
        routed("a", "edge/a", "a.com", TO_API),
    ];
    let view = seen(&text.concat());

    let listener = listener(&view, "0.0.0.0_443").unwrap();

    assert_eq!(asked(listener), [["a.com"], ["b.com"]]);
    let certificates: Vec<_> =
        listener.chains.iter().map(|chain| &chain.tls.as_ref().unwrap().certificates[0]).collect();
    assert_eq!(certificates, ["kubernetes://cert-a", "kubernetes://cert-b"]);
    assert_eq!(domains(&view, "https.443.https-a.a.edge"), ["a.com", "b.com"]);
    assert_eq!(domains(&view, "https.443.https-b.b.edge"), ["*", "a.com"], "nothing is routed there");
}

#[test]
fn a_host_is_not_served_by_the_certificate_of_another_server() {
    let servers =
        format!("{}, {}", https("wide", "*.example.com", "wide"), https("narrow", "b.example.com", "narrow"));
    let view = seen(
        &[
            gateway("a", 1, &servers),
            routed("b", "edge/a", "b.example.com", TO_API),
            routed("c", "edge/a", "c.example.com", TO_API),
        ]
        .concat(),
    );

    let refuses = |name: &str, host: &str| {
        let table = view.routes().find(|table| table.name.contains(name)).expect("a table");
        let found = table.virtual_hosts.iter().find(|known| known.domains == [host]).expect("a host");
        matches!(found.routes[..], [Route::Misdirected])
    };

    assert!(refuses(".wide.", "b.example.com") && !refuses(".wide.", "c.example.com"));
    assert!(refuses(".narrow.", "*.example.com") && !refuses(".narrow.", "b.example.com"));
}

#[test]
fn of_servers_with_one_name_the_older_keeps_it() {
    let text = [
        gateway("young", 2, &https("https-y", "a.com", "cert-y")),
        gateway("old", 1, &https("https-o", "a.com", "cert-o")),
    ];
    let view = seen(&text.concat());

    let listener = listener(&view, "0.0.0.0_443").unwrap();

    assert_eq!(asked(listener), [["a.com"]]);
    assert_eq!(listener.chains[0].tls.as_ref().unwrap().certificates, ["kubernetes://cert-o"]);
}

#[test]
fn the_oldest_server_decides_what_a_port_takes() {
    let tcp = "{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}";
    let to_db = "tcp: [{route: [{destination: {host: api, port: {number: 5432}}}]}]";
    let routes = [routed("a", "edge/http", "a.com", TO_API), routed("b", "edge/tcp", "*", to_db)].concat();
    let first = |http: u8, bytes: u8| {
        let view = seen(
            &[&gateway("http", http, &plain(80, "a.com")), &gateway("tcp", bytes, tcp), &routes]
                .map(|s| &**s)
                .concat(),
        );
        let chains = &listener(&view, "0.0.0.0_80").unwrap().chains;
        assert_eq!(chains.len(), 1);
        chains[0].terminal.clone()
    };

    assert!(matches!(first(1, 2), Terminal::Http(_)));
    let Terminal::Tcp(tcp) = first(2, 1) else { panic!("bytes came first") };
    assert_eq!(tcp.shares[0].cluster, "outbound|5432||api.shop.svc.cluster.local");
}

#[test]
fn a_host_may_be_for_virtual_services_of_one_namespace() {
    let servers = [plain(80, "shop/a.com"), plain(81, "edge/a.com"), plain(82, "*.com")].join(", ");
    let view = seen(&[gateway("g", 1, &servers), routed("a", "edge/g", "a.com", TO_API)].concat());

    assert_eq!(domains(&view, "http.80"), ["a.com"]);
    assert_eq!(domains(&view, "http.81"), ["*"], "nothing of that namespace is routed");
    assert_eq!(domains(&view, "http.82"), ["a.com"]);
}

#[test]
fn a_redirect_needs_no_routes() {
    let server =
        "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com], tls: {httpsRedirect: true}}";
    let view = seen(&gateway("g", 1, server));

    let route = view.route("http.80").unwrap();

    assert!(route.virtual_hosts[0].redirects);
    assert_eq!(route.virtual_hosts[0].domains, ["a.com"]);
}

#[test]
fn tls_passes_through_by_the_names_of_tls_routes() {
    let server =
        "{port: {number: 443, name: tls, protocol: TLS}, hosts: ['*.com'], tls: {mode: PASSTHROUGH}}";
    let routes = "tls:\n  - {match: [{port: 443, sniHosts: [a.com]}], route: [{destination: {host: api, port: {number: 8080}}}]}\n\
                  \x20 - {match: [{port: 444, sniHosts: [b.com]}], route: [{destination: {host: api, port: {number: 8080}}}]}";
    let view = seen(&[gateway("g", 1, server), routed("a", "edge/g", "*.com", routes)].concat());

    let listener = listener(&view, "0.0.0.0_443").unwrap();

    assert_eq!(asked(listener), [["a.com"]]);
    assert!(listener.chains[0].tls.is_none());
}

#[test]
fn a_mutual_server_checks_clients_against_the_authorities_of_its_secret() {
    let server = |mode: &str, more: &str| {
        format!(
            "{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [a.com], \
             tls: {{mode: {mode}, credentialName: web{more}}}}}"
        )
    };
    let clients = |server: &str| {
        let view = seen(&gateway("g", 1, server));
        listener(&view, "0.0.0.0_443").unwrap().chains[0].tls.as_ref().unwrap().clients.clone()
    };

    let ClientCertificates::Required(trust) = clients(&server("MUTUAL", "")) else { panic!("not required") };
    assert_eq!(trust.roots, "kubernetes://web-cacert");
    let named = clients(&server("OPTIONAL_MUTUAL", ", caCertCredentialName: roots"));
    let ClientCertificates::Optional(trust) = named else { panic!("not optional") };
    assert_eq!(trust.roots, "kubernetes://roots-cacert");
    assert_eq!(clients(&server("SIMPLE", "")), ClientCertificates::None);
}

#[test]
fn mesh_tls_passes_through_by_the_names_of_ports() {
    let server = "{port: {number: 15443, name: tls, protocol: TLS}, hosts: ['*.shop.svc.cluster.local'], tls: {mode: AUTO_PASSTHROUGH}}";
    let view = seen(&gateway("g", 1, server));

    let listener = listener(&view, "0.0.0.0_15443").unwrap();

    let name = "outbound_.8080_._.api.shop.svc.cluster.local";
    let chain = listener.chains.iter().find(|chain| chain.condition.server_names == [name]).unwrap();
    assert!(chain.condition.offers.contains(&"istio".to_owned()));
    assert!(view.clusters.clusters.iter().any(|cluster| cluster.name == name));
    // No workload takes the mesh's own TLS.
    assert_eq!(view.endpoints(name).unwrap().endpoints().count(), 0);
}

#[test]
fn another_gateways_servers_and_privileged_ports_are_left_out() {
    let text = gateway("g", 1, &[plain(80, "a.com"), plain(8080, "a.com")].join(", "));
    let metadata = |label: &str| json!({"LABELS": {"gate": label}, "UNPRIVILEGED_POD": "true"});

    let names = |view: &View| -> Vec<String> {
        view.listeners.listeners.iter().map(|listener| listener.name.clone()).collect()
    };

    assert_eq!(names(&seen_by(&text, &metadata("main"))), ["0.0.0.0_8080"]);
    assert!(names(&seen_by(&text, &metadata("other"))).is_empty());
}

#[test]
fn a_secret_changes_nothing_but_itself() {
    let secret = |body: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: edge}}\nstringData:\n\
             \x20 tls.crt: |\n    -----BEGIN CERTIFICATE-----\n    {body}\n    -----END CERTIFICATE-----\n\
             \x20 tls.key: |\n    -----BEGIN PRIVATE KEY-----\n    {body}\n    -----END PRIVATE KEY-----\n---\n"
        )
    };
    let world = |secret: &str| {
        let servers = gateway("g", 1, &https("https", "a.com", "cert"));
        seen(&[secret, &servers, &routed("a", "edge/g", "a.com", TO_API)].concat())
    };
    let (none, old, new) = (world(""), world(&secret("AAAA")), world(&secret("BBBB")));

    for view in [&none, &new] {
        assert_eq!(view.listeners.digest(), old.listeners.digest());
        assert_eq!(view.clusters.digest(), old.clusters.digest());
        let route = "https.443.https.g.edge";
        assert_eq!(view.route(route).unwrap().digest(), old.route(route).unwrap().digest());
    }
    let digest = |view: &View| view.secret("kubernetes://cert").map(|slice| slice.digest());
    assert!(digest(&none).is_none());
    assert_ne!(digest(&old), digest(&new));
}

#[test]
fn the_usual_address_written_out_is_the_same_place() {
    let bound = "{port: {number: 80, name: http-b, protocol: HTTP}, bind: 0.0.0.0, hosts: [b.com]}";
    let reserved = plain(15021, "a.com");
    let text = gateway("g", 1, &[plain(80, "a.com").as_str(), bound, &reserved].join(", "));
    let view = seen(
        &[text, routed("a", "edge/g", "a.com", TO_API), routed("b", "edge/g", "b.com", TO_API)].concat(),
    );

    assert_eq!(view.listeners.listeners.len(), 1);
    assert_eq!(domains(&view, "http.80"), ["a.com", "b.com"]);
}

#[test]
fn servers_share_a_unix_socket_as_they_share_a_port() {
    let server = |name: &str, protocol: &str, host: &str| {
        format!(
            "{{port: {{number: 0, name: {name}, protocol: {protocol}, targetPort: 8080}}, \
             bind: 'unix:///run/gate.sock', hosts: ['{host}']}}"
        )
    };
    let text = [
        gateway("one", 1, &server("http", "HTTP", "a.test")),
        gateway("two", 2, &server("http", "HTTP", "b.test")),
        gateway("three", 3, &server("tcp", "TCP", "*")),
        routed("a", "edge/one, edge/two", "*.test", "http: [{route: [{destination: {host: api}}]}]"),
    ];
    let view = seen_by(&text.concat(), &json!({"LABELS": {"gate": "main"}, "UNPRIVILEGED_POD": "true"}));

    let [listener] = view.listeners.listeners.as_slice() else { panic!("{:?}", view.listeners) };
    assert_eq!(listener.name, "unix:///run/gate.sock_0");
    assert_eq!(listener.address.to_string(), "/run/gate.sock");
    let route = view.route("http.0.unix:///run/gate.sock").unwrap();
    let domains: Vec<_> = route.virtual_hosts.iter().flat_map(|host| &host.domains).collect();
    assert_eq!(domains, ["a.test", "b.test"]);
}
