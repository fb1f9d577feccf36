//! The stories Bookinfo is known for, told twice: by Weft's sidecars alone, and with stock Envoys among them.
#![allow(clippy::unwrap_used)]

mod bookinfo {
    mod up;
}

use std::collections::BTreeSet;

use tests_mesh::demo::{eventually, told};
use tests_mesh::{Demo, Load, Reply, request};

/// Which of the reviews versions served the page; none where it shows its reviews error.
fn version(reply: &Reply) -> Option<&'static str> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let served: Vec<_> = ["v1", "v2", "v3"]
        .into_iter()
        .filter(|version| reply.body.contains(&format!("reviews-{version}-")))
        .collect();
    match served[..] {
        [] => None,
        [version] => Some(version),
        _ => panic!("several versions on one page: {served:?}"),
    }
}

fn versions(demo: &Demo, reloads: usize) -> BTreeSet<&'static str> {
    (0..reloads).filter_map(|_| version(&demo.page())).collect()
}

fn unrouted_traffic_is_spread(demo: &Demo) {
    assert_eq!(versions(demo, 60), BTreeSet::from(["v1", "v2", "v3"]));
}

fn pinning_holds_from_the_first_request_after_apply(demo: &Demo, settled: impl Fn(&Demo, &str)) {
    demo.networking("apply", "destination-rule-all");
    demo.networking("apply", "virtual-service-all-v1");
    settled(demo, "v1");

    assert_eq!(versions(demo, 60), BTreeSet::from(["v1"]));
}

fn a_request_stands_in_both_access_logs(demo: &Demo) {
    // The product page passes its client's name on; a request id from outside an Envoy gateway would replace.
    let head = "GET /productpage HTTP/1.1\r\nuser-agent: seen-in-both-logs";
    let reply = request(demo.gateway(), head, "").unwrap();
    assert_eq!(reply.status, 200);

    for workload in ["productpage-v1", "reviews-v1"] {
        let log = demo.workload(workload).join("access.log");
        eventually(&format!("the request in {}", log.display()), || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.lines()
                .any(|line| line.contains("seen-in-both-logs") && line.contains("/reviews/0"))
                .then_some(())
        });
    }
}

fn weights_are_kept(demo: &Demo) {
    demo.networking("apply", "virtual-service-reviews-50-v3");
    eventually("v3 on the page", || (version(&demo.page()) == Some("v3")).then_some(()));

    let third = (0..400).filter(|_| version(&demo.page()) == Some("v3")).count();

    // Half of them, within five sigmas.
    assert!((150..=250).contains(&third), "{third} of 400 were v3");
}

fn one_user_sees_another_version(demo: &Demo, settled: impl Fn(&Demo, &str)) {
    demo.networking("apply", "virtual-service-reviews-test-v2");
    settled(demo, "v1");

    for _ in 0..10 {
        assert_eq!(version(&demo.page_of("jason")), Some("v2"));
        assert_eq!(version(&demo.page_of("alice")), Some("v1"));
        assert_eq!(version(&demo.page()), Some("v1"));
    }
}

/// `reviews` v2 asks `ratings`; with the route of jason to v2 still in force a fault there shows on his page alone.
fn faults_hit_one_user_alone(demo: &Demo) {
    let unavailable = |reply: &Reply| reply.body.contains("Ratings service is currently unavailable");

    demo.networking("apply", "virtual-service-ratings-test-abort");
    eventually("the abort on jason's page", || unavailable(&demo.page_of("jason")).then_some(()));
    for _ in 0..5 {
        assert!(unavailable(&demo.page_of("jason")));
        assert!(!unavailable(&demo.page_of("alice")));
    }

    // Seven seconds are longer than the product page waits for reviews (three, twice), so the page shows its error.
    demo.networking("apply", "virtual-service-ratings-test-delay");
    eventually("the delay on jason's page", || version(&demo.page_of("jason")).is_none().then_some(()));
    assert_eq!(version(&demo.page_of("alice")), Some("v1"));
}

fn deleting_restores(demo: &Demo) {
    demo.networking("apply", "virtual-service-all-v1");
    demo.networking("delete", "virtual-service-all-v1");
    eventually("every version on the page again", || {
        (versions(demo, 12) == BTreeSet::from(["v1", "v2", "v3"])).then_some(())
    });
    unrouted_traffic_is_spread(demo);
}

fn a_dead_sidecar_is_a_503(demo: &Demo, proxy: &str) {
    demo.networking("apply", "virtual-service-all-v1");
    eventually("v1 on the page", || (version(&demo.page()) == Some("v1")).then_some(()));

    let pid = demo.process(&[proxy, "reviews-v1"]);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    eventually("the page's reviews error", || {
        let page = demo.page();
        (version(&page).is_none() && page.body.contains("reviews are currently unavailable")).then_some(())
    });
    let log = demo.workload("productpage-v1").join("access.log");
    eventually("the 503 in productpage's access log", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().any(|line| line.contains("/reviews/0") && line.contains(" 503 ")).then_some(())
    });
}

