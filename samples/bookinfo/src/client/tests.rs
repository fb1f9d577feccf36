#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

/// Answers one request per element on one connection, and returns what was asked.
async fn answer(listener: TcpListener, answers: usize) -> Vec<String> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = Vec::new();
    for _ in 0..answers {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        asked.push(String::from_utf8(head).unwrap());
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    }
    asked
}

#[tokio::test]
async fn a_proxy_is_asked_in_absolute_form() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}/", listener.local_addr().unwrap());
    let client = Client::new(&Environment::from([("HTTP_PROXY", proxy.as_str())]));
    let target = Target { authority: "reviews:9080", path: "/reviews/0" };

    let headers = HeaderMap::new();
    let (asked, answer) = tokio::join!(answer(listener, 1), client.fetch(target, &headers, WITHIN));

    assert!(asked[0].starts_with("GET http://reviews:9080/reviews/0 HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].contains("host: reviews:9080\r\n"), "{asked:?}");
    assert_eq!(answer.unwrap().body, "ok");
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_once_it_is_dead() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let target = Target { authority: &authority, path: "/" };
    let client = Client::new(&Environment::default());

    let serving = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(first.read_u8().await.unwrap());
            }
            first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
        drop(first);
        answer(listener, 1).await
    });
    for _ in 0..3 {
        assert_eq!(client.fetch(target, &HeaderMap::new(), WITHIN).await.unwrap().status, StatusCode::OK);
    }

    assert_eq!(serving.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_silent_peer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let client = Client::new(&Environment::default());
    let target = Target { authority: &authority, path: "/" };

    let answer = client.fetch(target, &HeaderMap::new(), Duration::from_millis(1)).await;

    assert!(answer.is_err());
}

#[test]
fn no_proxy_names_hosts_domains_and_networks() {
    let rules = Environment::from([("NO_PROXY", "localhost, .internal,127.0.0.0/8,10.1.2.3")]);
    let client = Client::new(&rules);

    for host in ["localhost:1", "a.internal:80", "127.78.3.1:9080", "10.1.2.3:80"] {
        assert!(client.bypasses(host), "{host}");
    }
    for host in ["reviews:9080", "notinternal:80", "128.0.0.1:80", "10.1.2.4:80"] {
        assert!(!client.bypasses(host), "{host}");
    }
    assert!(Bypass::new("*").covers("anything"));
    assert!(Bypass::new("0.0.0.0/0").covers("1.2.3.4"));
}
