//! Which endpoint is chosen, and what is not let through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use xds::TypeUrl;

use crate::backend::{Backend, Raw};
use crate::bed::{Bed, cluster, listener, manager, route_configuration, to};
use crate::client::{Answer, get, request, send};

async fn serve(bed: &mut Bed, cluster: Value, action: Value) {
    bed.apply(TypeUrl::Cluster, &[cluster]).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(json!({})))]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "c", action)]))]).await;
}

fn with(endpoints: &[SocketAddr], more: Value) -> Value {
    let mut cluster = cluster("c", endpoints);
    for (name, value) in more.as_object().unwrap() {
        cluster[name] = value.clone();
    }
    cluster
}

async fn get_with(address: SocketAddr, name: &str, value: &str) -> Answer {
    send(address, request("/").header(name, value).body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn what_hashes_alike_stays_together() {
    let backends = [Backend::named("one").await, Backend::named("two").await, Backend::named("three").await];
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();

    for policy in ["RING_HASH", "MAGLEV"] {
        let mut bed = Bed::start().await;
        let hash = json!({ "hash_policy": [{ "header": { "header_name": "x-user" } }] });
        serve(&mut bed, with(&addresses, json!({ "lb_policy": policy })), hash).await;

        let mut all = Vec::new();
        for user in 0..24 {
            let first = get_with(bed.address(), "x-user", &format!("user-{user}")).await;
            let again = get_with(bed.address(), "x-user", &format!("user-{user}")).await;
            assert_eq!(first.text(), again.text());
            all.push(first.text().to_owned());
        }
        all.sort();
        all.dedup();
        assert!(all.len() > 1, "{policy}: users are spread");
    }
}

#[tokio::test]
async fn a_client_without_the_cookie_gets_one_that_leads_back() {
    let backends = [Backend::named("one").await, Backend::named("two").await, Backend::named("three").await];
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();
    let mut bed = Bed::start().await;
    let hash = json!({ "hash_policy": [{ "cookie": { "name": "who", "ttl": "60s", "path": "/" } }] });
    serve(&mut bed, with(&addresses, json!({ "lb_policy": "RING_HASH" })), hash).await;

    let first = get(bed.address(), "/").await;
    let cookie = first.header("set-cookie").to_owned();
    let (pair, rest) = cookie.split_once(';').unwrap();
    assert!(pair.starts_with("who=") && rest.contains("Max-Age=60"), "{cookie}");

    for _ in 0..8 {
        let again = get_with(bed.address(), "cookie", pair).await;
        assert_eq!((again.text(), again.header("set-cookie")), (first.text(), ""));
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_in_a_row_is_left_out() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let bad = Backend::start(move |_| {
        let mut response = Response::new(Full::new(Bytes::from_static(b"bad")));
        if is_broken.load(Ordering::Relaxed) {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        response
    })
    .await;
    let good = Backend::named("good").await;
    let mut bed = Bed::start().await;
    let rules = json!({
        "outlier_detection": {
            "consecutive_5xx": 3, "interval": "0.05s", "base_ejection_time": "600s",
            "max_ejection_time": "600s", "max_ejection_percent": 100,
        },
        "common_lb_config": { "healthy_panic_threshold": { "value": 0 } },
        "lb_policy": "ROUND_ROBIN",
    });
    serve(&mut bed, with(&[bad.address, good.address], rules), json!({})).await;

    while bad.requests().len() < 3 {
        get(bed.address(), "/").await;
    }
    let admin = ejected(&bed).await;
    for _ in 0..6 {
        assert_eq!(get(bed.address(), "/").await.text(), "good");
    }
    let stats = get(admin, "/stats?filter=outlier").await;
    assert!(stats.text().contains("cluster.c.outlier_detection.ejections_active: 1"), "{}", stats.text());
    assert!(stats.text().contains("ejections_enforced_consecutive_5xx: 1"), "{}", stats.text());
}

/// Waits until an endpoint is out; the admin address.
async fn ejected(bed: &Bed) -> SocketAddr {
    let admin = bed.machine.admin()[0];
    let mut tries = 0;
    while !get(admin, "/clusters").await.text().contains("/failed_outlier_check") {
        tries += 1;
        assert!(tries < 1000, "the endpoint is never ejected");
        tokio::task::yield_now().await;
    }
    admin
}

/// Three answers of 429 in a row, and nothing else, take an endpoint out.
fn only_429() -> Value {
    let matcher = json!({ "http_response_headers_match": { "headers": [
        { "name": ":status", "string_match": { "exact": "429" } },
    ] } });
    json!({
        "outlier_detection": {
            "consecutive_5xx": 3, "interval": "0.05s", "base_ejection_time": "600s",
            "max_ejection_time": "600s", "max_ejection_percent": 100,
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http_protocol_options": {} },
                "outlier_detection": { "error_matcher": matcher },
            },
        },
        "common_lb_config": { "healthy_panic_threshold": { "value": 0 } },
        "lb_policy": "ROUND_ROBIN",
    })
}

#[tokio::test]
async fn an_endpoint_is_left_out_for_the_statuses_that_are_named_and_no_others() {
    let answering = |status: StatusCode| {
        Backend::start(move |_| {
            let mut response = Response::new(Full::new(Bytes::from(status.as_str().to_owned())));
            *response.status_mut() = status;
            response
        })
    };
    let busy = answering(StatusCode::TOO_MANY_REQUESTS).await;
    let broken = answering(StatusCode::SERVICE_UNAVAILABLE).await;
    let mut bed = Bed::start().await;
    serve(&mut bed, with(&[busy.address, broken.address], only_429()), json!({})).await;

    while busy.requests().len() < 3 {
        get(bed.address(), "/").await;
    }
    let admin = ejected(&bed).await;

    for _ in 0..6 {
        assert_eq!(get(bed.address(), "/").await.text(), "503");
    }
    let stats = get(admin, "/stats?filter=outlier").await;
    assert!(stats.text().contains("cluster.c.outlier_detection.ejections_active: 1"), "{}", stats.text());
}

#[tokio::test]
async fn a_grpc_call_is_judged_by_how_it_says_it_ended() {
    let bad = Backend::start(|_| {
        let mut response = Response::new(Full::default());
        response.headers_mut().insert("grpc-status", "14".parse().unwrap());
        response
    })
    .await;
    let good = Backend::named("good").await;
    let mut bed = Bed::start().await;
    serve(&mut bed, with(&[bad.address, good.address], only_429()), json!({})).await;
    let address = bed.address();
    let call = async || get_with(address, "content-type", "application/grpc").await;

    while bad.requests().len() < 3 {
        call().await;
    }
    ejected(&bed).await;

    for _ in 0..6 {
        assert_eq!(call().await.text(), "good");
    }
}

#[tokio::test]
async fn more_requests_than_a_breaker_allows_are_told_so() {
    // Never answers.
    let silent = Raw::start(b"").await;
    let limits = |name: &str| json!({ "circuit_breakers": { "thresholds": [{ name: 1 }] } });

    for name in ["max_requests", "max_pending_requests"] {
        let mut bed = Bed::start().await;
        let mut rules = limits(name);
        if name == "max_pending_requests" {
            rules["circuit_breakers"]["thresholds"][0]["max_connections"] = 1.into();
        }
        serve(&mut bed, with(&[silent.address], rules), json!({ "timeout": "0s" })).await;
        let address = bed.address();
        let before = silent.bytes().len();
        let held = tokio::spawn(async move { get(address, "/held").await });
        while silent.bytes().get(before).is_none_or(Vec::is_empty) {
            tokio::task::yield_now().await;
        }
        let waiting = (name == "max_pending_requests")
            .then(|| tokio::spawn(async move { get(address, "/waiting").await }));
        if waiting.is_some() {
            let admin = bed.machine.admin()[0];
            while !get(admin, "/stats?filter=upstream_cx_overflow").await.text().contains(": 1") {
                tokio::task::yield_now().await;
            }
        }

        let refused = get(address, "/refused").await;

        assert_eq!(refused.status, 503, "{name}");
        assert_eq!(
            refused.text(),
            "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        );
        assert_eq!(refused.header("x-envoy-overloaded"), "true");
        assert!(bed.log_lines(1).await[0].contains(" UO "));
        held.abort();
        if let Some(waiting) = waiting {
            waiting.abort();
        }
    }
}

#[tokio::test]
async fn a_request_waits_for_the_only_connection_there_may_be() {
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let limits = json!({ "circuit_breakers": { "thresholds": [{ "max_connections": 1 }] } });
    serve(&mut bed, with(&[backend.address], limits), json!({})).await;

    let address = bed.address();
    let all: Vec<_> = (0..16).map(|_| tokio::spawn(async move { get(address, "/").await })).collect();
    for answer in all {
        assert_eq!(answer.await.unwrap().text(), "hello");
    }

    let stats = get(bed.machine.admin()[0], "/stats?filter=upstream_cx_total").await;
    assert_eq!(stats.text().trim(), "cluster.c.upstream_cx_total: 1");
}

#[tokio::test]
async fn retries_beyond_their_budget_are_not_made() {
    let bad = Backend::start(|_| {
        let mut response = Response::new(Full::new(Bytes::from_static(b"bad")));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    let mut bed = Bed::start().await;
    let limits = json!({ "circuit_breakers": { "thresholds": [{ "max_retries": 0 }] } });
    let retry = json!({ "retry_policy": { "retry_on": "5xx", "num_retries": 3 } });
    serve(&mut bed, with(&[bad.address], limits), retry).await;

    assert_eq!(get(bed.address(), "/").await.status, 503);

    assert_eq!(bad.requests().len(), 1);
    assert!(bed.log_lines(1).await[0].contains(" UO "));
}

#[tokio::test]
async fn a_budget_with_an_interval_counts_requests_that_are_over() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let backend = Backend::start(move |_| {
        let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
        if count.fetch_add(1, Ordering::SeqCst) < 2 {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    })
    .await;
    let mut bed = Bed::start().await;
    // Half of the requests of the last hour: one has none left, two have one.
    let budget = json!({
        "budget_percent": { "value": 50 }, "min_retry_concurrency": 0, "budget_interval": "3600s",
    });
    let limits = json!({ "circuit_breakers": { "thresholds": [{ "retry_budget": budget }] } });
    let retry = json!({ "retry_policy": { "retry_on": "5xx", "num_retries": 3 } });
    serve(&mut bed, with(&[backend.address], limits), retry).await;

    let statuses = [get(bed.address(), "/").await.status, get(bed.address(), "/").await.status];

    assert_eq!(statuses, [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK]);
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn what_is_to_be_dropped_never_reaches_an_endpoint() {
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let mut all = cluster("c", &[backend.address]);
    all["load_assignment"]["policy"] = json!({ "drop_overloads": [{
        "category": "all", "drop_percentage": { "numerator": 100, "denominator": "HUNDRED" },
    }] });
    serve(&mut bed, all, json!({})).await;

    let answer = get(bed.address(), "/").await;

    assert_eq!((answer.status.as_u16(), answer.text()), (503, "unconditional drop overload"));
    assert_eq!(answer.header("x-envoy-unconditional-drop-overload"), "true");
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn silence_ends_a_stream() {
    let silent = Raw::start(b"").await;
    let mut bed = Bed::start().await;
    serve(&mut bed, cluster("c", &[silent.address]), json!({ "timeout": "0s", "idle_timeout": "0.05s" }))
        .await;

    let answer = get(bed.address(), "/").await;

    assert_eq!((answer.status.as_u16(), answer.text()), (504, "stream timeout"));
    assert!(bed.log_lines(1).await[0].contains(" SI "));
}

#[tokio::test]
async fn a_session_stays_where_it_began() {
    let backends = [Backend::named("one").await, Backend::named("two").await, Backend::named("three").await];
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();
    let mut bed = Bed::start().await;
    let sessions = json!({
        "name": "envoy.filters.http.stateful_session",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
            "strict": true,
            "session_state": { "name": "cookie", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
                "cookie": { "name": "session", "path": "/", "ttl": "60s" },
            } },
        },
    });
    bed.apply(TypeUrl::Cluster, &[with(&addresses, json!({ "lb_policy": "ROUND_ROBIN" }))]).await;
    let filters = json!({ "http_filters": [sessions, crate::bed::router()] });
    bed.apply(TypeUrl::Listener, &[listener("web", manager(filters))]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "c", json!({}))]))]).await;

    let first = get(bed.address(), "/").await;
    let cookie = first.header("set-cookie").to_owned();
    let pair = cookie.split(';').next().unwrap().to_owned();
    for _ in 0..6 {
        assert_eq!(get_with(bed.address(), "cookie", &pair).await.text(), first.text());
    }

    let others: Vec<SocketAddr> =
        backends.iter().filter(|b| b.requests().len() < 6).map(|b| b.address).collect();
    assert_eq!(others.len(), 2);
    bed.apply(TypeUrl::Cluster, &[with(&others, json!({ "lb_policy": "ROUND_ROBIN" }))]).await;
    assert_eq!(get_with(bed.address(), "cookie", &pair).await.status, 503);
}

#[tokio::test]
async fn requests_that_come_together_share_one_connection_of_http2() {
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    serve(&mut bed, crate::bed::cluster_http2("c", &[backend.address]), json!({})).await;

    let address = bed.address();
    let all: Vec<_> = (0..16).map(|_| tokio::spawn(async move { get(address, "/").await })).collect();
    for answer in all {
        assert_eq!(answer.await.unwrap().text(), "hello");
    }

    let stats = get(bed.machine.admin()[0], "/stats?filter=upstream_cx_").await;
    assert!(stats.text().contains("cluster.c.upstream_cx_total: 1\n"), "{}", stats.text());
    assert!(stats.text().contains("cluster.c.upstream_cx_active: 1\n"), "{}", stats.text());
}

#[tokio::test]
async fn a_request_that_does_not_come_whole_in_time_is_told_so() {
    let silent = Raw::start(b"").await;
    let mut bed = Bed::start().await;
    bed.apply(TypeUrl::Cluster, &[cluster("c", &[silent.address])]).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(json!({ "request_timeout": "0.1s" })))]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "c", json!({}))]))]).await;

    let answer =
        crate::client::raw(bed.address(), b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab").await;

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nrequest timeout"),
        "{answer}"
    );
}
