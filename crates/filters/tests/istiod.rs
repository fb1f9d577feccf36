//! What a real istiod pushes must compile: recorded worlds, resource by resource.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, missing_docs)]

use std::path::{Path, PathBuf};

use filter::Registry;
use plan::{
    CLUSTER, ENDPOINTS, LISTENER, Lookup, Plan, ROUTES, Reject, Request, RouteMatch, Store, Terminal,
};
use proto::Any;
use serde_json::Value;

/// Worlds of which every resource must be accepted.
const WHOLE: [&str; 2] = ["bookinfo", "pinned-v1"];

const FILES: [(&str, &str, &str); 4] = [
    ("Cluster.json", CLUSTER, "name"),
    ("ClusterLoadAssignment.json", ENDPOINTS, "cluster_name"),
    ("Listener.json", LISTENER, "name"),
    ("RouteConfiguration.json", ROUTES, "name"),
];

fn suite() -> Option<PathBuf> {
    testkit::suites().map(|suites| suites.join("istiod"))
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = path.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    all
}

fn store() -> Store {
    let mut registry = Registry::default();
    filters::register(&mut registry);
    Store::new(registry)
}

fn resources(file: &Path, key: &str) -> Vec<(String, Any)> {
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let Value::Array(all) = serde_json::from_str(&text).unwrap() else {
        panic!("{} is no array", file.display())
    };
    let read = |json: Value| {
        let any: Any = proto::json::from_json(&json).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        (json[key].as_str().unwrap().to_owned(), any)
    };
    all.into_iter().map(read).collect()
}

fn load(store: &mut Store, proxy: &Path) -> (usize, Vec<Reject>) {
    let (mut count, mut rejects) = (0, Vec::new());
    for (file, ty, key) in FILES {
        let all = resources(&proxy.join(file), key);
        count += all.len();
        rejects.extend(store.update(ty, &all, &[]));
    }
    (count, rejects)
}

#[test]
fn worlds_of_an_istiod_are_accepted() {
    let Some(suite) = suite() else { return };
    for world in folders(&suite).iter().filter(|world| !world.ends_with("debug")) {
        let name = world.file_name().unwrap().to_str().unwrap();
        for proxy in folders(world) {
            let (count, rejects) = load(&mut store(), &proxy);

            eprintln!("{}: {count} resources, {} refused", proxy.display(), rejects.len());
            for reject in &rejects {
                eprintln!("  {}: {}", reject.name, reject.message);
            }
            assert!(count > 0);
            assert!(rejects.is_empty() || !WHOLE.contains(&name), "{}", proxy.display());
        }
    }
}

fn plan_of(suite: &Path, proxy: &str) -> std::sync::Arc<Plan> {
    let mut store = store();
    load(&mut store, &suite.join(proxy));
    store.plan()
}

fn found<'p>(plan: &'p Plan, listener: &str, request: &Request<'_>) -> Option<RouteMatch<'p>> {
    let listener = plan.listener(listener).unwrap();
    let manager = listener.chains.iter().find_map(|chain| match &chain.terminal {
        Terminal::Http(manager) => Some(manager),
        Terminal::Tcp(_) => None,
    });
    match plan.route(manager.unwrap(), request) {
        Lookup::Found(found) => Some(found),
        _ => None,
    }
}

#[test]
fn pinned_routes_lead_to_the_pinned_version() {
    let Some(suite) = suite() else { return };
    let plan = plan_of(&suite, "pinned-v1/productpage");
    let parts =
        http::Request::get("/reviews/0").header("host", "reviews:9080").body(()).unwrap().into_parts().0;

    let found = found(&plan, "0.0.0.0_9080", &Request::new(&parts, 0)).unwrap();

    let cluster = found.cluster(&parts).unwrap();
    assert_eq!(cluster, "outbound|9080|v1|reviews.demo.svc.cluster.local");
    assert_eq!(plan.cluster(cluster).unwrap().endpoints.endpoints.len(), 1);
    assert!(found.chain.is_empty(), "{:?}", found.chain);
    assert!(found.route.config.as_deref().unwrap().ends_with("/virtual-service/reviews"));
}

#[test]
fn connections_are_handed_over_by_their_original_destination() {
    let Some(suite) = suite() else { return };
    let plan = plan_of(&suite, "bookinfo/productpage");

    let listener = plan.handover("10.96.1.2:9080".parse().unwrap()).unwrap();

    assert_eq!(&*listener.name, "0.0.0.0_9080");
    assert!(!listener.bind_to_port);
    assert!(plan.handover("10.96.1.2:1".parse().unwrap()).is_none());
}

#[test]
fn faults_stand_in_the_chain_of_their_route_alone() {
    let Some(suite) = suite() else { return };
    let plan = plan_of(&suite, "faults/productpage");
    let faulted = plan
        .listeners
        .values()
        .flat_map(|listener| listener.managers())
        .filter_map(|manager| plan.routes(manager))
        .flat_map(|routes| {
            routes.table.hosts.iter().flat_map(move |h| h.routes.iter().map(move |r| (routes, r)))
        })
        .filter(|(routes, route)| routes.chain(route, None).names().eq(["envoy.filters.http.fault"]));

    assert!(faulted.count() > 0);
}
