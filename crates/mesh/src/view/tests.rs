#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use api::{ResourceSet, parse};
use base::Host;
use serde_json::json;

use super::*;
use crate::{Discovery, Route, Settings, Terminal};

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: db, port: 5432, appProtocol: tcp}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{name: http, port: 8080}]}
---
";

fn workload(name: &str, app: &str, address: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}}}\n\
         spec: {{address: {address}, labels: {{app: {app}}}}}\n---\n"
    )
}

fn set(text: &str) -> ResourceSet {
    let parsed = parse("view.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    parsed.resources.into_iter().collect()
}

fn snapshot(text: &str) -> Snapshot {
    Snapshot::next(None, &set(text), &Settings::default())
}

fn local(workload: u8, app: &str, unprivileged: bool) -> Proxy {
    let id = format!("sidecar~127.77.{workload}.1~{app}-{workload}.default~default.svc.cluster.local");
    let metadata = json!({
        "INTERCEPTION_MODE": "NONE",
        "LABELS": {"app": app},
        "WEFT_LOCAL": {"mesh": 77, "workload": workload},
        "UNPRIVILEGED_POD": unprivileged.to_string(),
        "HTTP_PROXY_PORT": "15007",
    });
    Proxy::new(&id, &metadata, &[]).unwrap()
}

fn captured(name: &str, ip: &str) -> Proxy {
    let id = format!("sidecar~{ip}~{name}.default~default.svc.cluster.local");
    Proxy::new(&id, &json!({"LABELS": {"app": "web"}}), &[]).unwrap()
}

fn names(view: &View) -> Vec<&str> {
    view.listeners.listeners.iter().map(|listener| listener.name.as_str()).collect()
}

#[test]
fn only_endpoints_change_with_endpoints() {
    let one = format!("{SERVICES}{}", workload("web-1", "web", "10.0.0.1"));
    let two = format!("{one}{}", workload("web-2", "web", "10.0.0.2"));
    let proxy = captured("client", "10.0.0.9");
    let before = view(&snapshot(&one), &proxy);
    let after = view(&snapshot(&two), &proxy);

    let cluster = "outbound|80||web.default.svc.cluster.local";
    assert_eq!(before.clusters.digest(), after.clusters.digest());
    assert_eq!(before.listeners.digest(), after.listeners.digest());
    assert_eq!(before.route("80").unwrap().digest(), after.route("80").unwrap().digest());
    assert_ne!(before.endpoints(cluster).unwrap().digest(), after.endpoints(cluster).unwrap().digest());
    assert_eq!(after.endpoints(cluster).unwrap().endpoints().count(), 2);
}

#[test]
fn a_comment_changes_no_digest() {
    let rule = |comment: &str| {
        format!(
            "{SERVICES}{comment}\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: web}}\nspec: {{hosts: [web], http: [{{route: [{{destination: {{host: api}}}}]}}]}}\n"
        )
    };
    let proxy = captured("client", "10.0.0.9");

    let before = view(&snapshot(&rule("")), &proxy);
    let after = view(&snapshot(&rule("# moved\n\n")), &proxy);

    assert_eq!(before.route("80").unwrap().digest(), after.route("80").unwrap().digest());
}

#[test]
fn a_workload_without_endpoints_and_an_unknown_cluster_are_told_apart() {
    let view = view(&snapshot(SERVICES), &captured("client", "10.0.0.9"));

    let empty = view.endpoints("outbound|80||web.default.svc.cluster.local").unwrap();

    assert_eq!(empty.endpoints().count(), 0);
    assert!(view.endpoints("outbound|1||nobody").is_none());
    assert!(view.route("1").is_none());
}

#[test]
fn replicas_of_one_workload_share_a_scope() {
    let text =
        format!("{SERVICES}{}{}", workload("web-1", "web", "10.0.0.1"), workload("web-2", "web", "10.0.0.2"));
    let snapshot = snapshot(&text);
    let (one, two) = (captured("web-1", "10.0.0.1"), captured("web-2", "10.0.0.2"));
    let stranger =
        Proxy::new("sidecar~10.0.0.3~x.default~default.svc.cluster.local", &json!({}), &[]).unwrap();

    assert_eq!(snapshot.scope(&one), snapshot.scope(&two));
    assert_ne!(snapshot.scope(&one), snapshot.scope(&stranger));
    let (one, two) = (view(&snapshot, &one), view(&snapshot, &two));
    assert_eq!(one.clusters.digest(), two.clusters.digest());
    assert_eq!(one.listeners.digest(), two.listeners.digest());
}

#[test]
fn services_keep_their_local_address_from_snapshot_to_snapshot() {
    let seed = BTreeMap::from([(Host::new("web.default.svc.cluster.local"), 7)]);
    let seed = Snapshot::with_addresses(seed);

    let snapshot = Snapshot::next(Some(&seed), &set(SERVICES), &Settings::default());

    let api = Host::new("api.default.svc.cluster.local");
    let web = Host::new("web.default.svc.cluster.local");
    assert_eq!(snapshot.addresses(), &BTreeMap::from([(api, 1), (web, 7)]));
}

#[test]
fn a_local_sidecar_listens_where_it_may_and_nowhere_else() {
    let text = format!("{SERVICES}{}", workload("api-1", "api", "127.77.4.1"));
    let snapshot = snapshot(&text);

    let unprivileged = view(&snapshot, &local(4, "api", true));
    let privileged = view(&snapshot, &local(4, "api", false));

    let high = ["0.0.0.0_8080", "127.77.4.1_8080", "127.77.4.3_15007", "127.78.4.2_5432"];
    assert_eq!(names(&unprivileged), high);
    assert_eq!(names(&privileged), [&["0.0.0.0_80"][..], &high].concat()[..]);
    let shared = &unprivileged.listeners.listeners[0];
    assert_eq!(shared.address, "127.77.4.3:8080".parse().unwrap());
    assert_eq!(shared.additional, ["127.78.4.1:8080".parse().unwrap()]);
    assert!(unprivileged.route("http_proxy").unwrap().virtual_hosts.iter().any(|host| {
        host.domains.contains(&"web:80".to_owned()) && host.domains.contains(&"web".to_owned())
    }));
}

#[test]
fn the_programs_own_port_is_where_its_file_says() {
    let text = format!("{SERVICES}{}", workload("api-1", "api", "127.77.4.1"));
    let mut proxy = local(4, "api", true);
    proxy.program_ports.insert(8080, 41234);

    let view = view(&snapshot(&text), &proxy);

    let inbound = view.clusters.clusters.iter().find(|cluster| cluster.name == "inbound|8080||").unwrap();
    let Discovery::Static(groups) = &inbound.discovery else { panic!("{inbound:?}") };
    let endpoints = &groups[0].endpoints;
    assert_eq!((endpoints[0].address.as_str(), endpoints[0].port), ("127.77.4.2", 41234));
    let listener = view.listeners.listeners.iter().find(|l| l.name == "127.77.4.1_8080").unwrap();
    assert!(matches!(listener.chains[0].terminal, Terminal::Http(_)));
}

#[test]
fn a_shared_listener_gives_way_to_the_http_proxy() {
    let text = SERVICES.replace("port: 8080}]", "port: 15007}]");

    let view = view(&snapshot(&text), &local(4, "client", true));

    assert_eq!(names(&view), ["127.77.4.3_15007", "127.78.4.2_5432"]);
}

#[test]
fn a_virtual_service_for_other_callers_leaves_the_default_route() {
    let text = format!(
        "{SERVICES}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec:
  hosts: [web]
  http:
    - match: [{{sourceLabels: {{app: api}}}}]
      route: [{{destination: {{host: api}}}}]
"
    );
    let view = view(&snapshot(&text), &captured("web-1", "10.0.0.1"));

    let route = view.route("80").unwrap();

    assert!(matches!(&route.virtual_hosts[0].routes[..], [Route::Default { name, .. }] if name == "default"));
}

#[test]
fn what_leads_nowhere_is_reported_with_its_place() {
    let text = format!(
        "{SERVICES}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a}}
spec:
  hosts: [web]
  gateways: [mesh, missing]
  http:
    - route: [{{destination: {{host: nobody}}}}, {{destination: {{host: api, port: {{number: 1}}}}, weight: 1}}]
    - route: [{{destination: {{host: api, subset: v9}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: b}}
spec: {{hosts: [web], http: [{{route: [{{destination: {{host: api}}}}]}}]}}
"
    );

    let snapshot = snapshot(&text);

    let found: Vec<_> =
        snapshot.issues().iter().map(|issue| (issue.code.as_str(), issue.path.as_str())).collect();
    assert_eq!(
        found,
        [
            ("unknown-gateway", "spec.gateways[1]"),
            ("shadowed-host", "spec.hosts[0]"),
            ("unknown-host", "spec.http[0].route[0].destination.host"),
            ("unknown-port", "spec.http[0].route[1].destination.port.number"),
            ("unknown-subset", "spec.http[1].route[0].destination.subset"),
        ]
    );
    assert!(snapshot.issues().iter().all(|issue| issue.place.line > 0));
}

#[test]
fn a_local_sidecar_forwards_nothing_to_itself() {
    let view = view(&snapshot(SERVICES), &local(4, "client", true));

    let blocked = |route: &str, domain: &str| {
        let route = view.route(route).unwrap();
        let host = route.virtual_hosts.iter().find(|host| host.domains.iter().any(|known| known == domain));
        matches!(&host.unwrap().routes[..], [Route::Block, ..])
    };

    assert!(blocked("8080", "127.77.4.3"));
    assert!(blocked("http_proxy", "127.77.4.3:8080"));
    assert!(blocked("http_proxy", "127.77.4.3:15007"));
}

#[test]
fn a_network_is_a_part_of_the_ports_shared_listener() {
    let text = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: se1}
spec: {hosts: [blah1.somedomain], addresses: ['1234:1f1:123:123:f816:3eff:feb8:2287/16'], ports: [{number: 9999, name: a, protocol: TCP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: se2}
spec: {hosts: [blah2.somedomain], addresses: ['1234:1f1:123:123:f816:3eff:feb8:2287/32'], ports: [{number: 9999, name: a, protocol: TCP}]}
";
    let view = view(&snapshot(text), &captured("web-1", "10.0.0.1"));

    let listener = view.listeners.listeners.iter().find(|listener| listener.name == "0.0.0.0_9999").unwrap();

    let networks: Vec<_> =
        listener.chains.iter().map(|chain| chain.condition.destinations[0].length).collect();
    assert_eq!(networks, [16, 32]);
    assert!(listener.default_chain.is_some());
}
