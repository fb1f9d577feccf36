//! TLS of both sides.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use net::tls::{Client, TlsError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xds::TypeUrl;

use crate::backend::Backend;
use crate::bed::{Bed, cluster, listener, manager, route_configuration, to};
use crate::client::{Answer, get, over};
use crate::pki::{Authority, Issued, downstream, tls_inspector, upstream};

/// An HTTP filter chain behind TLS.
fn chain(names: &[&str], tls: Value, more: Value) -> Value {
    let mut chain = json!({
        "filters": [{ "name": "http", "typed_config": manager(more) }],
        "transport_socket": tls,
    });
    if !names.is_empty() {
        chain["filter_chain_match"] = json!({ "server_names": names });
    }
    chain
}

fn with_chains(chains: &[Value]) -> Value {
    let mut web = listener("web", json!({}));
    web["listener_filters"] = json!([tls_inspector()]);
    web["filter_chains"] = json!(chains);
    web
}

async fn serve(bed: &mut Bed, chains: &[Value], backend: SocketAddr) {
    bed.apply(TypeUrl::Cluster, &[cluster("a", &[backend])]).await;
    bed.apply(TypeUrl::Listener, &[with_chains(chains)]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "a", json!({}))]))]).await;
}

/// Asks over TLS for `/`.
async fn ask(address: SocketAddr, client: &Arc<Client>, name: &str) -> Result<Answer, String> {
    let socket = TcpStream::connect(address).await.unwrap();
    let io = client.connect(socket, Some(name), None).await.map_err(|e: TlsError| e.to_string())?;
    let request = Request::builder().uri("/").header("host", name).body(Full::default()).unwrap();
    over(io, request).await
}

fn plain(certificate: &Issued) -> Value {
    json!({ "tls_certificates": [certificate.inline()], "alpn_protocols": ["h2", "http/1.1"] })
}

fn mutual(certificate: &Issued, roots: &Authority, more: Value) -> Value {
    let mut validation = json!({ "trusted_ca": { "inline_string": roots.pem() } });
    for (name, value) in more.as_object().unwrap() {
        validation[name] = value.clone();
    }
    json!({ "tls_certificates": [certificate.inline()], "validation_context": validation })
}

#[tokio::test]
async fn the_name_a_client_asks_for_chooses_chain_and_certificate() {
    let authority = Authority::new();
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let (one, two) = (authority.host("one.example"), authority.host("two.example"));
    let chains = [
        chain(&["one.example"], downstream(plain(&one), false), json!({ "via": "one" })),
        chain(&["two.example"], downstream(plain(&two), false), json!({ "via": "two" })),
    ];
    serve(&mut bed, &chains, backend.address).await;

    for (protocols, name) in [(vec!["http/1.1"], "one"), (vec!["h2"], "two"), (vec!["strange"], "one")] {
        let client = authority.client(None, &protocols);
        let answer = ask(bed.address(), &client, &format!("{name}.example")).await.unwrap();
        assert_eq!((answer.text(), answer.header("via")), ("hello", name));
    }
    assert!(ask(bed.address(), &authority.client(None, &[]), "three.example").await.is_err());
    let seen = backend.requests();
    assert!(seen.iter().all(|seen| seen.head.headers["x-forwarded-proto"] == "https"));
}

#[tokio::test]
async fn a_client_that_must_show_a_certificate_is_known_by_it() {
    let authority = Authority::new();
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let own = authority.spiffe("spiffe://td/ns/a/sa/gateway", 3);
    let tls = downstream(mutual(&own, &authority, json!({})), true);
    let more = json!({
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": { "subject": true, "uri": true, "dns": true },
    });
    serve(&mut bed, &[chain(&[], tls, more)], backend.address).await;
    let id = authority.spiffe("spiffe://td/ns/b/sa/client", 4);

    assert!(ask(bed.address(), &authority.client(None, &[]), "gateway").await.is_err());
    let stranger = Authority::new().spiffe("spiffe://td/ns/b/sa/client", 5);
    assert!(ask(bed.address(), &authority.client(Some(&stranger), &[]), "gateway").await.is_err());
    let answer = ask(bed.address(), &authority.client(Some(&id), &[]), "gateway").await.unwrap();

    assert_eq!(answer.status, 200);
    let seen = backend.requests();
    let header = seen[0].head.headers["x-forwarded-client-cert"].to_str().unwrap();
    let (start, rest) = header.split_once(";Hash=").unwrap();
    assert_eq!(start, "By=spiffe://td/ns/a/sa/gateway");
    assert_eq!(rest.split_at(64).1, ";Subject=\"CN=leaf,O=weft\";URI=spiffe://td/ns/b/sa/client");
}

