#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;

use super::*;
use crate::cors::CORS;
use crate::tests_support::{get, routes, to};

fn table(json: &Value) -> Result<RouteTable, String> {
    let message: wire::RouteConfiguration = proto::json::from_json(json).unwrap();
    RouteTable::compile(&message).map_err(|wrong| wrong.to_string())
}

fn host(name: &str, domains: &[&str]) -> Value {
    json!({"name": name, "domains": domains, "routes": [to("/", name)]})
}

#[test]
fn the_port_of_an_authority_counts_unless_it_shall_not() {
    let hosts = [host("exact", &["a.example"]), host("port", &["a.example:81"]), host("any", &["*"])];
    for (ignores, authority, expected) in [
        (false, "a.example", "exact"),
        (false, "a.example:80", "any"),
        (false, "a.example:81", "port"),
        (true, "a.example:80", "exact"),
        (true, "A.example:81", "exact"),
    ] {
        let json = json!({"name": "t", "virtual_hosts": hosts, "ignore_port_in_host_matching": ignores});
        assert_eq!(&*table(&json).unwrap().host(authority).unwrap().name, expected, "{ignores} {authority}");
    }
}

#[test]
fn a_fault_is_named_with_its_whole_path() {
    for (route, place) in [
        (json!({"match": {"prefix": "/"}}), "virtual_hosts[0].routes[0].action"),
        (json!({"route": {"cluster": "c"}}), "virtual_hosts[0].routes[0].match"),
        (
            json!({"name": "r", "match": {"prefix": "/"}, "route": {}}),
            "virtual_hosts[0].routes[0].(r).route.cluster_specifier",
        ),
        (
            json!({"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]}}}),
            "virtual_hosts[0].routes[0].route.weighted_clusters",
        ),
        (
            json!({"match": {"prefix": "/"}, "route": {"cluster": "c", "timeout": "-1s"}}),
            "virtual_hosts[0].routes[0].route.timeout",
        ),
        (
            json!({"match": {"prefix": "/"}, "direct_response": {"status": 99}}),
            "virtual_hosts[0].routes[0].direct_response.status",
        ),
        (
            json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"filename": "/etc/passwd"}}}),
            "virtual_hosts[0].routes[0].direct_response.body",
        ),
    ] {
        let error = table(&routes("t", &[route])).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
    let twice = json!({"name": "t", "virtual_hosts": [host("a", &["x"]), host("b", &["y", "X"])]});
    assert_eq!(table(&twice).unwrap_err(), "virtual_hosts[1].domains[1]: domain \"x\" appears twice");
    let none = json!({"name": "t", "virtual_hosts": [{"name": "a"}]});
    assert_eq!(table(&none).unwrap_err(), "virtual_hosts[0].domains: is empty");
}

#[test]
fn a_long_answer_is_refused_before_it_is_given() {
    let body = "x".repeat(5_000);
    let reply = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": body}}});
    let mut json = routes("t", &[reply]);

    assert!(table(&json).unwrap_err().contains("5000 bytes, 4096 are allowed"));
    json["max_direct_response_body_size_bytes"] = 1_048_576.into();
    assert!(table(&json).is_ok());
}

#[test]
fn a_policy_in_its_old_place_is_found_where_the_filter_looks() {
    let cors = json!({"allow_methods": "GET"});
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "c", "cors": cors}});
    let mut json = routes("t", &[route]);
    json["virtual_hosts"][0]["cors"] = cors;

    let table = table(&json).unwrap();

    let policy: CorsPolicy = proto::any::unpack(&table.hosts[0].filters[CORS]).unwrap();
    assert_eq!(policy.allow_methods, "GET");
    assert!(table.hosts[0].routes[0].filters.contains_key(CORS));
}

#[test]
fn headers_change_from_the_most_specific_level_out_unless_turned_round() {
    let add = |value: &str| json!([{"header": {"key": "x", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]);
    for (turned, expected) in [(false, "config"), (true, "route")] {
        let mut route = to("/", "c");
        route["request_headers_to_add"] = add("route");
        let mut json = routes("t", &[route]);
        json["virtual_hosts"][0]["request_headers_to_add"] = add("host");
        json["request_headers_to_add"] = add("config");
        json["most_specific_header_mutations_wins"] = turned.into();
        let table = table(&json).unwrap();
        let address: base::Address = "127.0.0.1:1".parse().unwrap();
        let mut x = filter::Exchange {
            request: get("/", &[]),
            response: None,
            facts: filter::Facts::new(
                filter::Moment::default(),
                filter::Peer { remote: address.clone(), local: address },
                0,
            ),
        };

        for ops in &table.hosts[0].routes[0].request_headers {
            ops.apply_to_request(&mut x, crate::HeaderScope::default());
        }

        assert_eq!(x.request.headers["x"], expected);
    }
}

fn some_route() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(vec!["/", "/a", "/a/", "/a/b", "/ab", "/b/c/d", "/b", ""]);
    let kind = prop::sample::select(vec!["prefix", "path", "path_separated_prefix", "safe_regex"]);
    (path, kind, any::<bool>(), any::<bool>()).prop_map(|(path, kind, case, header)| {
        let condition = match kind {
            "safe_regex" => json!({"regex": format!("{path}.?")}),
            "path_separated_prefix" => json!(format!("/{}", path.trim_matches('/').replace('/', "x") + "a")),
            _ => json!(path),
        };
        let mut route =
            json!({"match": {kind: condition, "case_sensitive": case}, "route": {"cluster": "c"}});
        if header {
            route["match"]["headers"] = json!([{"name": "x", "present_match": true}]);
        }
        route
    })
}

proptest! {
    #[test]
    fn the_first_route_that_takes_a_request_is_found_however_many_there_are(
        all in prop::collection::vec(some_route(), 1..60),
        path in prop::sample::select(vec!["/", "/a", "/A/b", "/a/b", "/ab", "/abc", "/b", "/b/c/d/e", "/zz", "/a/"]),
        has_header in any::<bool>(),
    ) {
        let table = table(&routes("t", &all)).unwrap();
        let parts = get(path, if has_header { &[("x", "1")] } else { &[] });
        let request = Request::new(&parts, 0);
        let host = &table.hosts[0];

        let first = host.routes.iter().position(|route| route.conditions.unmet(&request).is_none());

        prop_assert_eq!(host.find(&request), first);
    }
}
