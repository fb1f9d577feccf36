//! Unix sockets, of clients and of endpoints.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use net::Io;
use net::tls::Client;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use xds::TypeUrl;

use crate::backend::{Backend, Raw};
use crate::bed::{Bed, cluster, cluster_http2, listener, manager, route_configuration, to};
use crate::client::{Answer, over, request};
use crate::pki::{Authority, downstream, upstream};
use crate::relays::{parrot, proxy, talk};

/// A folder for sockets, and the paths in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Lets a Unix socket lead to a server of loopback.
fn lead(path: &str, to: SocketAddr) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
}

fn pipe(path: &str) -> Value {
    json!({ "pipe": { "path": path } })
}

/// Puts a Unix socket in the place of a cluster's only endpoint.
fn through(mut cluster: Value, path: &str) -> Value {
    let endpoint = json!({ "endpoint": { "address": pipe(path) } });
    cluster["load_assignment"]["endpoints"] = json!([{ "lb_endpoints": [endpoint] }]);
    cluster
}

/// A listener at a Unix socket.
fn at(path: &str, filter: Value) -> Value {
    let mut listener = listener("web", filter);
    listener["address"] = pipe(path);
    listener
}

async fn serve(bed: &mut Bed, cluster: Value, listener: Value) {
    bed.apply(TypeUrl::Cluster, &[cluster]).await;
    bed.apply(TypeUrl::Listener, &[listener]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "a", json!({}))]))]).await;
}

async fn get(path: &str) -> Answer {
    let stream = UnixStream::connect(path).await.unwrap();
    over(Io::from(stream), request("/x").body(Full::default()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn requests_come_and_go_by_unix_sockets_and_are_told_by_their_paths() {
    let (folder, backend) = (Folder::new(), Backend::named("hello").await);
    let (near, far) = (folder.at("near.sock"), folder.at("far.sock"));
    lead(&far, backend.address);
    let mut bed = Bed::of_kind("router").await;
    let edge = manager(json!({ "use_remote_address": true, "append_x_forwarded_port": true }));
    serve(&mut bed, through(cluster("a", &[]), &far), at(&near, edge)).await;

    let answers = [get(&near).await, get(&near).await];

    assert!(answers.iter().all(|answer| answer.text() == "hello"));
    let seen = backend.requests();
    let headers = &seen[0].head.headers;
    assert_eq!(headers["x-forwarded-proto"], "http");
    for absent in ["x-forwarded-for", "x-forwarded-port", "x-envoy-external-address", "x-envoy-internal"] {
        assert!(!headers.contains_key(absent), "{absent}: {headers:?}");
    }
    let line = &bed.log_lines(2).await[0];
    assert!(line.contains(&format!("\"{far}\" a - {near} {near} - to-a")), "{line}");
}

#[tokio::test]
async fn an_abstract_socket_is_listened_on_and_connected_to() {
    let backend = Backend::named("hello").await;
    let name = format!("weft-loopback-{}", std::process::id());
    let mut bed = Bed::start().await;
    // The outer listener leads to the inner one, by its name.
    bed.apply(TypeUrl::Cluster, &[through(cluster("inner", &[]), &format!("@{name}"))]).await;
    bed.apply(TypeUrl::Listener, &[listener("outer", proxy("inner", json!({})))]).await;
    let inner = at(&format!("@{name}"), manager(json!({})));
    serve(&mut bed, cluster("a", &[backend.address]), inner).await;

    assert_eq!(crate::client::get(bed.address(), "/").await.text(), "hello");
}

#[tokio::test]
async fn http2_and_tls_are_spoken_over_unix_sockets() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let certificate = authority.host("one.example");
    let secured = authority.server(&certificate, false, &["h2"]);
    let backend = Backend::secured(secured, |_| http::Response::new(Full::from("hello"))).await;
    let (near, far) = (folder.at("near.sock"), folder.at("far.sock"));
    lead(&far, backend.address);
    let mut bed = Bed::start().await;
    let trust = json!({ "validation_context": { "trusted_ca": { "inline_string": authority.pem() } } });
    let mut secure = through(cluster_http2("a", &[]), &far);
    secure["transport_socket"] = upstream(trust, json!({ "sni": "one.example" }));
    let mut web = at(&near, manager(json!({})));
    let own = json!({ "tls_certificates": [certificate.inline()], "alpn_protocols": ["h2", "http/1.1"] });
    web["filter_chains"][0]["transport_socket"] = downstream(own, false);
    serve(&mut bed, secure, web).await;

    for protocol in ["h2", "http/1.1"] {
        let client: Arc<Client> = authority.client(None, &[protocol]);
        let stream = UnixStream::connect(&near).await.unwrap();
        let io = client.connect(stream, Some("one.example"), None).await.unwrap();
        let request = Request::builder().uri("/").header("host", "one.example").body(Full::default());
        assert_eq!(over(io, request.unwrap()).await.unwrap().text(), "hello", "{protocol}");
    }
    assert_eq!(backend.names()[0], "one.example");
    assert!(backend.requests().iter().all(|seen| seen.head.version == http::Version::HTTP_2));
}

#[tokio::test]
async fn bytes_are_relayed_between_unix_sockets() {
    let folder = Folder::new();
    let (near, far) = (folder.at("near.sock"), folder.at("far.sock"));
    lead(&far, parrot().await);
    let mut bed = Bed::start().await;
    bed.apply(TypeUrl::Cluster, &[through(cluster("a", &[]), &far)]).await;
    bed.apply(TypeUrl::Listener, &[at(&near, proxy("a", json!({})))]).await;

    let stream = UnixStream::connect(&near).await.unwrap();

    assert_eq!(talk(stream, b"polly").await, "hello polly");
}

#[tokio::test]
async fn an_endpoint_that_is_told_its_client_is_told_that_a_unix_socket_has_no_address() {
    let (folder, raw) = (Folder::new(), Raw::start(b"").await);
    let near = folder.at("near.sock");
    let mut bed = Bed::start().await;
    let mut told = cluster("a", &[raw.address]);
    told["transport_socket"] = json!({ "name": "envoy.transport_sockets.upstream_proxy_protocol", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "transport_socket": { "name": "envoy.transport_sockets.raw_buffer", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        } },
    } });
    bed.apply(TypeUrl::Cluster, &[told]).await;
    bed.apply(TypeUrl::Listener, &[at(&near, proxy("a", json!({})))]).await;

    talk(UnixStream::connect(&near).await.unwrap(), b"polly").await;

    let heard = raw.connections.lock().unwrap().concat();
    assert_eq!(String::from_utf8_lossy(&heard), "PROXY UNKNOWN\r\npolly");
}

