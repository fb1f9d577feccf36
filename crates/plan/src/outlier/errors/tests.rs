#![allow(clippy::unwrap_used)]

use http::HeaderValue;
use serde_json::{Value, json};

use super::*;

fn compile(matcher: &Value) -> Result<Errors, String> {
    let message = proto::json::from_json(&json!({"error_matcher": matcher})).unwrap();
    Errors::compile(&message).map_err(|wrong| wrong.to_string())
}

fn header(name: &str, exact: &str) -> Value {
    let matcher = json!({"name": name, "string_match": {"exact": exact}});
    json!({"http_response_headers_match": {"headers": [matcher]}})
}

fn judged(errors: &Errors, status: u16) -> u16 {
    errors.judged(StatusCode::from_u16(status).unwrap(), &HeaderMap::new())
}

#[test]
fn an_error_is_one_of_5xx_and_all_else_is_none() {
    let errors =
        compile(&json!({"or_match": {"rules": [header(":status", "429"), header(":status", "503")]}}));
    let errors = errors.unwrap();

    assert_eq!([200, 429, 500, 503].map(|status| judged(&errors, status)), [200, 500, 200, 503]);
}

#[test]
fn conditions_join_and_turn_round() {
    let both = json!({"and_match": {"rules": [header(":status", "200"), header("x-state", "sick")]}});
    let errors = compile(&json!({"not_match": both})).unwrap();
    let mut headers = HeaderMap::new();
    let ok = StatusCode::OK;
    assert_eq!(errors.judged(ok, &headers), 500);

    headers.insert("x-state", HeaderValue::from_static("sick"));

    assert_eq!(errors.judged(ok, &headers), 200);
    assert_eq!(judged(&compile(&json!({"any_match": true})).unwrap(), 204), 500);
    let ranged = json!({"headers": [{"name": ":status", "range_match": {"start": 400, "end": 500}}]});
    let errors = compile(&json!({"http_response_headers_match": ranged})).unwrap();
    assert_eq!([399, 400, 499, 500].map(|status| judged(&errors, status)), [200, 500, 500, 200]);
}

#[test]
fn what_is_not_known_at_the_head_of_an_answer_is_refused() {
    for (matcher, place) in [
        (json!({}), "error_matcher.rule"),
        (json!({"or_match": {"rules": [header("a", "b")]}}), "error_matcher.or_match.rules"),
        (json!({"http_request_headers_match": {}}), "error_matcher.rule"),
        (json!({"not_match": {"http_response_trailers_match": {}}}), "error_matcher.not_match.rule"),
    ] {
        let error = compile(&matcher).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}
