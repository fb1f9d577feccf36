//! Bytes inside of requests, and requests that turn into connections, by either version of HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use xds::TypeUrl;

use crate::bed::{Bed, cluster, cluster_http2, listener, manager, route_configuration, to};
use crate::client::PATIENCE;
use crate::relays::{parrot, proxy, talk, to_proxy};

/// How the far end was asked, and what it heard afterwards.
type Heard = (String, String);

/// Serves one connection by a function.
async fn once<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<Heard>)
where
    F: Future<Output = Heard> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        serve(socket).await
    });
    (address, serving)
}

/// Everything up to and with these bytes.
async fn until(stream: &mut (impl AsyncRead + Unpin), end: &[u8]) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while !bytes.ends_with(end) {
            bytes.push(stream.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the bytes come");
    String::from_utf8(bytes).unwrap()
}

/// The far end of a tunnel over HTTP/1, which speaks first.
async fn far_http1(mut socket: TcpStream) -> Heard {
    let head = until(&mut socket, b"\r\n\r\n").await;
    if head.starts_with("CONNECT ") {
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nfrom inside").await.unwrap();
        let mut heard = String::new();
        socket.read_to_string(&mut heard).await.unwrap();
        return (head, heard);
    }
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nfrom inside\r\n";
    socket.write_all(answer).await.unwrap();
    let heard = until(&mut socket, b"\r\n0\r\n\r\n").await;
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    (head, heard)
}

/// The same over HTTP/2.
async fn far_http2(socket: TcpStream) -> Heard {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    // Nothing moves on a connection that is not polled.
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let (head, mut body) = request.into_parts();
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(b"from inside"), false).unwrap();
    let mut heard = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        heard.extend_from_slice(&data);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    (format!("{} {}", head.method, head.uri), String::from_utf8(heard).unwrap())
}

async fn tunnelled(address: SocketAddr, is_http2: bool, config: Value) -> Bed {
    let mut bed = Bed::start().await;
    let far = if is_http2 { cluster_http2("far", &[address]) } else { cluster("far", &[address]) };
    bed.apply(TypeUrl::Cluster, &[far]).await;
    let more = json!({ "tunneling_config": config, "access_log": crate::bed::log() });
    bed.apply(TypeUrl::Listener, &[listener("tcp", proxy("far", more))]).await;
    bed
}

#[tokio::test]
async fn bytes_travel_inside_of_a_request_of_either_version() {
    let connect = json!({ "hostname": "target.example:443" });
    let post = json!({ "hostname": "target.example:443", "use_post": true, "post_path": "/way" });

    let (address, far) = once(far_http1).await;
    let bed = tunnelled(address, false, connect.clone()).await;
    assert_eq!(talk(to_proxy(&bed).await, b"to inside").await, "from inside");
    let (head, heard) = far.await.unwrap();
    assert!(head.starts_with("CONNECT target.example:443 HTTP/1.1\r\n"), "{head}");
    assert_eq!(heard, "to inside");

    let (address, far) = once(far_http1).await;
    let bed = tunnelled(address, false, post.clone()).await;
    assert_eq!(talk(to_proxy(&bed).await, b"to inside").await, "from inside");
    let (head, heard) = far.await.unwrap();
    assert!(head.starts_with("POST /way HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: target.example:443\r\n"), "{head}");
    assert_eq!(heard, "9\r\nto inside\r\n0\r\n\r\n");

    for (config, asked) in
        [(connect, "CONNECT target.example:443"), (post, "POST http://target.example:443/way")]
    {
        let (address, far) = once(far_http2).await;
        let bed = tunnelled(address, true, config).await;
        assert_eq!(talk(to_proxy(&bed).await, b"to inside").await, "from inside");
        assert_eq!(far.await.unwrap(), (asked.to_owned(), "to inside".to_owned()));
    }
}

#[tokio::test]
async fn a_tunnel_that_is_refused_is_a_connection_that_failed() {
    let (address, far) = once(async |mut socket: TcpStream| {
        let head = until(&mut socket, b"\r\n\r\n").await;
        socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        (head, String::new())
    })
    .await;
    let bed = tunnelled(address, false, json!({ "hostname": "target.example:443" })).await;

    assert_eq!(talk(to_proxy(&bed).await, b"to inside").await, "");

    far.await.unwrap();
    assert!(bed.log_lines(1).await[0].contains(" UF,URX "));
}

/// Says that it is a WebSocket, and repeats one word.
async fn chat(mut socket: TcpStream) -> Heard {
    let head = until(&mut socket, b"\r\n\r\n").await;
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    socket.write_all(answer).await.unwrap();
    let mut word = [0; 4];
    socket.read_exact(&mut word).await.unwrap();
    socket.write_all(&word).await.unwrap();
    (head, String::from_utf8_lossy(&word).into_owned())
}

