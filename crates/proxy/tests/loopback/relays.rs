//! Connections whose bytes are forwarded.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::Full;
use net::proxy_protocol::{self, Header, Version};
use serde_json::{Value, json};
use testkit::Dns;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xds::TypeUrl;

use crate::backend::{Backend, Raw};
use crate::bed::{Bed, cluster, listener, manager, route_configuration, to};
use crate::client::{PATIENCE, get, over, raw, request};
use crate::pki::{Authority, downstream, tls_inspector, upstream};

/// Forwards the bytes of connections to a cluster; `more` overrides or adds fields.
pub(crate) fn proxy(cluster: &str, more: Value) -> Value {
    let mut proxy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": cluster,
        "cluster": cluster,
    });
    for (name, value) in more.as_object().unwrap() {
        proxy[name] = value.clone();
    }
    proxy
}

/// A server that says hello first and then repeats what it hears until the client has ended.
pub(crate) async fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                socket.write_all(b"hello ").await.unwrap();
                let mut heard = Vec::new();
                let _ = socket.read_to_end(&mut heard).await;
                let _ = socket.write_all(&heard).await;
            });
        }
    });
    address
}

/// Everything that comes back for these bytes, after which nothing more is sent.
pub(crate) async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let talking = async {
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, talking).await.unwrap()
}

pub(crate) async fn to_proxy(bed: &Bed) -> TcpStream {
    TcpStream::connect(bed.address()).await.unwrap()
}

#[tokio::test]
async fn a_server_may_speak_first_and_last() {
    let parrot = parrot().await;
    let mut bed = Bed::start().await;
    bed.apply(TypeUrl::Cluster, &[cluster("a", &[parrot])]).await;
    bed.apply(TypeUrl::Listener, &[listener("tcp", proxy("a", json!({})))]).await;

    assert_eq!(talk(to_proxy(&bed).await, b"polly").await, "hello polly");
}

#[tokio::test]
async fn a_server_speaks_first_unless_the_client_is_listened_to_and_then_after_a_while() {
    let parrot = parrot().await;
    let mut bed = Bed::start().await;
    bed.apply(TypeUrl::Cluster, &[cluster("a", &[parrot])]).await;
    let http = json!({ "name": "http", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
    } });
    let mut listens = listener("tcp", proxy("a", json!({})));
    listens["listener_filters"] = json!([tls_inspector(), http]);
    listens["listener_filters_timeout"] = "0s".into();
    listens["continue_on_listener_filters_timeout"] = true.into();
    let hears = async |bed: &Bed| {
        let mut hello = [0; 6];
        let mut stream = to_proxy(bed).await;
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut hello)).await.unwrap().unwrap();
        hello
    };

    // No chain asks what is spoken, as of a port that is declared: nobody waits.
    bed.apply(TypeUrl::Listener, &[listens.clone()]).await;
    assert_eq!(&hears(&bed).await, b"hello ");

    let web = json!({
        "filter_chain_match": { "transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"] },
        "filters": [{ "name": "web", "typed_config": manager(json!({
            "rds": null,
            "route_config": { "virtual_hosts": [] },
        })) }],
    });
    listens["default_filter_chain"] = listens["filter_chains"][0].clone();
    listens["filter_chains"] = json!([web]);
    listens["listener_filters_timeout"] = "0.05s".into();
    bed.apply(TypeUrl::Listener, &[listens]).await;
    assert_eq!(&hears(&bed).await, b"hello ");
    assert_eq!(talk(to_proxy(&bed).await, b"\0neither").await, "hello \0neither");
    let answer = raw(bed.address(), b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn tls_ends_at_the_chain_or_passes_through_and_begins_at_the_cluster() {
    let authority = Authority::new();
    let parrot = parrot().await;
    let mut bed = Bed::start().await;
    let own = json!({ "tls_certificates": [authority.host("ended.example").inline()] });
    let mut tls = listener("tcp", json!({}));
    tls["listener_filters"] = json!([tls_inspector()]);
    let filters = |cluster: &str, sni: bool| {
        let mut filters = vec![json!({ "name": "tcp", "typed_config": proxy(cluster, json!({})) })];
        if sni {
            filters.insert(
                0,
                json!({ "name": "sni", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
            } }),
            );
        }
        filters
    };
    tls["filter_chains"] = json!([
        {
            "filter_chain_match": { "server_names": ["ended.example"] },
            "filters": filters("plain", false),
            "transport_socket": downstream(own, false),
        },
        { "filter_chain_match": { "server_names": ["*.passed.example"] }, "filters": filters("none", true) },
    ]);
    let inner = Backend::secured(authority.server(&authority.host("inner"), false, &[]), |_| {
        http::Response::new(Full::new("inner".into()))
    })
    .await;
    let mut begun = cluster("begun", &[inner.address]);
    let trusted = json!({ "validation_context": { "trusted_ca": { "inline_string": authority.pem() } } });
    begun["transport_socket"] = upstream(trusted, json!({ "sni": "inner" }));
    bed.apply(
        TypeUrl::Cluster,
        &[cluster("plain", &[parrot]), cluster("one.passed.example", &[inner.address]), begun],
    )
    .await;
    bed.apply(TypeUrl::Listener, &[tls]).await;
    let client = authority.client(None, &[]);

    let ended = client.connect(to_proxy(&bed).await, Some("ended.example"), None).await.unwrap();
    assert_eq!(talk(ended, b"polly").await, "hello polly");

    let get = || request("/").body(Full::default()).unwrap();
    let passed = client.connect(to_proxy(&bed).await, Some("one.passed.example"), None).await.unwrap();
    assert_eq!(over(passed, get()).await.unwrap().text(), "inner");
    assert!(client.connect(to_proxy(&bed).await, Some("two.passed.example"), None).await.is_err());

    bed.apply(TypeUrl::Listener, &[listener("tcp", proxy("begun", json!({})))]).await;
    assert_eq!(over(to_proxy(&bed).await.into(), get()).await.unwrap().text(), "inner");
    assert_eq!(inner.names(), ["one.passed.example", "inner"]);
}

