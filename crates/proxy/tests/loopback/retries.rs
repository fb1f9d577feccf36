//! Attempts, their time limits, and what the client gets when none succeeds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::backend::{Backend, Raw};
use crate::bed::{Bed, listener, manager, route_configuration, to};
use crate::client::{get, request, send};
use xds::TypeUrl;

/// An address nobody listens on.
async fn nobody() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Fails with 503 so often, then answers.
async fn failing(times: usize) -> Backend {
    let count = AtomicUsize::new(0);
    Backend::start(move |seen| {
        let mut response = Response::new(Full::new(seen.body.clone()));
        if count.fetch_add(1, Ordering::SeqCst) < times {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    })
    .await
}

fn istio_default() -> Value {
    json!({ "retry_policy": {
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "num_retries": 2,
        "retriable_status_codes": [503],
        "host_selection_retry_max_attempts": "5",
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" },
        }],
    } })
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_passed_over() {
    let backend = Backend::named("alive").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[nobody().await, backend.address])], json!([to("/", "c", istio_default())])).await;

    for _ in 0..6 {
        assert_eq!(get(bed.address(), "/").await.text(), "alive");
    }
}

#[tokio::test]
async fn without_retries_a_refused_connection_is_told_in_envoys_words() {
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[nobody().await])], json!([to("/", "c", json!({}))])).await;

    let answer = get(bed.address(), "/").await;

    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(
        answer.text(),
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
    );
    assert!(
        bed.log_lines(1).await[0]
            .contains(" 503 UF upstream_reset_before_response_started{remote_connection_failure|")
    );
}

#[tokio::test]
async fn a_retried_body_is_sent_again_whole() {
    let backend = failing(2).await;
    let mut bed = Bed::start().await;
    let mut routes = route_configuration(json!([to("/", "c", istio_default())]));
    routes["virtual_hosts"][0]["include_request_attempt_count"] = true.into();
    bed.serve(&[("c", &[backend.address])], json!([])).await;
    bed.apply(TypeUrl::Route, &[routes]).await;

    let body = Full::new(Bytes::from(vec![b'x'; 100_000]));
    let answer = send(bed.address(), request("/").method(Method::POST).body(body).unwrap()).await;

    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 100_000));
    let counts: Vec<_> =
        backend.requests().iter().map(|seen| seen.head.headers["x-envoy-attempt-count"].clone()).collect();
    assert_eq!(counts, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_body_beyond_the_buffer_is_not_retried() {
    let backend = failing(9).await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", istio_default())])).await;

    let body = Full::new(Bytes::from(vec![b'x'; (1 << 20) + 1]));
    let answer = send(bed.address(), request("/").method(Method::POST).body(body).unwrap()).await;

    assert_eq!((answer.status.as_u16(), backend.requests().len()), (503, 1));
}

#[tokio::test]
async fn retries_have_an_end_and_the_log_says_so() {
    let backend = failing(9).await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", istio_default())])).await;

    let answer = get(bed.address(), "/").await;

    assert_eq!((answer.status.as_u16(), backend.requests().len()), (503, 3));
    assert!(bed.log_lines(1).await[0].contains(" 503 URX via_upstream "));
}

#[tokio::test]
async fn a_silent_upstream_ends_in_504() {
    let silent = Raw::start(b"").await;
    let mut bed = Bed::start().await;
    let per_try = json!({ "timeout": "10s", "retry_policy": { "retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.05s" } });
    let routes = json!([to("/try", "c", per_try), to("/", "c", json!({ "timeout": "0.05s" }))]);
    bed.serve(&[("c", &[silent.address])], routes).await;

    let (whole, each) = (get(bed.address(), "/").await, get(bed.address(), "/try").await);

    assert_eq!((whole.status.as_u16(), whole.text()), (504, "upstream request timeout"));
    assert_eq!(whole.header("x-weft-reason"), "UT response_timeout");
    assert_eq!(each.header("x-weft-reason"), "UT upstream_per_try_timeout");
    assert_eq!(silent.bytes().len(), 3);
}

#[tokio::test]
async fn a_stream_has_the_managers_time_where_its_route_says_nothing_of_it() {
    let silent = Raw::start(b"").await;
    let mut bed = Bed::start().await;
    let own = json!({ "max_stream_duration": { "max_stream_duration": "0.05s" } });
    let routes = json!([to("/own", "c", own), to("/", "c", json!({ "timeout": "0s" }))]);
    bed.serve(&[("c", &[silent.address])], routes).await;
    let time = json!({ "common_http_protocol_options": { "max_stream_duration": "0.1s" } });
    bed.apply(TypeUrl::Listener, &[listener("web", manager(time))]).await;

    let (common, own) = (get(bed.address(), "/").await, get(bed.address(), "/own").await);

    assert_eq!((common.status.as_u16(), common.text()), (504, "downstream duration timeout"));
    assert_eq!(common.header("x-weft-reason"), "- max_duration_timeout");
    assert_eq!(own.header("x-weft-reason"), "UT response_timeout");
}

#[tokio::test]
async fn an_attempt_that_goes_silent_is_given_up() {
    let silent = Raw::start(b"").await;
    let idle = |more: Value| {
        let mut policy = json!({ "retry_on": "5xx", "num_retries": 1, "per_try_idle_timeout": "0.05s" });
        more.as_object().unwrap().iter().for_each(|(name, value)| policy[name] = value.clone());
        json!([to("/", "c", json!({ "timeout": "0s", "retry_policy": policy }))])
    };
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[silent.address])], idle(json!({}))).await;

    let answer = get(bed.address(), "/").await;

    assert_eq!((answer.status.as_u16(), answer.text()), (504, "upstream request timeout"));
    assert_eq!(silent.bytes().len(), 2, "a silent attempt is one to retry");
    let line = bed.log_lines(1).await.remove(0);
    assert!(line.contains(" 504 UT,URX upstream_per_try_idle_timeout "), "{line}");
    let stats = get(bed.machine.admin()[0], "/stats?filter=per_try").await;
    assert!(stats.text().contains("cluster.c.upstream_rq_per_try_idle_timeout: 2\n"), "{}", stats.text());

    // An answer that goes on is not silent, however long it takes.
    let going_on = Backend::named("slow").await;
    bed.serve(&[("c", &[going_on.address])], idle(json!({ "per_try_idle_timeout": "10s" }))).await;
    assert_eq!(get(bed.address(), "/").await.text(), "slow");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_told_from_one_that_breaks_the_protocol() {
    let garbage = Raw::start(b"HTTP/1.1 what\r\n\r\n").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 64]).await;
        }
    });
    let mut bed = Bed::start().await;
    let routes = json!([to("/garbage", "garbage", json!({})), to("/", "gone", json!({}))]);
    bed.serve(&[("garbage", &[garbage.address]), ("gone", &[gone])], routes).await;

    let (garbage, gone) = (get(bed.address(), "/garbage").await, get(bed.address(), "/").await);

    assert_eq!(
        (garbage.status.as_u16(), garbage.header("x-weft-reason")),
        (502, "UPE upstream_reset_before_response_started{protocol_error}")
    );
    assert_eq!(
        (gone.status.as_u16(), gone.header("x-weft-reason")),
        (503, "UC upstream_reset_before_response_started{connection_termination}")
    );
}