#[tokio::test]
async fn a_socket_is_made_anew_has_its_permissions_and_goes_with_its_listener() {
    let (folder, backend) = (Folder::new(), Backend::named("hello").await);
    let near = folder.at("near.sock");
    // Left behind by a server that is gone.
    drop(std::os::unix::net::UnixListener::bind(&near).unwrap());
    let mut bed = Bed::start().await;
    let mut web = at(&near, manager(json!({})));
    web["address"]["pipe"]["mode"] = 0o620.into();
    serve(&mut bed, cluster("a", &[backend.address]), web.clone()).await;

    assert_eq!(get(&near).await.text(), "hello");
    assert_eq!(std::fs::metadata(&near).unwrap().permissions().mode() & 0o777, 0o620);
    bed.remove(TypeUrl::Listener, &["web"]).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while Path::new(&near).exists() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the socket goes");
    serve(&mut bed, cluster("a", &[backend.address]), web).await;
    assert_eq!(get(&near).await.text(), "hello");
    bed.drain(Duration::from_secs(1)).await;
    assert!(!Path::new(&near).exists());
}

#[tokio::test]
async fn a_socket_somebody_else_listens_on_is_not_taken() {
    let folder = Folder::new();
    let near = folder.at("near.sock");
    let _other = UnixListener::bind(&near).unwrap();
    let mut bed = Bed::start().await;

    bed.apply(TypeUrl::Cluster, &[]).await;
    let rejects = bed.try_apply(TypeUrl::Listener, &[at(&near, proxy("a", json!({})))]).await;

    assert!(rejects[0].message.contains(&format!("cannot bind {near}")), "{rejects:?}");
}

#[tokio::test]
async fn an_endpoint_nobody_listens_behind_is_a_failed_connection() {
    let folder = Folder::new();
    let (near, gone) = (folder.at("near.sock"), folder.at("gone.sock"));
    let mut bed = Bed::start().await;
    serve(&mut bed, through(cluster("a", &[]), &gone), at(&near, manager(json!({})))).await;

    let answer = get(&near).await;

    assert_eq!(answer.status, 503);
    let line = &bed.log_lines(1).await[0];
    assert!(line.contains(" UF ") && line.contains(&format!("\"{gone}\" a - {near}")), "{line}");
}