/// What a TLS client that asks for a name gets from behind a proxy.
async fn asks(bed: &Bed, authority: &Authority, name: &str) -> Result<String, String> {
    let io = authority.client(None, &[]).connect(to_proxy(bed).await, Some(name), None).await;
    let io = io.map_err(|error| error.to_string())?;
    over(io, request("/").body(Full::default()).unwrap()).await.map(|answer| answer.text().to_owned())
}

#[tokio::test]
async fn the_name_a_tls_client_asks_for_is_resolved_where_it_is_asked_to_be() {
    let authority = Authority::new();
    let inner = Backend::secured(authority.server(&authority.host("one.wild.example"), false, &[]), |_| {
        http::Response::new(Full::new("inner".into()))
    })
    .await;
    let names = [("one.wild.example".to_owned(), vec![Ipv4Addr::LOCALHOST])];
    let dns = Dns::start(names.into()).unwrap();
    let mut bed = Bed::asking(dns.address()).await;
    let mut dynamic = json!({
        "name": "dynamic",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": { "name": "dynamic", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            "dns_cache_config": { "name": "cache" },
        } },
    });
    let mut forwards = listener("tcp", json!({}));
    forwards["listener_filters"] = json!([tls_inspector()]);
    let resolves = json!({ "name": "by-name", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
        "dns_cache_config": { "name": "cache" },
        "port_value": inner.address.port(),
    } });
    let last = json!({
        "name": "tcp",
        "typed_config": proxy("dynamic", json!({ "access_log": crate::bed::log() })),
    });
    forwards["filter_chains"][0]["filters"] = json!([resolves, last]);
    bed.apply(TypeUrl::Cluster, &[dynamic.clone()]).await;
    bed.apply(TypeUrl::Listener, &[forwards.clone()]).await;

    assert_eq!(asks(&bed, &authority, "one.wild.example").await.as_deref(), Ok("inner"));
    assert!(asks(&bed, &authority, "two.wild.example").await.is_err(), "nobody knows the name");
    assert_eq!(talk(to_proxy(&bed).await, b"no greeting").await, "");
    dynamic["cluster_type"]["typed_config"]["dns_cache_config"]["dns_lookup_family"] = "V6_ONLY".into();
    bed.apply(TypeUrl::Cluster, &[dynamic]).await;
    assert!(asks(&bed, &authority, "one.wild.example").await.is_err(), "its address is one of IPv4");
    // Without the filter the cluster knows of nobody.
    forwards["filter_chains"][0]["filters"] = json!([last]);
    bed.apply(TypeUrl::Listener, &[forwards]).await;
    assert!(asks(&bed, &authority, "one.wild.example").await.is_err());

    let lines = bed.log_lines(5).await;
    let failed: Vec<bool> = lines.iter().map(|line| line.contains(" 0 UH ")).collect();
    assert_eq!(failed, [false, true, true, true, true], "{lines:#?}");
    assert_eq!(inner.names(), ["one.wild.example"]);
    let stats = get(bed.machine.admin()[0], "/stats?filter=none_healthy").await;
    assert!(stats.text().contains("cluster.dynamic.upstream_cx_none_healthy: 4\n"), "{}", stats.text());
}