#[tokio::test]
async fn an_optional_certificate_may_be_left_out_but_not_be_wrong() {
    let authority = Authority::new();
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let own = authority.host("shop.example");
    let names = json!({
        "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "prefix": "spiffe://td/" } }],
        "crl": { "inline_string": authority.revoking(9) },
    });
    let tls = downstream(mutual(&own, &authority, names), false);
    serve(&mut bed, &[chain(&[], tls, json!({}))], backend.address).await;
    let known = |id: &Issued| authority.client(Some(id), &[]);
    let address = bed.address();

    assert!(ask(address, &authority.client(None, &[]), "shop.example").await.is_ok());
    assert!(ask(address, &known(&authority.spiffe("spiffe://td/a", 1)), "shop.example").await.is_ok());
    assert!(ask(address, &known(&authority.spiffe("spiffe://other/a", 2)), "shop.example").await.is_err());
    assert!(ask(address, &known(&authority.spiffe("spiffe://td/a", 9)), "shop.example").await.is_err());
}

#[tokio::test]
async fn a_changed_certificate_file_is_shown_and_open_connections_go_on() {
    let authority = Authority::new();
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (chain_path, key_path) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let put = |issued: &Issued| {
        std::fs::write(&chain_path, &issued.chain).unwrap();
        std::fs::write(&key_path, &issued.key).unwrap();
    };
    put(&authority.host("old.example"));
    let files = json!({ "tls_certificates": [{
        "certificate_chain": { "filename": chain_path.to_str().unwrap() },
        "private_key": { "filename": key_path.to_str().unwrap() },
    }] });
    serve(&mut bed, &[chain(&[], downstream(files, false), json!({}))], backend.address).await;
    let shown = async |client: &Arc<Client>| {
        let socket = TcpStream::connect(bed.address()).await.unwrap();
        let io = client.connect(socket, None, None).await.ok()?;
        net::tls::Peer::read(&io.peer_certificates()[0]).map(|peer| (peer.dns.concat(), io))
    };
    let client = authority.client(None, &[]);
    let (name, mut open) = shown(&client).await.unwrap();
    assert_eq!(name, "old.example");

    put(&authority.host("new.example"));
    let changed = async {
        while shown(&client).await.is_none_or(|(name, _)| name != "new.example") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, changed).await.unwrap();

    open.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    // The proxy may end the connection without a word of TLS.
    let _ = open.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_chain_whose_secret_has_not_come_refuses_until_it_comes() {
    let authority = Authority::new();
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let by_name = json!({ "tls_certificate_sds_secret_configs": [{
        "name": "kubernetes://shop", "sds_config": { "ads": {} },
    }] });
    serve(&mut bed, &[chain(&[], downstream(by_name, false), json!({}))], backend.address).await;
    let client = authority.client(None, &[]);
    assert!(ask(bed.address(), &client, "shop.example").await.is_err());

    let secret = json!({
        "name": "kubernetes://shop",
        "tls_certificate": authority.host("shop.example").inline(),
    });
    bed.apply(TypeUrl::Secret, &[secret]).await;

    assert_eq!(ask(bed.address(), &client, "shop.example").await.unwrap().status, 200);
}

/// Routes plain HTTP to a cluster behind TLS.
async fn forward(bed: &mut Bed, backend: SocketAddr, tls: Value, http2: bool) {
    let mut secured =
        if http2 { crate::bed::cluster_http2("a", &[backend]) } else { cluster("a", &[backend]) };
    secured["transport_socket"] = tls;
    bed.apply(TypeUrl::Cluster, &[secured]).await;
    bed.apply(TypeUrl::Listener, &[listener("web", manager(json!({})))]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "a", json!({}))]))]).await;
}

fn trusting(authority: &Authority, san: &str) -> Value {
    json!({ "validation_context": {
        "trusted_ca": { "inline_string": authority.pem() },
        "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": san } }],
    } })
}

