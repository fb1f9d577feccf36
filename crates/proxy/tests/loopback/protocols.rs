//! HTTP/1.1 and HTTP/2 on either side, upgrades, and bytes.

use bytes::Bytes;
use http::{Method, Response, Version};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xds::TypeUrl;

use crate::backend::{Backend, Raw};
use crate::bed::{Bed, cluster, cluster_http2, listener, manager, route_configuration, to};
use crate::client::{raw, request, send, send_http2};

async fn echo() -> Backend {
    Backend::start(|seen| {
        let mut response = Response::new(Full::new(seen.body.clone()));
        response
            .headers_mut()
            .insert("upstream-version", format!("{:?}", seen.head.version).parse().unwrap());
        response
    })
    .await
}

#[tokio::test]
async fn each_version_may_meet_each_other() {
    let backend = echo().await;
    let mut bed = Bed::start().await;
    bed.serve(&[], json!([])).await;
    bed.apply(
        TypeUrl::Cluster,
        &[cluster("one", &[backend.address]), cluster_http2("two", &[backend.address])],
    )
    .await;
    bed.apply(
        TypeUrl::Route,
        &[route_configuration(json!([to("/1", "one", json!({})), to("/2", "two", json!({}))]))],
    )
    .await;

    for (path, version) in [("/1", "HTTP/1.1"), ("/2", "HTTP/2.0")] {
        let body = Full::new(Bytes::from(vec![b'b'; 300_000]));
        let http1 = request(path).method(Method::POST).body(body.clone()).unwrap();
        let uri = format!("http://tested.example{path}");
        let http2 = http::Request::builder()
            .uri(uri)
            .version(Version::HTTP_2)
            .method(Method::POST)
            .body(body)
            .unwrap();

        for answer in [send(bed.address(), http1).await, send_http2(bed.address(), http2).await] {
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 300_000));
            assert_eq!(answer.header("upstream-version"), version);
        }
    }
    assert!(backend.requests().iter().all(|seen| match seen.head.version {
        Version::HTTP_2 => seen.head.uri.authority().unwrap() == "tested.example",
        _ => seen.head.headers["host"] == "tested.example",
    }));
}

#[tokio::test]
async fn a_websocket_is_relayed_where_it_is_allowed() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = upstream.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        socket
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
            )
            .await
            .unwrap();
        let mut word = [0; 4];
        socket.read_exact(&mut word).await.unwrap();
        socket.write_all(b"pong").await.unwrap();
        (String::from_utf8(head).unwrap(), word)
    });
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[address])], json!([to("/", "c", json!({}))])).await;
    bed.apply(
        TypeUrl::Listener,
        &[listener("web", manager(json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] })))],
    )
    .await;

    let mut client = TcpStream::connect(bed.address()).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    // Neither HTTP nor text: nobody may look at it any more.
    client.write_all(b"\n\0\n\0").await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();

    let (upstream_head, word) = server.await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    assert!(
        upstream_head.contains("upgrade: websocket\r\n") && upstream_head.contains("connection: upgrade\r\n")
    );
    assert_eq!((&word, &*answer), (b"\n\0\n\0", &b"pong"[..]));
    drop(client);
    assert!(bed.log_lines(1).await[0].contains(" 101 - "));
}

#[tokio::test]
async fn what_was_upgraded_ends_when_the_time_of_its_stream_is_over() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let backend = Raw::start(answer).await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({ "timeout": "0s" }))])).await;
    let time = json!({
        "common_http_protocol_options": { "max_stream_duration": "0.1s" },
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
    });
    bed.apply(TypeUrl::Listener, &[listener("web", manager(time))]).await;

    let asked = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let seen = raw(bed.address(), asked).await;

    assert!(seen.starts_with("HTTP/1.1 101 "), "{seen}");
    assert!(bed.log_lines(1).await[0].contains(" 101 - max_duration_timeout "));
}

#[tokio::test]
async fn an_upgrade_nobody_allowed_is_forbidden() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({}))])).await;

    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n";
    let answer = raw(bed.address(), request).await;

    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn bytes_are_forwarded_as_they_are() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = upstream.accept().await.unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        all.reverse();
        socket.write_all(&all).await.unwrap();
    });
    let mut bed = Bed::start().await;
    bed.apply(TypeUrl::Cluster, &[cluster("c", &[address])]).await;
    let proxy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "c",
        "cluster": "c",
    });
    bed.apply(TypeUrl::Listener, &[listener("bytes", proxy)]).await;

    let mut client = TcpStream::connect(bed.address()).await.unwrap();
    client.write_all(b"\0\x01\x02").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();

    assert_eq!(answer, b"\x02\x01\0");
}

#[tokio::test]
async fn a_grpc_client_gets_local_replies_as_trailers() {
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[])], json!([to("/", "c", json!({}))])).await;

    let request = http::Request::builder()
        .uri("http://tested.example/svc/Method")
        .version(Version::HTTP_2)
        .method(Method::POST)
        .header("content-type", "application/grpc")
        .body(Full::default())
        .unwrap();
    let answer = send_http2(bed.address(), request).await;

    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "14"));
    assert_eq!(answer.header("grpc-message"), "no healthy upstream");
}