#[tokio::test]
async fn a_proxy_header_tells_who_the_client_is_and_is_told_on() {
    let heard = Raw::start(b"").await;
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let accepts = json!([{ "name": "proxy_protocol", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    } }]);
    let mut web = listener("web", manager(json!({ "use_remote_address": true })));
    web["listener_filters"] = accepts.clone();
    bed.apply(TypeUrl::Cluster, &[cluster("a", &[backend.address])]).await;
    bed.apply(TypeUrl::Listener, &[web]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "a", json!({}))]))]).await;
    let (from, to): (SocketAddr, SocketAddr) = ("9.8.7.6:5".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
    let with = |version, rest: &[u8]| {
        [&proxy_protocol::write(Header { version, ends: Some((from, to)) })[..], rest].concat()
    };
    let get = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

    for version in [Version::V1, Version::V2] {
        assert!(raw(bed.address(), &with(version, get)).await.ends_with("hello"));
    }
    assert_eq!(raw(bed.address(), get).await, "", "a header is due");
    let seen = backend.requests();
    assert!(seen.iter().all(|seen| seen.head.headers["x-forwarded-for"] == "9.8.7.6"));

    let mut telling = cluster("telling", &[heard.address]);
    telling["transport_socket"] = json!({ "name": "proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": { "version": "V2" },
        "transport_socket": { "name": "envoy.transport_sockets.raw_buffer" },
    } });
    let mut tcp = listener("web", proxy("telling", json!({})));
    tcp["listener_filters"] = accepts;
    bed.apply(TypeUrl::Cluster, &[telling]).await;
    bed.apply(TypeUrl::Listener, &[tcp]).await;
    raw_and_end(bed.address(), &with(Version::V1, b"polly")).await;

    assert_eq!(heard.bytes(), [with(Version::V2, b"polly")]);
}

#[tokio::test]
async fn each_client_of_http_is_told_on_in_the_version_asked_for() {
    let (from, to_) = (["9.8.7.6:5", "9.8.7.7:5"], "10.0.0.1:80".parse().unwrap());
    let from = from.map(|from| from.parse::<SocketAddr>().unwrap());
    for version in [Version::V1, Version::V2] {
        let heard = Raw::start(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        let mut bed = Bed::start().await;
        let mut telling = cluster("telling", &[heard.address]);
        let written = if matches!(version, Version::V1) { "V1" } else { "V2" };
        telling["transport_socket"] = json!({ "name": "proxy", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": { "version": written },
            "transport_socket": { "name": "envoy.transport_sockets.raw_buffer" },
        } });
        let mut web = listener("web", manager(json!({})));
        web["listener_filters"] = json!([{ "name": "proxy_protocol", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        } }]);
        bed.apply(TypeUrl::Cluster, &[telling]).await;
        bed.apply(TypeUrl::Listener, &[web]).await;
        bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "telling", json!({}))]))]).await;

        for from in from {
            let head = proxy_protocol::write(Header { version: Version::V1, ends: Some((from, to_)) });
            let get = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            let answer = raw(bed.address(), &[&head[..], get].concat()).await;
            assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        }

        let connections = heard.bytes();
        let told = from.map(|from| {
            [&proxy_protocol::write(Header { version, ends: Some((from, to_)) })[..], b"GET / "].concat()
        });
        assert_eq!(connections.len(), told.len(), "no client goes by another's connection");
        let all = connections.iter().zip(&told).all(|(bytes, told)| bytes.starts_with(told));
        assert!(all, "{connections:?}");
    }
}

