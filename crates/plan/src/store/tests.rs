#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tests_support::{
    any as packed, listener, listener_of_routes, put, routes, store, tcp_filter, to, told,
};

fn eds(name: &str) -> Value {
    json!({"name": name, "type": "EDS"})
}

fn endpoints(name: &str, addresses: &[&str]) -> Value {
    let all: Vec<_> = addresses
        .iter()
        .map(|a| json!({"endpoint": {"address": {"socket_address": {"address": a, "port_value": 80}}}}))
        .collect();
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": all}]})
}

#[test]
fn the_good_ones_are_in_force_and_the_bad_refused_by_name() {
    let mut store = store();
    let bad = json!({"name": "bad", "lb_subset_config": {}});

    let rejects = put(&mut store, CLUSTER, &[eds("one"), bad, eds("two")]);

    assert_eq!(rejects, ["bad: lb_subset_config: is not supported"]);
    let plan = store.plan();
    assert!(plan.cluster("one").is_some() && plan.cluster("two").is_some() && plan.cluster("bad").is_none());
    assert_eq!(plan.rejects.len(), 1);
}

#[test]
fn the_last_good_version_stays_in_force() {
    let mut store = store();
    put(&mut store, LISTENER, &[listener("l", 80, tcp_filter("good"))]);
    let before = store.plan();
    let mut bad = listener("l", 81, tcp_filter("bad"));
    bad["freebind"] = true.into();

    assert_eq!(put(&mut store, LISTENER, &[bad]), ["l: freebind: is not supported"]);

    let after = store.plan();
    assert!(Arc::ptr_eq(before.listener("l").unwrap(), after.listener("l").unwrap()));
    assert_eq!(after.rejects.len(), 1);
    put(&mut store, LISTENER, &[listener("l", 82, tcp_filter("good"))]);
    assert!(store.plan().rejects.is_empty());
}

#[test]
fn what_an_update_does_not_touch_is_shared() {
    let mut store = store();
    put(&mut store, CLUSTER, &[eds("a"), eds("b")]);
    put(&mut store, ENDPOINTS, &[endpoints("a", &["10.0.0.1"]), endpoints("b", &["10.0.0.2"])]);
    put(&mut store, LISTENER, &[listener_of_routes("l", 80, "r")]);
    put(&mut store, ROUTES, &[routes("r", &[to("/", "a")])]);
    let before = store.plan();
    assert!(Arc::ptr_eq(&before, &store.plan()));

    put(&mut store, ENDPOINTS, &[endpoints("a", &["10.0.0.1", "10.0.0.3"])]);
    let after = store.plan();

    assert_eq!(after.generation, before.generation + 1);
    assert!(Arc::ptr_eq(&before.listeners, &after.listeners) && Arc::ptr_eq(&before.routes, &after.routes));
    assert!(Arc::ptr_eq(before.cluster("b").unwrap(), after.cluster("b").unwrap()));
    assert_eq!(after.cluster("a").unwrap().endpoints.endpoints.len(), 2);
    let state = |plan: &Plan| Arc::clone(&plan.cluster("a").unwrap().endpoints.table.hosts()[0].state);
    assert!(Arc::ptr_eq(&state(&before), &state(&after)));

    put(&mut store, LISTENER, &[listener_of_routes("m", 81, "r")]);
    let last = store.plan();
    let bound = |plan: &Plan| Arc::clone(&plan.routes.get("r").unwrap().by_list[0].1);
    assert!(Arc::ptr_eq(&bound(&after), &bound(&last)));
}

#[test]
fn a_cluster_is_warm_once_discovery_has_spoken() {
    let mut store = store();
    put(&mut store, CLUSTER, &[eds("a"), eds("b"), json!({"name": "s"})]);
    assert_eq!(store.wanted_endpoints(), ["a".to_owned(), "b".to_owned()].into());
    let plan = store.plan();
    let is_warm = |plan: &Plan, name| plan.cluster(name).unwrap().is_warm;
    assert!(!is_warm(&plan, "a") && is_warm(&plan, "s"));

    put(&mut store, ENDPOINTS, &[endpoints("a", &[])]);
    store.update(ENDPOINTS, &[], &["b".into()]);
    let plan = store.plan();
    assert!(is_warm(&plan, "a") && is_warm(&plan, "b"));
    assert!(plan.cluster("b").unwrap().endpoints.endpoints.is_empty());
}

