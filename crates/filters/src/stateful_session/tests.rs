#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use filter::{Chain, ChainRun, Limits, Moment};
use proto::Any;
use serde_json::{Value, json};

use super::*;
use crate::tests_support::{exchange, made, respond};

fn session(kind: &str, mut fields: Value, strict: bool) -> Any {
    fields["@type"] = format!("type.googleapis.com/envoy.extensions.http.stateful_session.{kind}").into();
    proto::json::from_json(&json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
        "session_state": {"name": "x", "typed_config": fields},
        "strict": strict,
    }))
    .unwrap()
}

fn cookies(path: &str, ttl: Option<&str>) -> Any {
    let mut cookie = json!({"name": "c", "path": path});
    if let Some(ttl) = ttl {
        cookie["ttl"] = ttl.into();
        cookie["attributes"] = json!([{"name": "Secure"}]);
    }
    session("cookie.v3.CookieBasedSessionState", json!({"cookie": cookie}), false)
}

fn headers(strict: bool) -> Any {
    session("header.v3.HeaderBasedSessionState", json!({"name": "x-s"}), strict)
}

fn chain(any: &Any) -> Chain {
    made(make, any, None).unwrap()
}

/// A request's passage up to the choice of an endpoint.
fn ask(any: &Any, path: &'static str, said: &[(&'static str, &'static str)]) -> (ChainRun, Exchange) {
    let mut x = exchange("GET", said);
    x.request.uri = path.parse().unwrap();
    x.facts.began = Moment(Duration::from_secs(1_795_283_062 - 100));
    let mut run = chain(any).open(Limits::default());
    run.request_head(&mut x);
    (run, x)
}

/// What the client is told after an answer of the endpoint at this port.
fn told((mut run, mut x): (ChainRun, Exchange), port: u16) -> Vec<String> {
    x.facts.upstream = Some(SocketAddr::from(([127, 0, 0, 1], port)).into());
    respond(&mut x, 200, &[]);
    run.response_head(&mut x);
    let headers = x.response.unwrap().headers;
    headers.values().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// The texts are a real Envoy's.
#[test]
fn an_address_is_kept_by_the_client_as_envoy_has_it_kept() {
    let plain = told(ask(&cookies("/p", None), "/p", &[]), 23501);
    assert_eq!(plain, ["c=\"Cg8xMjcuMC4wLjE6MjM1MDE=\"; Path=/p; HttpOnly"]);

    let timed = told(ask(&cookies("/", Some("100s")), "/q", &[]), 23500);
    let value = timed[0].strip_prefix("c=\"").unwrap().split('"').next().unwrap();
    let kept = Kept::read(&STANDARD.decode(value).unwrap()).unwrap();
    assert_eq!(kept, Kept { address: "127.0.0.1:23500".into(), expires: 1_795_283_062 });
    assert!(timed[0].ends_with("; Max-Age=100; Path=/; Secure; HttpOnly"));

    assert_eq!(told(ask(&headers(false), "/", &[]), 23500), ["MTI3LjAuMC4xOjIzNTAw"]);
}

#[test]
fn what_the_client_brings_is_asked_for_and_not_told_again() {
    for (any, header, value) in [
        (cookies("/p", None), "cookie", "a=b; c=\"Cg8xMjcuMC4wLjE6MjM1MDI=\""),
        (cookies("/p", None), "cookie", "c=MTI3LjAuMC4xOjIzNTAy"),
        (headers(false), "x-s", "MTI3LjAuMC4xOjIzNTAy"),
    ] {
        let asked = ask(&any, "/p", &[(header, value)]);
        let address = SocketAddr::from(([127, 0, 0, 1], 23502)).into();
        assert_eq!(asked.1.facts.wanted, Some(Wanted { address, otherwise: None }), "{value}");
        assert!(told(asked, 23502).is_empty());
        assert_eq!(told(ask(&any, "/p", &[(header, value)]), 23500).len(), 1);
    }
}

#[test]
fn a_session_may_belong_to_a_unix_socket() {
    let said: &'static str = STANDARD.encode("/run/app.sock").leak();

    let wanted = ask(&headers(false), "/", &[("x-s", said)]).1.facts.wanted;

    assert_eq!(wanted.map(|wanted| wanted.address), Some(Address::Pipe("/run/app.sock".into())));
}

#[test]
fn what_is_no_address_or_too_old_is_nothing() {
    let kept = Kept { address: "127.0.0.1:1".into(), expires: 1_795_282_962 - 1 };
    let old: &'static str = format!("c={}", STANDARD.encode(kept.write())).leak();
    for (any, header, value) in [
        (headers(false), "x-s", "!!"),
        (headers(false), "x-s", ""),
        (cookies("", None), "cookie", "c=AAAA"),
        (cookies("", Some("1s")), "cookie", old),
    ] {
        assert_eq!(ask(&any, "/", &[(header, value)]).1.facts.wanted, None, "{value}");
    }
}

#[test]
fn a_cookie_is_for_its_path_and_what_lies_below() {
    let any = cookies("/p", None);
    for (path, expected) in [("/p", 1), ("/p?x", 1), ("/p/a", 1), ("/pp", 0), ("/q", 0)] {
        assert_eq!(told(ask(&any, path, &[]), 1).len(), expected, "{path}");
    }
}

#[test]
fn a_strict_session_ends_with_its_endpoint() {
    let (_, x) = ask(&headers(true), "/", &[("x-s", "MTI3LjAuMC4xOjIzNTAy")]);

    assert_eq!(x.facts.wanted.unwrap().otherwise, Some(StatusCode::SERVICE_UNAVAILABLE));
}

#[test]
fn a_route_can_do_without_or_otherwise() {
    let route = |fields: Value| -> Any {
        let mut json = fields;
        json["@type"] =
            "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute"
                .into();
        proto::json::from_json(&json).unwrap()
    };
    assert!(made(make, &headers(false), Some(&route(json!({"disabled": true})))).unwrap().is_empty());
    let own = json!({"stateful_session": {}});
    assert!(made(make, &headers(false), Some(&route(own))).unwrap().is_empty());

    let envelope = session("envelope.v3.EnvelopeSessionState", json!({}), false);
    assert!(made(make, &envelope, None).unwrap_err().contains("not supported"));
}