async fn raw_and_end(address: SocketAddr, bytes: &[u8]) {
    let stream = TcpStream::connect(address).await.unwrap();
    talk(stream, bytes).await;
}

#[tokio::test]
async fn the_end_of_the_drain_time_ends_relays_and_enters_them() {
    let silent = Raw::start(b"").await;
    let mut bed = Bed::start().await;
    let log = json!({ "access_log": crate::bed::log() });
    bed.apply(TypeUrl::Cluster, &[cluster("a", &[silent.address])]).await;
    bed.apply(TypeUrl::Listener, &[listener("tcp", proxy("a", log))]).await;
    let mut client = to_proxy(&bed).await;
    client.write_all(b"polly").await.unwrap();
    while silent.bytes().concat() != b"polly" {
        tokio::task::yield_now().await;
    }

    let lines = bed.drain(Duration::from_millis(20)).await;

    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(lines.len() == 1 && lines[0].contains(" \"-\" 5 0 "), "{lines:?}");
}

#[tokio::test]
async fn relays_go_on_while_draining_and_are_counted_as_they_end() {
    let silent = Raw::start(b"").await;
    let mut bed = Bed::start().await;
    let log = json!({ "access_log": crate::bed::log() });
    bed.apply(TypeUrl::Cluster, &[cluster("a", &[silent.address])]).await;
    bed.apply(TypeUrl::Listener, &[listener("tcp", proxy("a", log))]).await;
    let [admin, ..] = bed.machine.admin();
    let (mut first, mut second) = (to_proxy(&bed).await, to_proxy(&bed).await);
    let come = async |bytes: usize| {
        while silent.bytes().concat().len() != bytes {
            tokio::task::yield_now().await;
        }
    };
    first.write_all(b"polly").await.unwrap();
    second.write_all(b"parrot").await.unwrap();
    come(11).await;
    let counted = async |name: &str, value: &str| {
        let stats = get(admin, "/stats/prometheus").await;
        let lines = stats.text().lines().filter(|line| line.starts_with(name));
        lines.filter(|line| line.ends_with(value)).count() == 1
    };

    let talking = async {
        while !get(admin, "/server_info").await.text().contains("DRAINING") {
            tokio::task::yield_now().await;
        }
        second.write_all(b"!").await.unwrap();
        come(12).await;
        first.shutdown().await.unwrap();
        assert_eq!(first.read(&mut [0; 8]).await.unwrap(), 0);
        while !counted("istio_tcp_connections_closed_total{", " 1").await {
            tokio::task::yield_now().await;
        }
        assert!(counted("istio_tcp_connections_opened_total{", " 2").await);
        assert!(counted("istio_tcp_received_bytes_total{", " 5").await, "the other has not reported");
        drop(second);
    };
    let draining = async { tokio::join!(bed.drain(PATIENCE), talking) };
    let (lines, ()) = tokio::time::timeout(PATIENCE, draining).await.expect("the last relay ends the drain");

    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[tokio::test]
async fn draining_listeners_lets_nobody_in_and_levels_can_be_changed() {
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("a", &[backend.address])], json!([to("/", "a", json!({}))])).await;
    let admin = bed.machine.admin()[0];
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");

    let levels = raw(admin, post("/logging?paths=http:debug").as_bytes()).await;
    assert!(levels.contains("  http: debug\n") && levels.contains("  pool: info\n"), "{levels}");
    assert!(raw(admin, post("/logging?level=loud").as_bytes()).await.starts_with("HTTP/1.1 400"));
    assert_eq!(get(admin, "/drain_listeners").await.status, 405);
    assert_eq!(get(bed.address(), "/").await.text(), "hello");

    assert!(raw(admin, post("/drain_listeners").as_bytes()).await.starts_with("HTTP/1.1 200"));

    let refused = async {
        while TcpStream::connect(bed.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
}

fn connects(action: Value) -> Value {
    json!([{
        "name": "tunnel",
        "match": { "connect_matcher": {} },
        "route": action,
    }, { "match": { "prefix": "/" }, "direct_response": { "status": 418 } }])
}

/// What a CONNECT is answered with, up to the end of the connection.
async fn connect(bed: &Bed, sends: &[u8]) -> String {
    let mut stream = to_proxy(bed).await;
    stream
        .write_all(b"CONNECT target.example:443 HTTP/1.1\r\nhost: target.example:443\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    format!("{}{}", String::from_utf8_lossy(&head), talk(stream, sends).await)
}

#[tokio::test]
async fn a_connect_ends_here_or_is_passed_on_or_refused() {
    let parrot = parrot().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut socket, _) = upstream.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(b"HTTP/1.1 200 Fine\r\n\r\nfrom inside").await.unwrap();
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).await.unwrap();
        (String::from_utf8(head).unwrap(), heard)
    });
    let mut bed = Bed::start().await;
    let allowed = json!({ "upgrade_configs": [{ "upgrade_type": "CONNECT" }] });
    bed.apply(TypeUrl::Cluster, &[cluster("parrot", &[parrot]), cluster("on", &[address])]).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(allowed))]).await;
    let ends = json!({
        "cluster": "parrot",
        "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }],
    });
    bed.apply(TypeUrl::Route, &[route_configuration(connects(ends))]).await;

    let answer = connect(&bed, b"polly").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nhello polly"), "{answer}");

    bed.apply(TypeUrl::Route, &[route_configuration(connects(json!({ "cluster": "on" })))]).await;
    let answer = connect(&bed, b"to inside").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nfrom inside"), "{answer}");
    let (head, heard) = asked.await.unwrap();
    assert!(head.starts_with("CONNECT target.example:443 HTTP/1.1\r\n"), "{head}");
    assert_eq!(heard, b"to inside");

    bed.apply(TypeUrl::Listener, &[listener("web", manager(json!({})))]).await;
    let refused = raw(bed.address(), b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
}

