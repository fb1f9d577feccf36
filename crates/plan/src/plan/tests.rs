#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::resource::{LISTENER, ROUTES};
use crate::tests_support::{
    get, http_filter, listener, listener_of_routes, put, routes, store, tcp_filter, to, told,
};

fn manager(plan: &Plan, listener: &str) -> Arc<HttpManager> {
    Arc::clone(plan.listener(listener).unwrap().managers().next().unwrap())
}

#[test]
fn a_request_is_led_from_its_listener_to_its_cluster() {
    let mut store = store();
    put(&mut store, LISTENER, &[listener_of_routes("l", 80, "r")]);
    let table = routes("r", &[to("/a", "one"), to("/b", "two")]);
    put(&mut store, ROUTES, &[table]);
    let plan = store.plan();
    let manager = manager(&plan, "l");

    let parts = get("/b/x", &[("host", "any")]);
    let Lookup::Found(found) = plan.route(&manager, &Request::new(&parts, 0)) else { panic!() };
    assert_eq!((found.place, found.cluster(&parts), &*found.host.name), (1, Some("two"), "all"));

    let parts = get("/c", &[]);
    assert!(
        matches!(plan.route(&manager, &Request::new(&parts, 0)), Lookup::NoRoute(host, _) if &*host.name == "all")
    );
}

#[test]
fn a_table_that_has_not_come_and_one_that_does_not_exist_are_told_apart() {
    let mut store = store();
    put(&mut store, LISTENER, &[listener_of_routes("l", 80, "r")]);
    let plan = store.plan();
    let manager = manager(&plan, "l");
    let parts = get("/", &[]);

    assert!(matches!(plan.route(&manager, &Request::new(&parts, 0)), Lookup::NoTable));
    assert!(!plan.knows_routes(&manager));

    store.update(ROUTES, &[], &["r".into()]);
    let plan = store.plan();
    assert!(matches!(plan.route(&manager, &Request::new(&parts, 0)), Lookup::NoTable));
    assert!(plan.knows_routes(&manager));
}

#[test]
fn the_most_specific_configuration_makes_a_routes_chain() {
    let mut weighted = to("/w", "c");
    weighted["route"] = json!({"weighted_clusters": {"clusters": [
        {"name": "a", "weight": 1, "typed_per_filter_config": {"told": told("weight")}},
        {"name": "b", "weight": 1},
    ]}});
    weighted["typed_per_filter_config"] = json!({"told": told("route")});
    let mut off = to("/off", "c");
    off["typed_per_filter_config"] = json!({"told": {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}});
    let mut foreign = to("/foreign", "c");
    foreign["typed_per_filter_config"] = json!({"other": told("x")});
    let mut table = routes("r", &[weighted, off, foreign]);
    table["virtual_hosts"][0]["typed_per_filter_config"] = json!({"told": told("host")});
    let mut store = store();
    put(&mut store, LISTENER, &[listener("l", 80, http_filter(json!({"route_config": table})))]);
    let plan = store.plan();
    let manager = manager(&plan, "l");

    let chain = |uri: &str, random| {
        let parts = get(uri, &[]);
        let Lookup::Found(found) = plan.route(&manager, &Request::new(&parts, random)) else { panic!() };
        found.chain.names().map(str::to_owned).collect::<Vec<_>>()
    };

    assert_eq!(chain("/w", 0), ["told:weight"]);
    assert_eq!(chain("/w", 1), ["told:route"]);
    assert_eq!(chain("/off", 0), [""; 0]);
    assert_eq!(chain("/foreign", 0), ["told:host"]);
    assert!(plan.routes(&manager).unwrap().base.is_empty());
    assert_eq!(manager.filters.inert.len(), 1);
}

#[test]
fn a_host_that_must_be_asked_by_tls_sends_others_there() {
    let mut table = routes("r", &[to("/", "c")]);
    table["virtual_hosts"][0]["require_tls"] = "ALL".into();
    let mut store = store();
    put(&mut store, LISTENER, &[listener("l", 80, http_filter(json!({"route_config": table})))]);
    let plan = store.plan();
    let manager = manager(&plan, "l");
    let parts = get("/a?b", &[("host", "shop.example")]);

    let plain = Request::new(&parts, 0);
    let Lookup::Secure(_, location) = plan.route(&manager, &plain) else { panic!() };
    assert_eq!(location, "https://shop.example/a?b");
    let secure = Request { is_secure: true, ..plain };
    assert!(matches!(plan.route(&manager, &secure), Lookup::Found(_)));
}

#[test]
fn a_header_can_name_the_cluster() {
    let mut route = to("/", "c");
    route["route"] = json!({"cluster_header": "x-cluster"});
    let mut store = store();
    let filter = http_filter(json!({"route_config": routes("r", &[route])}));
    put(&mut store, LISTENER, &[listener("l", 80, filter)]);
    let plan = store.plan();
    let manager = manager(&plan, "l");

    for (headers, expected) in [(&[("x-cluster", "named")][..], Some("named")), (&[], None)] {
        let parts = get("/", headers);
        let Lookup::Found(found) = plan.route(&manager, &Request::new(&parts, 0)) else { panic!() };
        assert_eq!(found.cluster(&parts), expected);
    }
}

#[test]
fn connections_are_handed_to_the_closest_listener() {
    let at = |name: &str, address: &str, bound: bool| {
        let mut json = listener(name, 9080, tcp_filter(name));
        json["address"]["socket_address"]["address"] = address.into();
        json["bind_to_port"] = bound.into();
        json
    };
    let mut more = at("more", "10.0.0.9", false);
    more["additional_addresses"] =
        json!([{"address": {"socket_address": {"address": "10.0.0.10", "port_value": 9080}}}]);
    let mut store = store();
    put(
        &mut store,
        LISTENER,
        &[at("exact", "10.0.0.1", false), at("any", "0.0.0.0", false), at("six", "::", false), more],
    );
    let plan = store.plan();
    let name = |to: &str| plan.handover(to.parse().unwrap()).map(|listener| listener.name.to_string());

    assert_eq!(name("10.0.0.1:9080").as_deref(), Some("exact"));
    assert_eq!(name("10.0.0.2:9080").as_deref(), Some("any"));
    assert_eq!(name("[::ffff:10.0.0.1]:9080").as_deref(), Some("exact"));
    assert_eq!(name("[fd00::1]:9080").as_deref(), Some("six"));
    assert_eq!(name("10.0.0.10:9080").as_deref(), Some("more"));
    assert_eq!(name("10.0.0.1:9081"), None);
}