fn the_whole_story(envoys: &[&str], proxy_of_reviews: &str, settled: impl Fn(&Demo, &str)) {
    let demo = Demo::start(envoys);
    unrouted_traffic_is_spread(&demo);

    let load = Load::start(demo.gateway(), "GET /productpage HTTP/1.1", 2);
    pinning_holds_from_the_first_request_after_apply(&demo, &settled);
    weights_are_kept(&demo);
    one_user_sees_another_version(&demo, &settled);
    let (sent, failed) = load.stop();
    assert!(sent > 0 && failed.is_empty(), "of {sent} requests failed: {failed:?}");

    a_request_stands_in_both_access_logs(&demo);
    faults_hit_one_user_alone(&demo);
    deleting_restores(&demo);
    a_dead_sidecar_is_a_503(&demo, proxy_of_reviews);
}

#[test]
fn bookinfo_through_wefts_own_sidecars() {
    // `apply` returns when every proxy has acknowledged, so nothing is waited for.
    the_whole_story(&[], "weft-proxy", |demo, wanted| assert_eq!(version(&demo.page()), Some(wanted)));
}

#[test]
fn bookinfo_with_envoy_as_gateway_and_beside_reviews() {
    if testkit::skip_without_envoy() {
        return;
    }
    // An Envoy acknowledges before its last worker has changed over.
    let settled = |demo: &Demo, wanted: &str| {
        eventually(wanted, || (version(&demo.page()) == Some(wanted)).then_some(()))
    };
    let replaced = ["istio-ingressgateway", "reviews-v2", "reviews-v3"];
    let and_envoys_agree = |demo: &Demo, wanted: &str| {
        settled(demo, wanted);
        for workload in replaced {
            an_envoy_has_refused_nothing(demo, workload);
        }
    };
    the_whole_story(&["gateway", "reviews"], "envoy", and_envoys_agree);
}

/// A stock Envoy says of itself that it is live and has taken every update.
fn an_envoy_has_refused_nothing(demo: &Demo, workload: &str) {
    let bootstrap = std::fs::read(demo.workload(workload).join("bootstrap.json")).unwrap();
    let bootstrap: serde_json::Value = serde_json::from_slice(&bootstrap).unwrap();
    let admin = bootstrap["admin"].as_str().unwrap().parse().unwrap();

    let state = request(admin, "GET /server_info HTTP/1.1", "").unwrap();
    assert!(state.body.contains("\"state\": \"LIVE\""), "{workload}: {}", state.body);
    assert!(!state.body.contains("weft-proxy"), "{workload} is no Envoy: {}", state.body);
    let stats = request(admin, "GET /stats?filter=update_rejected HTTP/1.1", "").unwrap();
    let refused: Vec<&str> = stats.body.lines().filter(|line| !line.ends_with(": 0")).collect();
    assert!(!stats.body.is_empty() && refused.is_empty(), "{workload}: {refused:?}");
}

const PROXIES: [&str; 7] = [
    "istio-ingressgateway",
    "productpage-v1",
    "details-v1",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
    "ratings-v1",
];

/// Whether `weft status` shows a proxy that has acknowledged all four types.
fn follows(status: &str, proxy: &str) -> bool {
    status.lines().any(|line| line.starts_with(proxy) && line.matches("SYNCED").count() == 4)
}

#[test]
fn the_mesh_survives_its_control_plane_and_broken_files() {
    let demo = Demo::start(&[]);
    demo.networking("apply", "destination-rule-all");
    demo.networking("apply", "virtual-service-all-v1");
    let load = Load::start(demo.gateway(), "GET /productpage HTTP/1.1", 2);

    std::fs::write(demo.dir().join("broken.yaml"), "kind: VirtualService\n  metadata: [\n").unwrap();
    let status = eventually("the broken file in `weft status`", || {
        let out = demo.weft(&["status"]);
        told(&out).contains("broken.yaml:2").then(|| told(&out))
    });
    assert!(status.contains("error"), "{status}");
    demo.wait_to_say("broken.yaml:2");
    assert_eq!(versions(&demo, 20), BTreeSet::from(["v1"]));
    std::fs::remove_file(demo.dir().join("broken.yaml")).unwrap();
    demo.wait_to_say("broken.yaml: nothing is wrong any more");

    let control = demo.process(&["weft", "control"]);
    rustix::process::kill_process(control, rustix::process::Signal::KILL).unwrap();
    eventually("a weft that finds no control plane", || {
        (!demo.weft(&["status"]).status.success()).then_some(())
    });
    assert_eq!(versions(&demo, 20), BTreeSet::from(["v1"]));

    let mut command = std::process::Command::new(tests_mesh::demo::binary("weft"));
    let _again =
        testkit::Process::start("control", command.arg("control").arg("--dir").arg(demo.dir())).unwrap();
    eventually("every proxy back with the control plane", || {
        let status = told(&demo.weft(&["status"]));
        (PROXIES.iter().all(|proxy| follows(&status, proxy))).then_some(())
    });
    demo.networking("apply", "virtual-service-reviews-v3");
    assert_eq!(versions(&demo, 20), BTreeSet::from(["v3"]));
    let (sent, failed) = load.stop();

    assert!(sent > 0 && failed.is_empty(), "of {sent} requests failed: {failed:?}");
}
