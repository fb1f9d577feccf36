#![allow(clippy::unwrap_used)]

use filter::{Chain, Limits, Step};
use proto::envoy::config::core::v3::RuntimeFractionalPercent;
use proto::envoy::extensions::filters::http::cors::v3::Cors as Listener;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::envoy::r#type::v3::FractionalPercent;
use proto::google::protobuf::BoolValue;

use super::*;
use crate::tests_support::{exchange, made, respond};

fn policy() -> CorsPolicy {
    let origin = |pattern| StringMatcher { ignore_case: false, match_pattern: Some(pattern) };
    CorsPolicy {
        allow_origin_string_match: vec![origin(MatchPattern::Suffix(".shop.example".into()))],
        allow_methods: "GET,PUT".into(),
        allow_headers: "x-one".into(),
        expose_headers: "x-two".into(),
        max_age: "60".into(),
        allow_credentials: Some(BoolValue { value: true }),
        ..CorsPolicy::default()
    }
}

fn chain(policy: &CorsPolicy) -> Chain {
    made(make, &proto::any::pack(&Listener {}), Some(&proto::any::pack(policy))).unwrap()
}

const PREFLIGHT: [(&str, &str); 2] =
    [("origin", "https://a.shop.example"), ("access-control-request-method", "PUT")];

#[test]
fn a_preflight_from_an_allowed_origin_is_answered() {
    let mut x = exchange("OPTIONS", &PREFLIGHT);

    let Step::Reply(reply) = chain(&policy()).open(Limits::default()).request_head(&mut x) else { panic!() };

    assert_eq!(reply.status, StatusCode::OK);
    let told: Vec<_> = reply.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    let expected = [
        "access-control-allow-origin: https://a.shop.example",
        "access-control-allow-credentials: true",
        "access-control-allow-methods: GET,PUT",
        "access-control-allow-headers: x-one",
        "access-control-expose-headers: x-two",
        "access-control-max-age: 60",
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_answer_says_that_its_origin_is_allowed() {
    let mut x = exchange("GET", &[("origin", "https://a.shop.example")]);
    let mut run = chain(&policy()).open(Limits::default());

    assert!(matches!(run.request_head(&mut x), Step::Continue));
    respond(&mut x, 200, &[("access-control-allow-origin", "*")]);
    run.response_head(&mut x);

    let headers = x.response.unwrap().headers;
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.shop.example");
    assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "x-two");
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
}

#[test]
fn other_origins_and_none_pass_untouched() {
    for headers in [&[("origin", "https://evil.example"), PREFLIGHT[1]][..], &[PREFLIGHT[1]]] {
        let mut x = exchange("OPTIONS", headers);
        let mut run = chain(&policy()).open(Limits::default());

        assert!(matches!(run.request_head(&mut x), Step::Continue));
        respond(&mut x, 200, &[]);
        run.response_head(&mut x);

        assert!(x.response.unwrap().headers.is_empty());
    }
}

#[test]
fn preflights_of_others_can_be_kept_from_the_upstream() {
    let keeps = CorsPolicy { forward_not_matching_preflights: Some(BoolValue { value: false }), ..policy() };
    let mut x = exchange("OPTIONS", &[("origin", "https://evil.example"), PREFLIGHT[1]]);

    let Step::Reply(reply) = chain(&keeps).open(Limits::default()).request_head(&mut x) else { panic!() };

    assert!(!reply.headers.is_empty());
    assert!(reply.headers.iter().all(|(name, _)| *name != ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[test]
fn without_a_policy_there_is_nothing_to_do() {
    assert!(made(make, &proto::any::pack(&Listener {}), None).unwrap().is_empty());
    let off = RuntimeFractionalPercent {
        default_value: Some(FractionalPercent { numerator: 0, denominator: 0 }),
        runtime_key: String::new(),
    };
    assert!(chain(&CorsPolicy { filter_enabled: Some(off), ..policy() }).is_empty());
}
