//! Requests, made of the words that conditions are made of.

use super::draw::Wanted;
use super::words::{METHODS, PATHS, QUERIES, USERS};
use crate::chance::Chance;
use crate::exchange::{Asked, Client};

/// How often a client is of a kind.
const CLIENTS: [Client; 8] = [
    Client::Http1,
    Client::Http1,
    Client::Http1,
    Client::Http1,
    Client::Http2,
    Client::Http2,
    Client::Grpc,
    Client::WebSocket,
];

/// What clients may say of where they are, and may wish for if that is within the mesh.
const WISHES: [(&str, &str); 9] = [
    ("x-forwarded-for", "10.1.2.3"),
    ("x-envoy-internal", "true"),
    ("x-envoy-ip-tags", "near"),
    ("x-envoy-max-retries", "3"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-retry-grpc-on", "unavailable"),
    ("x-envoy-retriable-status-codes", "404"),
    ("x-envoy-upstream-rq-timeout-ms", "9000"),
    ("x-envoy-upstream-rq-per-try-timeout-ms", "4000"),
];

/// Draws a request for one of these hosts, and what is to be said of it. Half of its words are wanted somewhere.
pub(super) fn request(
    chance: &mut Chance,
    hosts: &[&'static str],
    wanted: &Wanted,
) -> (Asked, Vec<&'static str>) {
    let mut one = |wanted: &[&'static str], all: &[&'static str]| {
        let takes = !wanted.is_empty() && chance.once_in(2);
        *chance.of(if takes { wanted } else { all })
    };
    let host =
        one(&wanted.hosts.iter().copied().filter(|host| hosts.contains(host)).collect::<Vec<_>>(), hosts);
    let (path, method) = (one(&wanted.paths, &PATHS), one(&wanted.methods, &METHODS));
    let path = format!("{path}{}", chance.of(&QUERIES));
    let mut asked = Asked { client: *chance.of(&CLIENTS), ..Asked::get(host, &path) };
    let mut kinds = Vec::new();
    asked.method = match asked.client {
        Client::Grpc => "POST",
        Client::WebSocket => "GET",
        _ => method,
    };
    kinds.push(match asked.client {
        Client::Grpc => "gRPC call",
        Client::Http2 => "HTTP/2",
        Client::WebSocket => "WebSocket",
        Client::Bytes | Client::Http1 => "HTTP/1.1",
    });
    if matches!(asked.method, "POST" | "PUT") && chance.once_in(2) {
        asked.body = "some words";
        kinds.push("body");
    }
    for name in ["x-user", "x-other"] {
        if chance.below(3) > 0 {
            asked.headers.push((name, (*chance.of(&USERS)).to_owned()));
        }
    }
    if chance.once_in(3) {
        asked.headers.push(("cookie", format!("session={}; theme=dark", chance.of(&USERS))));
    }
    if chance.once_in(4) {
        let origin = *chance.of(&["https://good.test", "https://good.test", "https://bad.test"]);
        asked.headers.push(("origin", origin.to_owned()));
        if asked.method == "OPTIONS" || chance.once_in(4) {
            asked.headers.push(("access-control-request-method", "PUT".to_owned()));
        }
        if asked.method == "OPTIONS" {
            kinds.push("preflight");
        }
    }
    if chance.once_in(6) {
        asked
            .headers
            .push(("x-answer", (*chance.of(&["503", "404", "500", "201", "409", "502"])).to_owned()));
    }
    for (name, value) in WISHES {
        if chance.once_in(12) {
            asked.headers.push((name, value.to_owned()));
            kinds.push("wishes by headers");
        }
    }
    if asked.client == Client::Http1 && chance.once_in(2) {
        asked.headers.push(("connection", "close".to_owned()));
    }
    (asked, kinds)
}