#[test]
fn a_cluster_that_changes_keeps_the_endpoints_it_has() {
    let mut store = store();
    put(&mut store, CLUSTER, &[eds("a")]);
    put(&mut store, ENDPOINTS, &[endpoints("a", &["10.0.0.1"])]);
    store.plan();

    let mut changed = eds("a");
    changed["connect_timeout"] = "1s".into();
    put(&mut store, CLUSTER, &[changed]);

    assert_eq!(store.plan().cluster("a").unwrap().endpoints.endpoints.len(), 1);
}

#[test]
fn a_route_configuration_no_listener_can_run_is_refused_and_not_its_listener() {
    let mut store = store();
    put(&mut store, LISTENER, &[listener_of_routes("l", 80, "r")]);
    assert_eq!(store.wanted_routes(), ["r".to_owned()].into());
    let mut route = to("/", "c");
    route["typed_per_filter_config"] = json!({"told": told("bad")});

    let rejects = put(&mut store, ROUTES, &[routes("r", &[route.clone()])]);

    let why = "r: typed_per_filter_config: virtual host \"all\", route \"c\": filter \"told\": bad is wrong";
    assert_eq!(rejects, [why]);

    // The other way round it is the listener that does not fit what is in force.
    let mut other = crate::tests_support::store();
    put(&mut other, ROUTES, &[routes("r", &[route])]);
    assert_eq!(put(&mut other, LISTENER, &[listener_of_routes("l", 80, "r")]).len(), 1);
}

#[test]
fn a_resource_must_be_what_it_came_as() {
    let mut store = store();
    let rejects = store.update(CLUSTER, &[("x".into(), packed(CLUSTER, eds("y")))], &[]);
    assert_eq!(rejects[0].message, "name: is \"y\", but it came as \"x\"");

    let rejects = store.update(LISTENER, &[("x".into(), packed(CLUSTER, eds("x")))], &[]);
    assert!(rejects[0].message.contains("expected"), "{rejects:?}");
    assert_eq!(store.update("type.googleapis.com/x.Y", &[("x".into(), Any::default())], &[]).len(), 1);
}

#[test]
fn what_is_removed_is_gone() {
    let mut store = store();
    put(&mut store, CLUSTER, &[eds("a")]);
    put(&mut store, LISTENER, &[listener("l", 80, tcp_filter("a"))]);
    store.plan();

    store.update(CLUSTER, &[], &["a".into(), "never".into()]);
    store.update(LISTENER, &[], &["l".into()]);

    let plan = store.plan();
    assert!(plan.cluster("a").is_none() && plan.listeners.is_empty());
    assert!(plan.handover("127.0.0.1:80".parse().unwrap()).is_none());
    assert_eq!(plan.sources().count(), 0);
}

#[test]
fn secrets_are_wanted_by_name_and_given_as_data() {
    let mut store = store();
    let tls = |name: &str, context: Value| {
        json!({"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{name}"),
            "common_tls_context": context,
        }})
    };
    let mut served = listener("l", 443, tcp_filter("c"));
    served["filter_chains"][0]["transport_socket"] = tls(
        "DownstreamTlsContext",
        json!({
            "tls_certificate_sds_secret_configs": [{"name": "cert"}],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [
                    {"san_type": "DNS", "matcher": {"exact": "a"}},
                ]},
                "validation_context_sds_secret_config": {"name": "roots"},
            },
        }),
    );
    let mut cluster = eds("c");
    let roots = json!({"validation_context_sds_secret_config": {"name": "far-roots"}});
    cluster["transport_socket"] = tls("UpstreamTlsContext", roots);
    put(&mut store, LISTENER, &[served]);
    put(&mut store, CLUSTER, &[cluster]);
    assert_eq!(
        store.wanted_secrets(),
        ["cert".to_owned(), "far-roots".to_owned(), "roots".to_owned()].into()
    );
    let plan = store.plan();
    assert!(plan.secret("cert").is_none() && !plan.knows_secret("cert"));

    let file = |path: &str| json!({"filename": path});
    let certificate = json!({"certificate_chain": file("/c"), "private_key": file("/k")});
    put(
        &mut store,
        SECRET,
        &[
            json!({"name": "cert", "tls_certificate": certificate}),
            json!({"name": "roots", "validation_context": {"trusted_ca": file("/ca")}}),
            json!({"name": "unasked", "validation_context": {}}),
        ],
    );
    let plan = store.plan();

    let Some(Secret::Certificate(certificate)) = plan.secret("cert") else { panic!() };
    assert_eq!(certificate.key, crate::Pem::File("/k".into()));
    assert!(matches!(plan.secret("roots"), Some(Secret::Validation(roots)) if roots.roots.is_some()));
    assert!(!plan.knows_secret("unasked") && plan.sources().count() == 2, "no page shows a secret");

    store.update(SECRET, &[], &["cert".into()]);
    let plan = store.plan();
    assert!(plan.knows_secret("cert") && plan.secret("cert").is_none());
}

