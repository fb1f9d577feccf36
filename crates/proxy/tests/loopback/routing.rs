//! Which cluster a request goes to, and what is done to its heads on the way.

use http_body_util::Full;
use serde_json::json;
use tokio::net::TcpSocket;
use xds::TypeUrl;

use crate::backend::Backend;
use crate::bed::{Bed, listener, manager, to};
use crate::client::{get, over, request, send};

#[tokio::test]
async fn the_first_route_that_matches_takes_a_request() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut bed = Bed::start().await;
    bed.serve(
        &[("one", &[one.address]), ("two", &[two.address])],
        json!([to("/one", "one", json!({})), to("/", "two", json!({}))]),
    )
    .await;

    let (first, second) = (get(bed.address(), "/one/x").await, get(bed.address(), "/other").await);

    assert_eq!((first.text(), second.text()), ("one", "two"));
    assert_eq!(first.header("server"), "istio-envoy");
    assert_eq!(one.requests()[0].head.uri.path(), "/one/x");
    assert_eq!(one.requests()[0].head.headers["host"], "tested.example");
    assert_eq!(one.requests()[0].head.headers["x-request-id"].len(), 36);
}

#[tokio::test]
async fn a_request_no_route_takes_is_answered_with_404() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("one", &[backend.address])], json!([to("/one", "one", json!({}))])).await;

    let answer = get(bed.address(), "/other").await;

    assert_eq!((answer.status.as_u16(), answer.text()), (404, ""));
    assert_eq!(answer.header("x-weft-reason"), "NR route_not_found");
    let lines = bed.log_lines(1).await;
    assert!(lines[0].contains("\"GET /other HTTP/1.1\" 404 NR route_not_found - \"-\" 0 0"), "{}", lines[0]);
}

#[tokio::test]
async fn headers_of_one_hop_stay_behind_and_a_request_id_stays() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("one", &[backend.address])], json!([to("/", "one", json!({}))])).await;

    let head = request("/").header("connection", "x-mine").header("x-request-id", "abc").header("te", "gzip");
    let head = head.header("keep-alive", "5").header("proxy-connection", "x").header("secret", "1");
    send(bed.address(), head.body(Full::default()).unwrap()).await;

    let seen = backend.requests();
    let headers = &seen[0].head.headers;
    assert_eq!(headers["x-request-id"], "abc");
    assert_eq!(headers["x-forwarded-proto"], "http");
    for gone in ["connection", "keep-alive", "proxy-connection", "te"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn a_client_on_loopback_is_told_by_the_address_of_its_machine() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("one", &[backend.address])], json!([to("/", "one", json!({}))])).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(json!({ "use_remote_address": true })))]).await;
    let machine = net::interface::address(false);

    for from in ["127.0.0.1:0", "127.0.0.2:0"] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        let client = net::Io::from(socket.connect(bed.address()).await.unwrap());
        over(client, request("/").header("x-forwarded-for", "9.9.9.9").body(Full::default()).unwrap())
            .await
            .unwrap();
    }

    let told = |header: &str| -> Vec<String> {
        let requests = backend.requests();
        requests.iter().map(|seen| seen.head.headers[header].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told("x-forwarded-for"), [format!("9.9.9.9,{machine}"), "9.9.9.9,127.0.0.2".to_owned()]);
    assert_eq!(told("x-envoy-external-address"), ["127.0.0.1", "127.0.0.2"]);
}

#[tokio::test]
async fn heads_are_changed_as_routes_say() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    let mut route = to("/old", "one", json!({ "prefix_rewrite": "/new", "host_rewrite_literal": "inner" }));
    route["request_headers_to_add"] = json!([{ "header": { "key": "x-mesh-req", "value": "1" } }]);
    route["response_headers_to_add"] = json!([{ "header": { "key": "x-mesh-resp", "value": "1" } }]);
    bed.serve(&[("one", &[backend.address])], json!([route])).await;

    let answer = get(bed.address(), "/old/x?q=1").await;

    assert_eq!(answer.header("x-mesh-resp"), "1");
    let seen = backend.requests();
    assert_eq!(seen[0].head.uri.to_string(), "/new/x?q=1");
    assert_eq!(seen[0].head.headers["host"], "inner");
    assert_eq!(seen[0].head.headers["x-mesh-req"], "1");
}

#[tokio::test]
async fn a_cluster_without_endpoints_is_told_from_one_that_is_missing() {
    let mut bed = Bed::start().await;
    bed.serve(&[("empty", &[])], json!([to("/empty", "empty", json!({})), to("/", "missing", json!({}))]))
        .await;

    let (empty, missing) = (get(bed.address(), "/empty").await, get(bed.address(), "/").await);

    assert_eq!((empty.status.as_u16(), empty.text()), (503, "no healthy upstream"));
    assert_eq!(empty.header("x-weft-reason"), "UH no_healthy_upstream");
    assert_eq!((missing.status.as_u16(), missing.header("x-weft-reason")), (503, "NC cluster_not_found"));
}

#[tokio::test]
async fn redirects_and_direct_replies_need_no_upstream() {
    let mut bed = Bed::start().await;
    let routes = json!([
        { "match": { "prefix": "/away" }, "redirect": { "host_redirect": "else.example", "path_redirect": "/there" } },
        { "match": { "prefix": "/" }, "direct_response": { "status": 418, "body": { "inline_string": "short" } } },
    ]);
    bed.serve(&[], routes).await;

    let (away, direct) = (get(bed.address(), "/away").await, get(bed.address(), "/").await);

    assert_eq!((away.status.as_u16(), away.header("location")), (301, "http://else.example/there"));
    assert_eq!((direct.status.as_u16(), direct.text()), (418, "short"));
}