#[tokio::test]
async fn a_web_socket_begins_on_a_stream_of_http2_too() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut socket, _) = upstream.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nfrom";
        socket.write_all(answer.as_bytes()).await.unwrap();
        let mut heard = [0; 2];
        socket.read_exact(&mut heard).await.unwrap();
        (String::from_utf8(head).unwrap(), heard)
    });
    let mut bed = Bed::start().await;
    let allowed = json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] });
    bed.apply(TypeUrl::Cluster, &[cluster("a", &[address])]).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(allowed))]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "a", json!({}))]))]).await;

    let (mut sender, driver) = h2::client::handshake(to_proxy(&bed).await).await.unwrap();
    tokio::spawn(driver);
    let settled = async {
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap();
    let mut request =
        http::Request::builder().method("CONNECT").uri("http://chat.example/room").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut up) = sender.send_request(request, false).unwrap();
    up.send_data("to".into(), false).unwrap();
    let response = tokio::time::timeout(PATIENCE, response).await.unwrap().unwrap();

    assert_eq!(response.status(), 200);
    let mut down = response.into_body();
    assert_eq!(down.data().await.unwrap().unwrap(), "from");
    let (head, heard) = asked.await.unwrap();
    assert!(head.starts_with("GET /room HTTP/1.1\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    assert_eq!(&heard, b"to");
}