#[test]
fn what_workers_know_of_a_cluster_outlives_its_versions() {
    let mut store = store();
    put(&mut store, CLUSTER, &[eds("a")]);
    let before = store.plan();
    let mut changed = eds("a");
    changed["connect_timeout"] = "1s".into();
    put(&mut store, CLUSTER, &[changed]);
    let after = store.plan();

    let state = |plan: &Plan| Arc::clone(&plan.cluster("a").unwrap().state);
    assert!(Arc::ptr_eq(&state(&before), &state(&after)));
}

/// One good resource of each type.
fn good() -> [(&'static str, String, Any); 5] {
    let full = json!({
        "name": "c", "type": "STRICT_DNS", "connect_timeout": "1s",
        "load_assignment": endpoints("c", &["10.0.0.1", "a.example"]),
        "lb_policy": "RING_HASH", "ring_hash_lb_config": {"maximum_ring_size": 64, "minimum_ring_size": 8},
        "outlier_detection": {"interval": "1s", "max_ejection_percent": 50},
        "circuit_breakers": {"thresholds": [{"max_requests": 7, "retry_budget": {}}]},
        "transport_socket": {"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "a", "common_tls_context": {
                "tls_params": {"cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256"]},
                "validation_context": {"verify_certificate_hash": ["aa".repeat(32)]},
            },
        }},
    });
    let route = json!({
        "name": "r", "match": {"safe_regex": {"regex": "/a.*"}, "headers": [{"name": "x", "string_match": {"prefix": "y"}}]},
        "route": {"weighted_clusters": {"clusters": [{"name": "c", "weight": 1}]}, "retry_policy": {"retry_on": "5xx"}},
        "request_headers_to_add": [{"header": {"key": "x", "value": "%REQ(y)%"}}],
    });
    [
        (
            SECRET,
            "s".into(),
            packed(
                SECRET,
                json!({"name": "s", "validation_context": {
                    "trusted_ca": {"inline_string": "CA"},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"safe_regex": {"regex": "a.*"}}}],
                }}),
            ),
        ),
        (CLUSTER, "c".into(), packed(CLUSTER, full)),
        (ENDPOINTS, "c".into(), packed(ENDPOINTS, endpoints("c", &["10.0.0.1"]))),
        (LISTENER, "l".into(), packed(LISTENER, listener_of_routes("l", 80, "r"))),
        (ROUTES, "r".into(), packed(ROUTES, routes("r", &[route]))),
    ]
}

proptest! {
    #[test]
    fn damaged_resources_never_take_what_is_in_force(
        which in 0_usize..5,
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut store = store();
        for (ty, name, any) in good() {
            prop_assert_eq!(store.update(ty, &[(name, any)], &[]), []);
        }
        let before = store.plan();
        let (ty, name, mut any) = good()[which].clone();
        any.value.truncate(cut.index(any.value.len() + 1));
        for (place, value) in flips {
            if !any.value.is_empty() {
                let place = place.index(any.value.len());
                any.value[place] = value;
            }
        }

        let rejects = store.update(ty, &[(name, any)], &[]);

        let after = store.plan();
        prop_assert!(after.listener("l").is_some() && after.cluster("c").is_some() && after.routes.contains_key("r"));
        if !rejects.is_empty() {
            prop_assert!(Arc::ptr_eq(before.listener("l").unwrap(), after.listener("l").unwrap()));
            prop_assert!(Arc::ptr_eq(before.cluster("c").unwrap(), after.cluster("c").unwrap()));
        }
    }

    #[test]
    fn bytes_of_any_kind_are_survived(
        which in 0_usize..5,
        value in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut store = store();
        let (ty, name, any) = good()[which].clone();

        store.update(ty, &[(name, Any { value, ..any })], &[]);

        store.plan();
    }
}
