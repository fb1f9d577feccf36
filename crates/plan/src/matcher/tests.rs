#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::tests_support::get;

fn conditions(json: Value) -> Result<Conditions, String> {
    let message: RouteMatch = proto::json::from_json(&json).unwrap();
    Conditions::compile(&message).map_err(|wrong| wrong.to_string())
}

fn unmet(json: Value, uri: &str, headers: &[(&str, &str)]) -> Option<Unmet> {
    conditions(json).unwrap().unmet(&Request::new(&get(uri, headers), 0))
}

#[test]
fn paths_are_matched_without_their_query() {
    for (condition, yes, no) in [
        (json!({"path": "/a"}), &["/a", "/a?b"][..], &["/", "/a/", "/A"][..]),
        (json!({"path": "/a", "case_sensitive": false}), &["/A"], &["/b"]),
        (json!({"prefix": "/"}), &["/", "/a", "/a?b"], &[]),
        (json!({"prefix": "/Ab", "case_sensitive": false}), &["/aBc"], &["/a"]),
        (json!({"path_separated_prefix": "/a"}), &["/a", "/a/", "/a/b", "/a?b"], &["/ab", "/"]),
        (json!({"safe_regex": {"regex": "/a[0-9]+"}}), &["/a1", "/a12?b"], &["/a1b", "/x/a1"]),
        (json!({"safe_regex": {"regex": "/a|/b"}}), &["/a", "/b"], &["/ab", "/a/b"]),
    ] {
        for path in yes {
            assert_eq!(unmet(condition.clone(), path, &[]), None, "{condition} {path}");
        }
        for path in no {
            assert_eq!(unmet(condition.clone(), path, &[]), Some(Unmet::Path), "{condition} {path}");
        }
    }
}

#[test]
fn the_condition_that_fails_is_named() {
    let all = json!({
        "prefix": "/a",
        "grpc": {},
        "headers": [
            {"name": ":method", "string_match": {"exact": "GET"}},
            {"name": "end-user", "string_match": {"exact": "jason"}},
        ],
        "query_parameters": [{"name": "q", "string_match": {"prefix": "v"}}, {"name": "p", "present_match": true}],
    });
    let grpc = ("content-type", "application/grpc+proto");
    let jason = ("end-user", "jason");

    assert_eq!(unmet(all.clone(), "/b", &[]), Some(Unmet::Path));
    assert_eq!(unmet(all.clone(), "/a", &[("content-type", "application/grpc-web")]), Some(Unmet::Grpc));
    assert_eq!(unmet(all.clone(), "/a", &[grpc]), Some(Unmet::Header(1)));
    assert_eq!(unmet(all.clone(), "/a?q=x&q=v", &[grpc, jason]), Some(Unmet::Query(0)));
    assert_eq!(unmet(all.clone(), "/a?q=v", &[grpc, jason]), Some(Unmet::Query(1)));
    assert_eq!(unmet(all, "/a?p&q=v1", &[grpc, jason]), None);
}

#[test]
fn a_share_of_requests_is_taken() {
    let condition = json!({
        "prefix": "/",
        "runtime_fraction": {"default_value": {"numerator": 25, "denominator": "HUNDRED"}},
    });
    let conditions = conditions(condition).unwrap();
    let parts = get("/", &[]);
    let taken = (0..1_000_000_u64).step_by(1_000).filter(|drawn| {
        let request = Request::new(&parts, drawn.rotate_right(32));
        conditions.unmet(&request).is_none()
    });

    assert_eq!(taken.count(), 250);
}

#[test]
fn conditions_that_cannot_be_kept_to_are_refused() {
    for (condition, place) in [
        (json!({}), "path_specifier"),
        (json!({"prefix": "/", "tls_context": {}}), "tls_context"),
        (json!({"prefix": "/", "dynamic_metadata": [{"filter": "x"}]}), "dynamic_metadata"),
        (json!({"prefix": "/", "cookies": [{"name": "x"}]}), "cookies"),
        (json!({"path_separated_prefix": "/a/"}), "path_separated_prefix"),
        (json!({"safe_regex": {"regex": "("}}), "safe_regex"),
        (json!({"prefix": "/", "headers": [{"name": "sp ace"}]}), "headers[0]"),
        (json!({"prefix": "/", "query_parameters": [{"name": ""}]}), "query_parameters[0].name"),
    ] {
        let error = conditions(condition.clone()).unwrap_err();
        assert!(error.starts_with(place), "{condition}: {error}");
    }
}

#[test]
fn the_matched_part_is_what_a_rewrite_replaces() {
    for (condition, path, expected) in [
        (json!({"prefix": "/api"}), "/api/x", 4),
        (json!({"path_separated_prefix": "/api"}), "/api/x", 4),
        (json!({"path": "/api"}), "/api", 4),
        (json!({"safe_regex": {"regex": "/api/.*"}}), "/api/x", 6),
    ] {
        assert_eq!(conditions(condition).unwrap().matched(path), expected);
    }
}

#[test]
fn a_tunnel_is_asked_for_by_its_method() {
    let message: RouteMatch = proto::json::from_json(&serde_json::json!({"connect_matcher": {}})).unwrap();
    let conditions = Conditions::compile(&message).unwrap();
    let unmet = |method: &str, uri: &str| {
        let parts = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
        conditions.unmet(&Request::new(&parts, 0))
    };

    assert_eq!(unmet("CONNECT", "far.example:443"), None);
    assert_eq!(unmet("GET", "/"), Some(Unmet::Path));
    assert_eq!(conditions.path_text(), "connect");
}