#[tokio::test]
async fn a_request_goes_on_by_tls_to_whom_the_cluster_trusts() {
    let authority = Authority::new();
    let server = authority.server(&authority.host("bank.example"), false, &[]);
    let answer = |_: &crate::backend::Seen| Response::new(Full::new(Bytes::from_static(b"hello")));
    let backend = Backend::secured(server, answer).await;
    let mut bed = Bed::start().await;

    forward(
        &mut bed,
        backend.address,
        upstream(trusting(&authority, "bank.example"), json!({ "sni": "bank.example" })),
        false,
    )
    .await;
    assert_eq!(get(bed.address(), "/").await.text(), "hello");
    assert_eq!(backend.names(), ["bank.example"]);

    forward(&mut bed, backend.address, upstream(trusting(&authority, "shop.example"), json!({})), false)
        .await;
    let refused = get(bed.address(), "/").await;

    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.text(),
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
    );
    let line = &bed.log_lines(2).await[1];
    let why =
        "CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_SAN_matcher,_certificate_SANs_are_[bank.example]";
    assert!(line.contains(" UF ") && line.contains(why), "{line}");
}

#[tokio::test]
async fn a_server_that_asks_is_shown_the_clusters_certificate_over_http2() {
    let authority = Authority::new();
    let server = authority.server(&authority.host("bank.example"), true, &["h2"]);
    let backend = Backend::secured(server, |seen| {
        Response::new(Full::new(Bytes::from(format!("{:?}", seen.head.version))))
    })
    .await;
    let mut bed = Bed::start().await;
    let mut common = trusting(&authority, "bank.example");
    common["tls_certificates"] = json!([authority.spiffe("spiffe://td/a", 1).inline()]);
    common["alpn_protocols"] = json!(["h2"]);

    forward(&mut bed, backend.address, upstream(common, json!({})), true).await;

    assert_eq!(get(bed.address(), "/").await.text(), "HTTP/2.0");
}

#[tokio::test]
async fn the_host_of_a_request_is_the_server_that_is_asked_for_and_http_is_agreed_on() {
    let authority = Authority::new();
    let version = |seen: &crate::backend::Seen| {
        Response::new(Full::new(Bytes::from(format!("{:?}", seen.head.version))))
    };
    let new =
        Backend::secured(authority.server(&authority.host("shop.example"), false, &["h2"]), version).await;
    let old = Backend::secured(authority.server(&authority.host("shop.example"), false, &[]), version).await;
    let trusted = json!({ "validation_context": { "trusted_ca": { "inline_string": authority.pem() } } });
    let options = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "upstream_http_protocol_options": { "auto_sni": true, "auto_san_validation": true },
        "auto_config": {},
    } });

    for (backend, expected) in [(&new, "HTTP/2.0"), (&old, "HTTP/1.1")] {
        let mut bed = Bed::start().await;
        let mut secured = cluster("a", &[backend.address]);
        secured["transport_socket"] = upstream(trusted.clone(), json!({}));
        secured["typed_extension_protocol_options"] = options.clone();
        bed.apply(TypeUrl::Cluster, &[secured]).await;
        bed.apply(TypeUrl::Listener, &[listener("web", manager(json!({})))]).await;
        bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "a", json!({}))]))]).await;
        let ask = async |host: &str| {
            let request = Request::builder().uri("/").header("host", host).body(Full::default()).unwrap();
            crate::client::send(bed.address(), request).await
        };

        assert_eq!(ask("shop.example:8080").await.text(), expected);
        assert_eq!(ask("bank.example").await.status, 503);
        assert_eq!(backend.names()[0], "shop.example");
    }
}

#[tokio::test]
async fn certificates_in_use_are_told_without_their_keys() {
    let authority = Authority::new();
    let backend = Backend::named("hello").await;
    let mut bed = Bed::start().await;
    let own = authority.host("shop.example");
    let tls = downstream(mutual(&own, &authority, json!({})), true);
    serve(&mut bed, &[chain(&[], tls, json!({}))], backend.address).await;

    let told = get(bed.machine.admin()[0], "/certs").await;

    let told: Value = serde_json::from_slice(&told.body).unwrap();
    let names = &told["certificates"][0]["cert_chain"][0]["subject_alt_names"];
    assert_eq!(names, &json!([{ "dns": "shop.example" }]));
    assert_eq!(told["certificates"][0]["ca_cert"].as_array().unwrap().len(), 1);
    assert!(!told.to_string().contains("PRIVATE"));
    let dump = get(bed.machine.admin()[0], "/config_dump").await;
    assert!(dump.text().contains("[redacted]") && !dump.text().contains("PRIVATE"));
}
