//! Answers that go out before their request has come whole.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::backend::Raw;
use crate::bed::{Bed, to};
use crate::client::{PATIENCE, raw};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// A request of which a part is still to come, and one that is whole.
const CUT: &str = "host: a\r\ncontent-length: 5\r\n\r\nhe";
const WHOLE: &str = "host: a\r\ncontent-length: 5\r\n\r\nhello";
const CLOSES: &str = "connection: close\r\n";

/// A route that answers by itself, and one that aborts after a delay, if any.
fn replies() -> Value {
    let fault = |delay: Value| {
        let mut fault = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "abort": { "http_status": 555, "percentage": { "numerator": 100 } },
        });
        if !delay.is_null() {
            fault["delay"] = json!({ "fixed_delay": delay, "percentage": { "numerator": 100 } });
        }
        json!({ "envoy.filters.http.fault": fault })
    };
    let mut aborted = to("/aborted", "nowhere", json!({}));
    aborted["typed_per_filter_config"] = fault(Value::Null);
    let mut delayed = to("/delayed", "nowhere", json!({}));
    delayed["typed_per_filter_config"] = fault("0.05s".into());
    json!([
        {
            "match": { "prefix": "/direct" },
            "direct_response": { "status": 200, "body": { "inline_string": "direct" } },
        },
        { "match": { "prefix": "/moved" }, "redirect": { "path_redirect": "/new" } },
        aborted,
        delayed,
        to("/missing", "missing", json!({})),
        to("/nobody", "nobody", json!({})),
        to("/refused", "refused", json!({})),
    ])
}

async fn bed() -> Bed {
    let mut bed = Bed::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    bed.serve(&[("nowhere", &[free]), ("nobody", &[]), ("refused", &[free])], replies()).await;
    bed
}

/// The head of the first answer on a connection, which stays open where it may.
async fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer comes");
    String::from_utf8(head).unwrap()
}

async fn asked(address: SocketAddr, path: &str, rest: &str) -> (TcpStream, String) {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("POST {path} HTTP/1.1\r\n{rest}").as_bytes()).await.unwrap();
    let head = head(&mut client).await;
    (client, head)
}

#[tokio::test]
async fn an_answer_to_the_head_alone_ends_the_connection_and_says_so() {
    let bed = bed().await;
    let paths = ["/direct", "/moved", "/aborted", "/missing", "/nobody", "/none"];

    for (path, rest) in paths.iter().flat_map(|path| [CUT, WHOLE].map(|rest| (path, rest))) {
        let answer = raw(bed.address(), format!("POST {path} HTTP/1.1\r\n{rest}").as_bytes()).await;

        assert!(answer.matches(CLOSES).count() == 1 && answer.contains("\r\n\r\n"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_request_without_a_body_leaves_the_connection_open() {
    let bed = bed().await;

    let both = raw(
        bed.address(),
        b"POST /direct HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n\
        GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;

    assert_eq!((both.matches("HTTP/1.1 ").count(), both.matches(CLOSES).count()), (2, 1), "{both}");
}

#[tokio::test]
async fn a_body_that_comes_before_its_late_answer_leaves_the_connection_open() {
    let bed = bed().await;

    for path in ["/delayed", "/refused"] {
        let (mut client, whole) = asked(bed.address(), path, WHOLE).await;
        let (_, cut) = asked(bed.address(), path, CUT).await;

        assert!(!whole.contains(CLOSES), "{path}: {whole}");
        assert!(cut.contains(CLOSES), "{path}: {cut}");
        client.write_all(b"GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut next = String::new();
        client.read_to_string(&mut next).await.unwrap();
        assert!(next.contains("HTTP/1.1 404 "), "{path}: {next}");
    }
}

#[tokio::test]
async fn an_upstream_that_answers_early_ends_the_connection() {
    let backend = Raw::start(OK).await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({}))])).await;

    // The backend answers one request a connection; that of a request cut short is not used again.
    let (_, cut) = asked(bed.address(), "/", CUT).await;
    let (_, whole) = asked(bed.address(), "/", WHOLE).await;

    assert!(whole.starts_with("HTTP/1.1 200 ") && !whole.contains(CLOSES), "{whole}");
    assert!(cut.starts_with("HTTP/1.1 200 ") && cut.contains(CLOSES), "{cut}");
}

#[tokio::test]
async fn a_client_that_goes_on_sending_reads_its_answer() {
    let bed = bed().await;
    let long = "x".repeat(700_000);
    let request = format!("POST /direct HTTP/1.1\r\nhost: a\r\ncontent-length: 700000\r\n\r\n{long}");

    let answer = raw(bed.address(), request.as_bytes()).await;

    assert!(answer.contains(CLOSES) && answer.ends_with("\r\n\r\ndirect"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_is_not_asked_for_what_nobody_reads() {
    let bed = bed().await;
    let waiting = "host: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";

    for path in ["/direct", "/delayed"] {
        let (_, answer) = asked(bed.address(), path, waiting).await;

        assert!(answer.contains(CLOSES) && !answer.contains(" 100 "), "{path}: {answer}");
    }
}
