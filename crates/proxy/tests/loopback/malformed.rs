//! What is no HTTP is refused, closed, and never reaches an upstream as two different messages.

use http::Response;
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xds::TypeUrl;

use crate::backend::{Backend, Raw};
use crate::bed::{Bed, listener, manager, to};
use crate::client::{raw, request, send_http2, try_http2};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn bed(backend: &Raw) -> Bed {
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({}))])).await;
    bed
}

#[tokio::test]
async fn malformed_messages_get_400_and_the_connection_closes() {
    let cases: [(&str, &[u8]); 19] = [
        (
            "unequal lengths",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        ),
        (
            "length and chunked",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked and length",
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        ),
        ("list of lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 3\r\n\r\nabc"),
        ("signed length", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc"),
        ("hexadecimal length", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x3\r\n\r\nabc"),
        ("folded header", b"GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n"),
        ("bare line feeds", b"GET / HTTP/1.1\nhost: a\n\n"),
        ("one bare line feed", b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n"),
        ("space before colon", b"GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n"),
        ("NUL in a value", b"GET / HTTP/1.1\r\nhost: a\r\nx: y\0z\r\n\r\n"),
        ("NUL in the path", b"GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("no host", b"GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        ("host of two words", b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n"),
        (
            "coding beneath chunked",
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        ("unknown coding", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("bare carriage return", b"GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n"),
        ("no HTTP", b"hello there\r\n\r\n"),
    ];
    let backend = Raw::start(OK).await;
    let bed = bed(&backend).await;

    for (name, bytes) in cases {
        let answer = raw(bed.address(), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer:?}");
    }

    assert_eq!(backend.bytes(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn an_oversized_head_gets_431() {
    let backend = Raw::start(OK).await;
    let bed = bed(&backend).await;
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(70 * 1024));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(120));

    for bytes in [long, many] {
        let answer = raw(bed.address(), bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    }

    assert_eq!(backend.bytes(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn a_bad_chunk_never_ends_a_message_upstream() {
    let tails: [&[u8]; 6] = [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcXX0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nx: y\n\r\n",
    ];
    let backend = Raw::start(b"").await;
    let bed = bed(&backend).await;

    for tail in tails {
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = raw(bed.address(), &[&head[..], tail].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{tail:?}: {answer:?}");
    }

    let ended = backend.bytes().into_iter().filter(|bytes| bytes.ends_with(b"0\r\n\r\n")).count();
    assert_eq!(ended, 0);
}

#[tokio::test]
async fn a_smuggled_request_is_not_seen_by_the_upstream() {
    let backend = Raw::start(OK).await;
    let bed = bed(&backend).await;
    let smuggled =
        b"POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: 44\r\nTransfer-Encoding: chunked\r\n\r\n\
        0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

    let answer = raw(bed.address(), smuggled).await;

    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert!(!backend.bytes().concat().windows(8).any(|w| w == b"smuggled"));
}

#[tokio::test]
async fn what_follows_a_good_request_is_judged_for_itself() {
    let backend = Raw::start(OK).await;
    let bed = bed(&backend).await;

    let mut client = TcpStream::connect(bed.address()).await.unwrap();
    client
        .write_all(
            b"POST /good HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhiGET /bad HTTP/1.1\nhost: a\n\n",
        )
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();

    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("HTTP/1.1 400 "), "{answer}");
    let seen = backend.bytes().concat();
    assert!(seen.starts_with(b"POST /good ") && !seen.windows(4).any(|w| w == b"/bad"));
}

#[tokio::test]
async fn a_tunnel_is_not_opened() {
    let backend = Raw::start(OK).await;
    let bed = bed(&backend).await;

    let answer = raw(bed.address(), b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert_eq!(backend.bytes(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn http_1_0_is_told_to_upgrade() {
    let backend = Raw::start(OK).await;
    let bed = bed(&backend).await;

    let answer = raw(bed.address(), b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;

    assert!(answer.contains(" 426 "), "{answer}");
}

#[tokio::test]
async fn what_is_no_request_is_accounted_for() {
    let backend = Raw::start(OK).await;
    let bed = bed(&backend).await;

    let answer = raw(bed.address(), b"GET / HTTP/1.1\r\nhost : a\r\n\r\n").await;
    let tls = raw(bed.address(), b"\x16\x03\x01\x02\0\x01").await;

    assert!(answer.contains("x-weft-reason: DPE http1.codec_error\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nBad Request") && tls.starts_with("HTTP/1.1 400 "), "{answer}{tls}");
    let lines = bed.log_lines(2).await;
    assert!(lines[0].contains("\"- - -\" 400 DPE http1.codec_error - \"-\" 0 11 "), "{}", lines[0]);
}

#[tokio::test]
async fn a_head_that_does_not_end_gets_408() {
    let backend = Raw::start(OK).await;
    let mut bed = bed(&backend).await;
    let slow = manager(json!({ "request_headers_timeout": "0.1s" }));
    bed.apply(TypeUrl::Listener, &[listener("web", slow)]).await;

    let answer = raw(bed.address(), b"GET / HTTP/1.1\r\nhost: a\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_their_order() {
    let backend = Backend::start(|seen| Response::new(Full::new(seen.head.uri.to_string().into()))).await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({}))])).await;

    let all = raw(
        bed.address(),
        b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nhost: a\r\n\r\n\
        POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
        GET /4 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nGET /5 HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .await;

    let bodies: Vec<&str> =
        all.split("HTTP/1.1 200 OK\r\n").skip(1).map(|one| one.split_once("\r\n\r\n").unwrap().1).collect();
    assert_eq!(bodies, ["/1", "", "/3", "/4"], "{all}");
    assert_eq!(all.matches("connection: close\r\n").count(), 1);
    assert_eq!(backend.requests().len(), 4);
}

#[tokio::test]
async fn an_answer_that_breaks_the_rules_never_reaches_the_client() {
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nx: y\r\n folded\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ];

    for answer in answers {
        let backend = Raw::start(answer).await;
        let bed = bed(&backend).await;
        let answer = raw(bed.address(), b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer:?}");
    }
}

#[tokio::test]
async fn a_header_with_an_underscore_is_refused_or_left_out_where_it_may_not_be() {
    let backend = Backend::named("ok").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({}))])).await;
    let underscored = || request("/").header("x_user", "me").body(Full::default()).unwrap();
    let plain = b"GET / HTTP/1.1\r\nhost: a\r\nx_user: me\r\nconnection: close\r\n\r\n";
    let mut acted = async |action: &str| {
        let common = json!({ "headers_with_underscores_action": action });
        let manager = manager(json!({ "common_http_protocol_options": common }));
        bed.apply(TypeUrl::Listener, &[listener("web", manager)]).await;
        bed.address()
    };

    let address = acted("REJECT_REQUEST").await;
    let answer = raw(address, plain).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("x-weft-reason: DPE http1.unexpected_underscore\r\n"), "{answer}");
    assert!(try_http2(address, underscored()).await.is_err(), "the stream is reset");
    assert!(backend.requests().is_empty());

    let address = acted("DROP_HEADER").await;
    assert!(raw(address, plain).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(send_http2(address, underscored()).await.text(), "ok");
    let seen = backend.requests();
    assert!(seen.len() == 2 && seen.iter().all(|seen| !seen.head.headers.contains_key("x_user")));

    let address = acted("ALLOW").await;
    assert_eq!(send_http2(address, underscored()).await.text(), "ok");
    assert_eq!(backend.requests()[2].head.headers["x_user"], "me");
}