#[tokio::test]
async fn injected_faults_delay_and_abort() {
    let backend = Backend::named("real").await;
    let mut bed = Bed::start().await;
    let fault = |fault: Value| {
        let mut route = to("/", "c", json!({}));
        let mut config = fault;
        config["@type"] = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault".into();
        route["typed_per_filter_config"] = json!({ "envoy.filters.http.fault": config });
        route
    };
    let all = json!({ "numerator": 100 });
    let mut abort = fault(json!({ "abort": { "http_status": 500, "percentage": all } }));
    abort["match"]["prefix"] = "/abort".into();
    let delay = fault(json!({ "delay": { "fixed_delay": "0.05s", "percentage": all } }));
    bed.serve(&[("c", &[backend.address])], json!([abort, delay])).await;

    let (aborted, delayed) = (get(bed.address(), "/abort").await, get(bed.address(), "/").await);

    assert_eq!((aborted.status.as_u16(), aborted.text()), (500, "fault filter abort"));
    assert_eq!(delayed.text(), "real");
    let lines = bed.log_lines(2).await;
    assert!(
        lines[0].contains(" 500 FI fault_filter_abort ") && lines[1].contains(" 200 DI via_upstream "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let silent = Raw::start(b"").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[silent.address])], json!([to("/", "c", json!({}))])).await;
    let mut client = tokio::net::TcpStream::connect(bed.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut client, b"GET /left HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    while silent.bytes().concat().is_empty() {
        tokio::task::yield_now().await;
    }

    drop(client);

    assert!(bed.log_lines(1).await[0].contains("\"GET /left HTTP/1.1\" 0 DC downstream_remote_disconnect"));
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_costs_no_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closed = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&closed);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 4096]).await;
            let _ = tokio::io::AsyncWriteExt::write_all(
                &mut socket,
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            )
            .await;
            drop(socket);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[address])], json!([to("/", "c", json!({}))])).await;

    for round in 1..=5 {
        assert_eq!(get(bed.address(), "/").await.text(), "ok");
        while closed.load(Ordering::SeqCst) < round {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_response_that_outlives_its_route_is_cut_off() {
    let slow = Raw::start(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[slow.address])], json!([to("/", "c", json!({ "timeout": "0.1s" }))])).await;

    let answer = crate::client::raw(bed.address(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("half"), "{answer}");
    assert!(bed.log_lines(1).await[0].contains(" 200 UT response_timeout "));
}
