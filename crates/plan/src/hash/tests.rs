#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use balance::{Choice, Cursor, Health, Host, HostState, Policy, Settings, Table};
use serde_json::{Value, json};

use super::*;

fn policies(json: Value) -> Result<Vec<HashPolicy>, String> {
    let messages: Vec<wire::HashPolicy> =
        json.as_array().unwrap().iter().map(|one| proto::json::from_json(one).unwrap()).collect();
    hash_policies(&messages).map_err(|wrong| wrong.to_string())
}

fn peer(remote: &str, local: &str) -> Peer {
    Peer { remote: remote.parse().unwrap(), local: local.parse().unwrap() }
}

fn of(json: Value, path: &str, headers: &[(&str, &str)], peer: &Peer) -> Hashed {
    let mut request = http::Request::get(path).header("host", "shop.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    hash(&policies(json).unwrap(), &request.body(()).unwrap().into_parts().0, peer)
}

/// The letter of the endpoint a ring of seven chooses, whose keys are `key0` to `key6`.
fn endpoint(hash: Option<u64>) -> char {
    let host = |i: u16| Host {
        address: SocketAddr::from(([127, 0, 0, 1], i)).into(),
        key: Some(format!("key{i}").into()),
        weight: 1,
        priority: 0,
        locality: 0,
        health: Health::Healthy,
        state: Arc::new(HostState::default()),
    };
    let settings = Settings { policy: Policy::RING_HASH, ..Settings::default() };
    let table = Table::new((0..7).map(host).collect(), &settings);
    let choice = Choice { hash, ..Choice::default() };
    let place = table.choose(&mut Cursor::default(), &mut || panic!("there is no hash"), choice);
    char::from(b'a' + u8::try_from(place.unwrap()).unwrap())
}

/// Every row is what a real Envoy chose.
#[test]
fn the_endpoint_of_a_request_is_envoys() {
    let header = |name: &str| json!({"header": {"header_name": name}});
    let query = json!({"query_parameter": {"name": "q"}});
    let cookie = json!({"cookie": {"name": "c"}});
    let ip = json!({"connection_properties": {"source_ip": true}});
    let terminal = json!([{"header": {"header_name": "x-a"}, "terminal": true}, header("x-b")]);
    let two = json!([header("x-a"), header("x-b")]);
    let one = ("x-a", "one");
    for (json, path, headers, expected) in [
        (json!([header("x-a")]), "/", &[one][..], 'a'),
        (json!([header("x-a")]), "/", &[one, ("x-a", "two")], 'g'),
        (json!([header("x-a")]), "/", &[("x-a", "two"), one], 'g'),
        (json!([header("x-a")]), "/", &[("x-a", "")], 'e'),
        (json!([header("x-a")]), "/", &[("x-a", "three")], 'e'),
        (json!([header("host")]), "/", &[], 'a'),
        (json!([header(":authority")]), "http://shop.example/", &[], 'a'),
        (two.clone(), "/", &[one, ("x-b", "two")], 'e'),
        (two, "/", &[("x-b", "two")], 'b'),
        (json!([header("x-a"), header("x-a")]), "/", &[one], 'e'),
        (terminal.clone(), "/", &[one, ("x-b", "two")], 'a'),
        (terminal, "/", &[("x-b", "two")], 'b'),
        (json!([query]), "/?q=one", &[], 'a'),
        (json!([query]), "/?a=b&q=two&q=one", &[], 'b'),
        (json!([query]), "/?q", &[], 'e'),
        (json!([query]), "/?q=%41", &[], 'c'),
        (json!([query]), "/?q=A", &[], 'a'),
        (json!([cookie]), "/", &[("cookie", "c=one")], 'a'),
        (json!([cookie]), "/", &[("cookie", "a=b; c=\"one\"; d=e")], 'a'),
        (json!([cookie]), "/", &[("cookie", "c=x=y")], 'a'),
        (json!([cookie]), "/", &[("cookie", "a=b"), ("cookie", "c=two")], 'b'),
        (json!([ip]), "/", &[], 'b'),
        (json!([header("x-a"), query, cookie, ip]), "/?q=z", &[one, ("cookie", "c=two")], 'b'),
    ] {
        let hashed = of(json.clone(), path, headers, &peer("127.0.0.1:1", "127.0.0.1:2"));
        assert_eq!(endpoint(hashed.hash), expected, "{json} {path} {headers:?}");
        assert!(hashed.cookies.is_empty());
    }
}

#[test]
fn a_cookie_that_is_missing_is_made_and_counts_at_once() {
    let cookie = json!([{"cookie": {"name": "c", "ttl": "90.5s", "path": "/p", "attributes": [
        {"name": "SameSite", "value": "Strict"}, {"name": "Secure"},
    ]}}]);
    let from = peer("127.0.0.1:47804", "127.0.0.1:23409");

    let made = of(cookie.clone(), "/", &[], &from);

    let expected = "c=\"51d7361a5992ec10\"; Max-Age=90; Path=/p; SameSite=Strict; Secure; HttpOnly";
    assert_eq!(made.cookies, [expected]);
    assert_eq!(endpoint(made.hash), 'g');
    let again = of(cookie, "/", &[("cookie", "c=51d7361a5992ec10")], &peer("127.0.0.1:9", "127.0.0.1:9"));
    assert_eq!((again.hash, again.cookies.len()), (made.hash, 0));
}

#[test]
fn a_cookie_without_a_life_ends_with_the_session() {
    let from = peer("127.0.0.1:55846", "127.0.0.1:23408");

    let made = of(json!([{"cookie": {"name": "c", "ttl": "0s"}}]), "/", &[], &from);

    assert_eq!(made.cookies, ["c=\"727a9b8ef1e6aa3b\"; HttpOnly"]);
    assert_eq!(endpoint(made.hash), 'f');
    assert_eq!(of(json!([{"cookie": {"name": "c"}}]), "/", &[], &from), Hashed::default());
}

#[test]
fn what_cannot_be_hashed_is_refused_with_its_path() {
    for (json, place) in [
        (json!([{}]), "hash_policy[0].policy_specifier"),
        (json!([{"header": {"header_name": "a b"}}]), "hash_policy[0].header.header_name"),
        (json!([{"filter_state": {"key": "k"}}]), "hash_policy[0].policy_specifier"),
        (json!([{"cookie": {"name": ""}}]), "hash_policy[0].cookie.name"),
    ] {
        let error = policies(json).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}
