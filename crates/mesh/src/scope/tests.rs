#![allow(clippy::unwrap_used)]

use api::{ResourceSet, parse};
use serde_json::json;

use crate::{Proxy, Route, Settings, Snapshot, View, view};

fn object(kind: &str, name: &str, namespace: &str, spec: &str) -> String {
    let version = if kind == "Service" { "v1" } else { "networking.istio.io/v1" };
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn service(name: &str, namespace: &str) -> String {
    object("Service", name, namespace, "{ports: [{name: http, port: 80}, {name: http-b, port: 81}]}")
}

fn snapshot(text: &str) -> Snapshot {
    let parsed = parse("scope.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let set: ResourceSet = parsed.resources.into_iter().collect();
    Snapshot::next(None, &set, &Settings::default())
}

fn proxy(namespace: &str, app: &str) -> Proxy {
    let id = format!("sidecar~10.0.0.9~x.{namespace}~{namespace}.svc.cluster.local");
    Proxy::new(&id, &json!({"LABELS": {"app": app}}), &[]).unwrap()
}

/// The names of the services' clusters, without their domain.
fn clusters(view: &View) -> Vec<String> {
    let names = view.clusters.clusters.iter().map(|cluster| cluster.name.as_str());
    names
        .filter(|name| name.starts_with("outbound"))
        .map(|name| name.replace(".svc.cluster.local", "").replace("outbound|", ""))
        .collect()
}

/// Where requests for a domain go by default, or by whichever rule comes first.
fn leads(view: &View, table: &str, domain: &str) -> Option<String> {
    let table = view.route(table)?;
    let host = table.virtual_hosts.iter().find(|host| host.domains.iter().any(|known| known == domain))?;
    match host.routes.first()? {
        Route::Default { cluster, .. } => Some(cluster.clone()),
        Route::Rule(rule) => rule.clusters.first().cloned(),
        Route::Block | Route::Connect { .. } | Route::Misdirected => None,
    }
}

#[test]
fn a_service_is_seen_where_it_is_exported_to() {
    let hidden = service("a", "one")
        .replace("namespace: one}", "namespace: one, annotations: {networking.istio.io/exportTo: '.'}}");
    let shown = service("b", "one")
        .replace("namespace: one}", "namespace: one, annotations: {networking.istio.io/exportTo: 'two'}}");
    let snapshot = snapshot(&(hidden + &shown));

    assert_eq!(clusters(&view(&snapshot, &proxy("one", "x"))), ["80||a.one", "81||a.one"]);
    assert_eq!(clusters(&view(&snapshot, &proxy("two", "x"))), ["80||b.one", "81||b.one"]);
    assert!(clusters(&view(&snapshot, &proxy("three", "x"))).is_empty());
}

#[test]
fn a_sidecar_shows_the_hosts_it_names() {
    let services = service("a", "one") + &service("b", "one") + &service("c", "two");
    let sidecar =
        object("Sidecar", "s", "one", "{egress: [{hosts: ['./a.one.svc.cluster.local', 'two/*']}]}");
    let snapshot = snapshot(&(services + &sidecar));

    let seen = clusters(&view(&snapshot, &proxy("one", "x")));

    assert_eq!(seen, ["80||a.one", "80||c.two", "81||a.one", "81||c.two"]);
    assert_eq!(clusters(&view(&snapshot, &proxy("two", "x"))).len(), 6);
}

#[test]
fn the_root_namespaces_sidecar_means_each_namespace_by_a_dot() {
    let services = service("a", "one") + &service("b", "two") + &service("c", "istio-system");
    let sidecar = object("Sidecar", "s", "istio-system", "{egress: [{hosts: ['./*']}]}");
    let snapshot = snapshot(&(services + &sidecar));

    assert_eq!(clusters(&view(&snapshot, &proxy("one", "x"))), ["80||a.one", "81||a.one"]);
    assert_eq!(clusters(&view(&snapshot, &proxy("two", "x"))), ["80||b.two", "81||b.two"]);
}

#[test]
fn the_sidecar_that_selects_a_workload_comes_before_the_namespaces() {
    let services = service("a", "one") + &service("b", "one");
    let general = object("Sidecar", "a-general", "one", "{egress: [{hosts: ['./a.one.svc.cluster.local']}]}");
    let special = object(
        "Sidecar",
        "special",
        "one",
        "{workloadSelector: {labels: {app: x}}, egress: [{hosts: ['./b.one.svc.cluster.local']}]}",
    );
    let snapshot = snapshot(&(services + &general + &special));

    assert_eq!(clusters(&view(&snapshot, &proxy("one", "x"))), ["80||b.one", "81||b.one"]);
    assert_eq!(clusters(&view(&snapshot, &proxy("one", "y"))), ["80||a.one", "81||a.one"]);
}

#[test]
fn what_is_excepted_is_not_seen() {
    let services = service("a", "one") + &service("b", "two");
    let sidecar = object("Sidecar", "s", "one", "{egress: [{hosts: ['*/*', '~two/*']}]}");

    let view = view(&snapshot(&(services + &sidecar)), &proxy("one", "x"));

    assert_eq!(clusters(&view), ["80||a.one", "81||a.one"]);
}

#[test]
fn an_egress_listener_with_a_port_has_its_own_services_there() {
    let services = service("a", "one") + &service("b", "one");
    let sidecar = object(
        "Sidecar",
        "s",
        "one",
        "{egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['./a.one.svc.cluster.local']}, {hosts: ['./b.one.svc.cluster.local']}]}",
    );

    let view = view(&snapshot(&(services + &sidecar)), &proxy("one", "x"));

    assert_eq!(clusters(&view), ["80||a.one", "80||b.one", "81||b.one"]);
    assert!(leads(&view, "80", "a.one").is_some() && leads(&view, "80", "b.one").is_none());
    assert!(leads(&view, "81", "b.one").is_some() && leads(&view, "81", "a.one").is_none());
}

#[test]
fn where_a_seen_virtual_service_leads_is_seen_too() {
    let services = service("a", "one") + &service("b", "two");
    let to_b =
        "{hosts: [a], http: [{route: [{destination: {host: b.two.svc.cluster.local, port: {number: 81}}}]}]}";
    let sidecar = object("Sidecar", "s", "one", "{egress: [{hosts: ['./*']}]}");

    let view = view(
        &snapshot(&(services + &object("VirtualService", "v", "one", to_b) + &sidecar)),
        &proxy("one", "x"),
    );

    assert_eq!(clusters(&view), ["80||a.one", "81||a.one", "81||b.two"]);
    assert_eq!(leads(&view, "80", "a.one").unwrap(), "outbound|81||b.two.svc.cluster.local");
    assert!(leads(&view, "80", "b.two").is_none(), "nobody asked for it by name");
}

#[test]
fn a_virtual_service_that_few_see_decides_for_them() {
    let services = service("a", "one") + &service("b", "one") + &service("c", "one");
    let rule = |name: &str, namespace: &str, created: &str, export: &str, to: &str| {
        let spec = format!(
            "{{hosts: [a.one.svc.cluster.local], exportTo: ['{export}'], http: [{{route: [{{destination: {{host: {to}.one.svc.cluster.local}}}}]}}]}}"
        );
        object("VirtualService", name, namespace, &spec)
            .replace("namespace: ", &format!("creationTimestamp: '{created}', namespace: "))
    };
    let everyones = rule("v", "one", "2020-01-01T00:00:00Z", "*", "b");
    let own = rule("w", "two", "2024-01-01T00:00:00Z", ".", "c");
    let snapshot = snapshot(&(services + &everyones + &own));

    let leads = |namespace| leads(&view(&snapshot, &proxy(namespace, "x")), "80", "a.one").unwrap();

    assert_eq!(leads("two"), "outbound|80||c.one.svc.cluster.local");
    assert_eq!(leads("three"), "outbound|80||b.one.svc.cluster.local");
}
