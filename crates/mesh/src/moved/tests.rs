#![allow(clippy::unwrap_used)]

use crate::{EndpointSlice, Proxy, Settings, Snapshot, View, view};

use super::*;

fn service(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]{more}}}\n---\n"
    )
}

fn workload(name: &str, app: &str, address: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}}}\nspec: {{address: {address}, labels: {{app: {app}}}}}\n---\n"
    )
}

fn slice(address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: b-1, labels: {{kubernetes.io/service-name: b}}}}\naddressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints: [{{addresses: [{address}]}}]\n---\n"
    )
}

fn rule(host: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {host}}}\nspec: {{host: {host}, subsets: [{{name: v1, labels: {{version: v1}}}}]}}\n---\n"
    )
}

fn insert(set: &mut ResourceSet, text: &str) {
    let parsed = api::parse("moved.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    parsed.resources.into_iter().for_each(|resource| drop(set.insert(resource)));
}

fn world() -> ResourceSet {
    let mut set = ResourceSet::default();
    insert(&mut set, &[service("a", ""), service("b", ""), service("c", ", clusterIP: None")].concat());
    insert(&mut set, &[workload("a-1", "a", "10.0.0.1"), workload("c-1", "c", "10.0.3.1")].concat());
    insert(&mut set, &[slice("10.0.2.1"), rule("a")].concat());
    set
}

fn proxy() -> Proxy {
    let id = "sidecar~10.9.9.9~x.default~default.svc.cluster.local";
    Proxy::new(id, &serde_json::json!({}), &[]).unwrap()
}

fn told(view: &View) -> impl Eq + std::fmt::Debug + use<> {
    let endpoints = view.endpoint_names().map(|name| view.endpoints(name).unwrap().digest());
    let routes = view.routes().map(|route| route.digest());
    let (clusters, listeners) = (view.clusters.digest(), view.listeners.digest());
    (clusters, listeners, routes.collect::<Vec<_>>(), endpoints.collect::<Vec<_>>())
}

/// Makes a change, and what follows from the snapshot before it must be what follows from nothing.
fn follows(change: impl FnOnce(&mut ResourceSet)) -> (View, View, BTreeMap<Host, Arc<Service>>) {
    let (settings, proxy) = (Settings::default(), proxy());
    let was = world();
    let first = Snapshot::next(None, &was, &settings);
    let before = view(&first, &proxy);
    let mut set = was.clone();
    change(&mut set);

    let next = Snapshot::next(Some(&first), &set, &settings);
    let after = view(&next, &proxy);

    let anew = Snapshot::next(None, &set, &settings);
    assert_eq!(told(&after), told(&view(&anew, &proxy)));
    assert_eq!(next.issues(), anew.issues());
    (before, after, between(first.state(), &was, &set).unwrap_or_default())
}

fn addresses(slice: &EndpointSlice) -> Vec<&str> {
    slice.endpoints().map(|endpoint| endpoint.address.as_str()).collect()
}

#[test]
fn a_workload_that_moves_concerns_its_service_and_leaves_the_rest_as_it_is() {
    let (before, after, moved) =
        follows(|set| insert(set, &[workload("a-1", "a", "10.0.0.2"), slice("10.0.2.2")].concat()));

    assert_eq!(
        moved.keys().map(Host::as_str).collect::<Vec<_>>(),
        ["a", "b"].map(|name| format!("{name}.default.svc.cluster.local"))
    );
    let a = "outbound|80||a.default.svc.cluster.local";
    assert_eq!(addresses(&after.endpoints(a).unwrap()), ["10.0.0.2"]);
    assert!(after.moved(&before).unwrap().contains(&a));
    let is_one = |(a, b): (&Arc<crate::Cluster>, &Arc<crate::Cluster>)| Arc::ptr_eq(a, b);
    assert!(after.clusters.clusters.iter().zip(&before.clusters.clusters).all(is_one));
    assert!(after.routes().zip(before.routes()).all(|(a, b)| Arc::ptr_eq(a, b)));
}

#[test]
fn workloads_come_go_and_change_sides() {
    let key = |name: &str| Key { kind: Kind::WorkloadEntry, namespace: "default".into(), name: name.into() };

    follows(|set| drop(set.remove(&key("a-1"))));
    follows(|set| insert(set, &workload("a-2", "a", "10.0.0.2")));
    follows(|set| insert(set, &workload("a-1", "b", "10.0.0.1")));
    follows(|set| insert(set, &workload("x", "nobody", "10.0.0.7")));
    let (.., moved) = follows(|set| insert(set, &workload("proxy", "a", "10.9.9.9")));

    assert_eq!(moved.len(), 1);
}

#[test]
fn where_more_than_workloads_may_differ_everything_is_made_anew() {
    // Clients connect to a headless service's workloads themselves, so its listeners name them.
    let (.., headless) = follows(|set| insert(set, &workload("c-1", "c", "10.0.3.2")));
    let (.., ruled) = follows(|set| {
        insert(set, &rule("b"));
        insert(set, &workload("a-1", "a", "10.0.0.2"));
    });

    assert!(headless.is_empty() && ruled.is_empty());
}

#[test]
fn one_move_after_another_is_as_the_last_one_alone() {
    let (settings, proxy, mut set) = (Settings::default(), proxy(), world());
    let mut snapshot = Snapshot::next(None, &set, &settings);

    for n in 2..6 {
        insert(&mut set, &workload("a-1", "a", &format!("10.0.0.{n}")));
        snapshot = Snapshot::next(Some(&snapshot), &set, &settings);
        if n % 2 == 0 {
            // Not every snapshot is looked at.
            view(&snapshot, &proxy);
        }
    }

    let anew = Snapshot::next(None, &set, &settings);
    assert_eq!(told(&view(&snapshot, &proxy)), told(&view(&anew, &proxy)));
}
