#![allow(clippy::unwrap_used)]

use api::ResourceSet;
use mesh::{Proxy, Settings, Snapshot};
use serde_json::json;

use super::*;

const HOST: &str = "outbound|80||a.default.svc.cluster.local";

fn proxy(workload: u8) -> Proxy {
    let id = format!("sidecar~127.77.{workload}.1~w{workload}.default~default.svc.cluster.local");
    let metadata = json!({
        "INTERCEPTION_MODE": "NONE",
        "WEFT_LOCAL": { "mesh": 77, "workload": workload },
    });
    Proxy::new(&id, &metadata, &[]).unwrap()
}

fn snapshot(addresses: &[&str]) -> Snapshot {
    let mut text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n".to_owned();
    for address in addresses {
        text += &format!(
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w-{address}}}\nspec: {{address: {address}, labels: {{app: a}}}}\n"
        );
    }
    let parsed = api::parse("test", text.as_bytes());
    assert_eq!(parsed.resources.len(), addresses.len() + 1, "{:?}", parsed.issues);
    let set: ResourceSet = parsed.resources.into_iter().collect();
    Snapshot::next(None, &set, &Settings::default())
}

fn scope(snapshot: &Snapshot, workload: u8, before: Option<&Scope>, memo: &Memo) -> Scope {
    Scope::new(mesh::view(snapshot, &proxy(workload)), before, memo)
}

#[test]
fn scopes_that_differ_share_what_is_equal() {
    let (memo, snapshot) = (Memo::default(), snapshot(&["10.0.0.1"]));
    let (one, two) = (scope(&snapshot, 1, None, &memo), scope(&snapshot, 2, None, &memo));

    let first = one.named(TypeUrl::Endpoint, HOST).unwrap();
    let second = two.named(TypeUrl::Endpoint, HOST).unwrap();

    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn what_did_not_change_is_not_encoded_anew_by_the_only_proxy_there_is() {
    let memo = Memo::default();
    let one = scope(&snapshot(&["10.0.0.1"]), 1, None, &memo);
    let clusters = one.all(TypeUrl::Cluster);
    let endpoints: Vec<*const Served> = one.named(TypeUrl::Endpoint, HOST).iter().map(Arc::as_ptr).collect();
    let held: Vec<*const Served> = clusters.iter().map(Arc::as_ptr).collect();
    drop(clusters);

    let next = scope(&snapshot(&["10.0.0.1"]), 1, Some(&one), &memo);
    drop(one);

    assert_eq!(next.all(TypeUrl::Cluster).iter().map(Arc::as_ptr).collect::<Vec<_>>(), held);
    let again = next.named(TypeUrl::Endpoint, HOST);
    assert_eq!(again.iter().map(Arc::as_ptr).collect::<Vec<_>>(), endpoints);
}

#[test]
fn changed_endpoints_have_another_version_and_unchanged_clusters_have_not() {
    let memo = Memo::default();
    let (one, two) =
        (scope(&snapshot(&["10.0.0.1"]), 1, None, &memo), scope(&snapshot(&["10.0.0.2"]), 1, None, &memo));

    let versions =
        |scope: &Scope| scope.all(TypeUrl::Cluster).iter().map(|s| s.version.clone()).collect::<Vec<_>>();
    let endpoints = |scope: &Scope| scope.named(TypeUrl::Endpoint, HOST).unwrap().version.clone();

    assert_eq!(versions(&one), versions(&two));
    assert_ne!(endpoints(&one), endpoints(&two));
}

#[test]
fn every_name_of_endpoints_and_routes_is_answered() {
    let memo = Memo::default();
    let one = scope(&snapshot(&[]), 1, None, &memo);

    for ty in [TypeUrl::Endpoint, TypeUrl::Route] {
        let served = one.named(ty, "no such name").unwrap();

        assert_eq!(&*served.name, "no such name");
    }
    assert!(one.named(TypeUrl::Cluster, "no such name").is_none());
    assert!(one.secret("kubernetes://none").is_none());
}

#[test]
fn names_that_do_not_exist_take_no_memory() {
    let memo = Memo::default();
    let one = scope(&snapshot(&[]), 1, None, &memo);
    let before = (memo.len(), memo.made());

    for n in 0..100 {
        one.named(TypeUrl::Route, &format!("no such name {n}"));
    }

    assert_eq!((memo.len(), memo.made()), before);
}

#[test]
fn what_differs_between_generations_is_told_by_type() {
    let memo = Memo::default();
    let one = scope(&snapshot(&["10.0.0.1"]), 1, None, &memo);

    let same = scope(&snapshot(&["10.0.0.1"]), 1, Some(&one), &memo);
    let other = scope(&snapshot(&["10.0.0.2"]), 1, Some(&one), &memo);

    let told = [TypeUrl::Cluster, TypeUrl::Endpoint, TypeUrl::Listener, TypeUrl::Route];
    for ty in told {
        assert_eq!(same.differing(&one, ty).unwrap().to_vec(), []);
        let expected: &[Arc<str>] = if ty == TypeUrl::Endpoint { &[HOST.into()] } else { &[] };
        assert_eq!(&*other.differing(&one, ty).unwrap(), expected, "{ty}");
        assert_eq!(other.differing(&same, ty), None, "it was not made after that one");
    }
    assert_eq!(other.differing(&one, TypeUrl::Secret), None);
}

#[test]
fn what_nobody_uses_is_forgotten() {
    let memo = Memo::default();

    for n in 0..u16::try_from(3 * SWEEP).unwrap() {
        let address = format!("10.0.{}.{}", n / 250, n % 250 + 1);
        scope(&snapshot(&[&address]), 1, None, &memo).named(TypeUrl::Endpoint, HOST).unwrap();
    }

    assert!(memo.len() <= 2 * SWEEP, "{}", memo.len());
}