#[tokio::test]
async fn an_endpoint_that_demands_tls_is_never_spoken_to_in_the_clear() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    bed.serve(&[], json!([to("/", "c", json!({}))])).await;
    let mut secret = cluster("c", &[backend.address]);
    secret["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": { "tls_certificate_sds_secret_configs": [
                { "name": "default", "sds_config": { "ads": {} } },
            ] },
        },
    });
    bed.apply(TypeUrl::Cluster, &[secret]).await;

    let answer = crate::client::get(bed.address(), "/").await;

    assert_eq!(answer.status.as_u16(), 503);
    let line = &bed.log_lines(1).await[0];
    assert!(line.contains("Secret_is_not_supplied_by_SDS"), "{line}");
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn tls_is_passed_through_by_the_name_the_client_wants() {
    let (named, other) = (crate::backend::Raw::start(b"").await, crate::backend::Raw::start(b"").await);
    let mut bed = Bed::start().await;
    bed.apply(TypeUrl::Cluster, &[cluster("named", &[named.address]), cluster("other", &[other.address])])
        .await;
    let proxy = |cluster: &str| {
        json!([{ "name": "tcp", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": cluster,
            "cluster": cluster,
        } }])
    };
    let mut tls = listener("tls", json!({}));
    tls["listener_filters"] = json!([{ "name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    } }]);
    tls["filter_chains"] = json!([
        { "filter_chain_match": { "server_names": ["named.example"] }, "filters": proxy("named") },
        { "filters": proxy("other") },
    ]);
    bed.apply(TypeUrl::Listener, &[tls]).await;
    // A greeting with nothing in it but the name.
    let name = b"\0\0\0\x12\0\x10\0\0\x0dnamed.example";
    let mut body =
        [&[3, 3][..], &[0; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, u8::try_from(name.len()).unwrap()], name]
            .concat();
    let length = u8::try_from(body.len()).unwrap();
    body.splice(0..0, [22, 3, 1, 0, length + 4, 1, 0, 0, length]);

    let mut client = TcpStream::connect(bed.address()).await.unwrap();
    client.write_all(&body).await.unwrap();
    while named.bytes().concat().is_empty() && other.bytes().concat().is_empty() {
        tokio::task::yield_now().await;
    }

    assert_eq!((named.bytes().concat(), other.bytes().concat()), (body, Vec::new()));
}

#[tokio::test]
async fn request_and_response_may_flow_at_the_same_time() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = upstream.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        // Answered before the request has ended, chunk by chunk as it came.
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut chunk = [0; 64];
        while let Ok(n @ 1..) = socket.read(&mut chunk).await {
            socket.write_all(&chunk[..n]).await.unwrap();
        }
    });
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[address])], json!([to("/", "c", json!({}))])).await;

    let mut client = TcpStream::connect(bed.address()).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    for chunk in [&b"2\r\nab\r\n"[..], b"3\r\ncde\r\n"] {
        client.write_all(chunk).await.unwrap();
        let mut echo = vec![0; chunk.len()];
        client.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, chunk);
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();

    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(rest, b"0\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_waits_for_100_and_is_refused_is_not_told_to_go_on() {
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[])], json!([to("/", "c", json!({}))])).await;

    let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    let answer = raw(bed.address(), request).await;

    assert!(answer.starts_with("HTTP/1.1 503 ") && !answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn names_of_headers_are_written_as_either_side_wants_them() {
    let upstream = Raw::start(b"HTTP/1.1 200 OK\r\nX-Odd-cAse: 1\r\ncontent-length: 0\r\n\r\n").await;
    let format = |format: Value| json!({ "http_protocol_options": { "header_key_format": format } });
    let preserved = json!({ "stateful_formatter": { "name": "case", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
    } } });
    let proper = json!({ "proper_case_words": {} });
    let cases = [
        ((format(proper.clone()), format(proper)), ["X-Two-Words: 2", "X-Odd-Case: 1"]),
        ((format(preserved.clone()), format(preserved)), ["x-Two-WORDS: 2", "X-Odd-cAse: 1"]),
        ((json!({}), json!({})), ["x-two-words: 2", "x-odd-case: 1"]),
    ];

    for (round, ((upstream_side, manager_side), [up, down])) in cases.into_iter().enumerate() {
        let mut bed = Bed::start().await;
        let mut written = cluster("c", &[upstream.address]);
        for (name, value) in upstream_side.as_object().unwrap() {
            written[name] = value.clone();
        }
        bed.apply(TypeUrl::Cluster, &[written]).await;
        bed.apply(TypeUrl::Listener, &[listener("web", manager(manager_side))]).await;
        bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "c", json!({}))]))]).await;

        let request = b"GET / HTTP/1.1\r\nhost: a\r\nx-Two-WORDS: 2\r\nconnection: close\r\n\r\n";
        let answer = raw(bed.address(), request).await;

        assert!(answer.contains(&format!("{down}\r\n")), "{answer}");
        let heard = String::from_utf8(upstream.bytes()[round].clone()).unwrap();
        assert!(heard.contains(&format!("{up}\r\n")), "{heard}");
    }
}