/// Begins a stream of HTTP/2 that is to become a connection; what is answered, and what a word comes back as.
async fn stream(bed: &Bed, protocol: Option<&'static str>, uri: &str, word: &'static str) -> (u16, String) {
    let (mut sender, driver) = h2::client::handshake(to_proxy(bed).await).await.unwrap();
    tokio::spawn(driver);
    let mut request = Request::builder().method("CONNECT").uri(uri).body(()).unwrap();
    if let Some(protocol) = protocol {
        let settled = async {
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("the proxy knows of protocols");
        request.extensions_mut().insert(h2::ext::Protocol::from_static(protocol));
    }
    let talking = async {
        let (response, mut up) = sender.send_request(request, false).unwrap();
        up.send_data(Bytes::from_static(word.as_bytes()), true).unwrap();
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let (mut down, mut back) = (response.into_body(), Vec::new());
        while let Some(Ok(data)) = down.data().await {
            back.extend_from_slice(&data);
        }
        (status, String::from_utf8(back).unwrap())
    };
    tokio::time::timeout(PATIENCE, talking).await.expect("the stream ends")
}

/// The same by HTTP/1.1, where the whole connection is upgraded.
async fn upgraded(bed: &Bed, word: &str) -> (u16, String) {
    let mut client = to_proxy(bed).await;
    let asks =
        b"GET /room HTTP/1.1\r\nhost: chat.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(asks).await.unwrap();
    let head = until(&mut client, b"\r\n\r\n").await;
    (head[9..12].parse().unwrap(), talk(client, word.as_bytes()).await)
}

/// Lets everything go to a cluster, WebSockets too.
async fn serve(bed: &mut Bed, cluster: Value) {
    let allowed = json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] });
    let routes = route_configuration(json!([to("/", "c", json!({}))]));
    bed.apply(TypeUrl::Cluster, &[cluster]).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(allowed))]).await;
    bed.apply(TypeUrl::Route, &[routes]).await;
}

#[tokio::test]
async fn a_web_socket_passes_a_gateway_and_a_sidecar_by_either_version() {
    for (client_http2, between_http2) in [(false, false), (false, true), (true, false), (true, true)] {
        let (address, server) = once(chat).await;
        let (mut gateway, mut sidecar) = (Bed::of_kind("router").await, Bed::start().await);
        let on = if between_http2 { cluster_http2 } else { cluster };
        serve(&mut sidecar, cluster("c", &[address])).await;
        serve(&mut gateway, on("c", &[sidecar.address()])).await;
        let case = format!("to the gateway by HTTP/2: {client_http2}, between the proxies: {between_http2}");

        let (status, back) = match client_http2 {
            false => upgraded(&gateway, "\n\0\n\0").await,
            true => stream(&gateway, Some("websocket"), "http://chat.example/room", "\n\0\n\0").await,
        };

        assert_eq!((status, &*back), (if client_http2 { 200 } else { 101 }, "\n\0\n\0"), "{case}");
        let (head, _) = server.await.unwrap();
        assert!(head.starts_with("GET /room HTTP/1.1\r\n"), "{case}: {head}");
        assert!(head.contains("host: chat.example\r\n") && head.contains("upgrade: websocket\r\n"), "{case}");
    }
}

#[tokio::test]
async fn a_tunnel_of_http2_ends_here_or_is_passed_on() {
    let (parrot, (address, far)) = (parrot().await, once(far_http2).await);
    let mut bed = Bed::start().await;
    let allowed = json!({ "upgrade_configs": [{ "upgrade_type": "CONNECT" }] });
    bed.apply(TypeUrl::Cluster, &[cluster("parrot", &[parrot]), cluster_http2("far", &[address])]).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(allowed))]).await;
    let ends = json!({ "upgrade_type": "CONNECT", "connect_config": {} });
    let tunnels =
        |action: Value| route_configuration(json!([{ "match": { "connect_matcher": {} }, "route": action }]));

    let here = json!({ "cluster": "parrot", "upgrade_configs": [ends] });
    bed.apply(TypeUrl::Route, &[tunnels(here)]).await;
    assert_eq!(stream(&bed, None, "target.example:443", "polly").await, (200, "hello polly".to_owned()));

    bed.apply(TypeUrl::Route, &[tunnels(json!({ "cluster": "far" }))]).await;
    assert_eq!(stream(&bed, None, "target.example:443", "polly").await, (200, "from inside".to_owned()));
    assert_eq!(far.await.unwrap(), ("CONNECT target.example:443".to_owned(), "polly".to_owned()));
}
