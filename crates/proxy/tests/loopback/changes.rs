//! New configuration while traffic flows, draining, and a control plane that is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use xds::TypeUrl;

use crate::backend::Backend;
use crate::bed::{ANY, Bed, assignment, cluster, listener, manager, route_configuration, to};
use crate::client::{get, request, send};

/// Sends requests over one kept connection until told to stop; how many, and how many were not answered with 200.
async fn load(address: std::net::SocketAddr, stop: Arc<AtomicBool>) -> (usize, usize) {
    let (mut sent, mut failed) = (0, 0);
    let mut sender = None;
    while !stop.load(Ordering::Relaxed) {
        let mut ready = match sender.take() {
            Some(ready) => ready,
            None => {
                let stream = TcpStream::connect(address).await.unwrap();
                let (fresh, driver) =
                    hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
                        .await
                        .unwrap();
                tokio::spawn(driver);
                fresh
            }
        };
        if ready.ready().await.is_err() {
            continue;
        }
        sent += 1;
        let request = Request::builder().uri("/").header("host", "a").body(Full::default()).unwrap();
        match ready.send_request(request).await {
            Ok(response) => {
                failed += usize::from(response.status() != 200);
                let closes = response.headers().get("connection").is_some_and(|c| c == "close");
                failed += usize::from(response.into_body().collect().await.is_err());
                sender = Some(ready).filter(|_| !closes);
            }
            Err(_) => failed += 1,
        }
    }
    (sent, failed)
}

#[tokio::test]
async fn no_request_fails_while_everything_changes() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut bed = Bed::start().await;
    bed.serve(&[("a", &[one.address]), ("b", &[two.address])], json!([to("/", "a", json!({}))])).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(bed.address(), Arc::clone(&stop)));

    for round in 0..60 {
        let name = if round % 2 == 0 { "b" } else { "a" };
        bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", name, json!({}))]))]).await;
        let expected = if name == "a" { "one" } else { "two" };
        assert_eq!(
            get(bed.address(), "/").await.text(),
            expected,
            "the first request after an acknowledgement follows it"
        );
        match round % 3 {
            0 => {
                bed.apply(TypeUrl::Cluster, &[cluster("a", &[one.address]), cluster("b", &[two.address])])
                    .await
            }
            1 => {
                bed.apply(
                    TypeUrl::Listener,
                    &[listener("web", manager(json!({ "via": format!("r{round}") })))],
                )
                .await
            }
            _ => bed.remove(TypeUrl::Cluster, &[if name == "a" { "b" } else { "a" }]).await,
        }
        if round % 3 == 2 {
            bed.apply(TypeUrl::Cluster, &[cluster("a", &[one.address]), cluster("b", &[two.address])]).await;
        }
    }
    stop.store(true, Ordering::Relaxed);

    let (sent, failed) = load.await.unwrap();
    assert!(sent > 0);
    assert_eq!(failed, 0);
}

#[tokio::test]
async fn a_removed_cluster_serves_until_no_route_names_it() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("a", &[backend.address])], json!([to("/", "a", json!({}))])).await;

    bed.remove(TypeUrl::Cluster, &["a"]).await;
    let still = get(bed.address(), "/").await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "b", json!({}))]))]).await;
    bed.apply(TypeUrl::Route, &[route_configuration(json!([to("/", "a", json!({}))]))]).await;
    let gone = get(bed.address(), "/").await;

    assert_eq!((still.text(), gone.status.as_u16()), ("one", 503));
}

#[tokio::test]
async fn a_request_waits_for_the_endpoints_of_a_new_cluster() {
    let backend = Backend::named("late").await;
    let mut bed = Bed::start().await;
    bed.serve(&[], json!([to("/", "c", json!({}))])).await;
    let eds = json!({ "name": "c", "type": "EDS", "eds_cluster_config": { "eds_config": { "ads": {} } } });
    bed.apply(TypeUrl::Cluster, &[eds]).await;

    let address = bed.address();
    let early = tokio::spawn(async move { get(address, "/").await });
    tokio::task::yield_now().await;
    bed.apply(TypeUrl::Endpoint, &[assignment("c", &[backend.address])]).await;

    assert_eq!(early.await.unwrap().text(), "late");
}

#[tokio::test]
async fn a_refused_resource_leaves_the_last_good_one_in_force() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("a", &[backend.address])], json!([to("/", "a", json!({}))])).await;

    let bad = json!([{ "match": { "prefix": "/" }, "route": { "weighted_clusters": { "clusters": [{ "name": "a", "weight": 0 }] } } }]);
    let rejects = bed.try_apply(TypeUrl::Route, &[route_configuration(bad)]).await;

    assert_eq!((rejects.len(), rejects[0].name.as_str()), (1, "routes"));
    assert_eq!(get(bed.address(), "/").await.text(), "one");
}

#[tokio::test]
async fn a_listener_whose_address_is_taken_is_refused_by_name() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bed = Bed::start().await;
    bed.apply(TypeUrl::Cluster, &[]).await;
    bed.apply(TypeUrl::Route, &[]).await;
    let mut listener =
        listener("web", manager(json!({ "rds": null, "route_config": route_configuration(json!([])) })));
    listener["address"]["socket_address"]["port_value"] = taken.local_addr().unwrap().port().into();

    let rejects = bed.try_apply(TypeUrl::Listener, &[listener]).await;

    assert_eq!((rejects.len(), rejects[0].name.as_str()), (1, "web"));
    assert!(rejects[0].message.contains("Address already in use"), "{}", rejects[0].message);
}

#[tokio::test]
async fn a_removed_listener_finishes_what_it_began() {
    let backend = Backend::start(|_| Response::new(Full::new(Bytes::from(vec![b'x'; 8 << 20])))).await;
    let mut bed = Bed::start().await;
    bed.serve(&[("a", &[backend.address])], json!([to("/", "a", json!({}))])).await;
    let address = bed.address();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let response = sender.send_request(request("/").body(Full::<Bytes>::default()).unwrap()).await.unwrap();

    bed.remove(TypeUrl::Listener, &["web"]).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();

    assert_eq!(body.len(), 8 << 20);
    assert!(bed.machine.bound(ANY.parse().unwrap()).is_none());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn draining_lets_exchanges_finish_and_takes_no_new_ones() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waiting);
    let backend = Backend::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Response::new(Full::new(Bytes::from_static(b"done")))
    })
    .await;
    let mut bed = Bed::start().await;
    let mut delayed = to("/", "a", json!({}));
    delayed["typed_per_filter_config"] = json!({ "envoy.filters.http.fault": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "delay": { "fixed_delay": "0.3s", "percentage": { "numerator": 100 } },
    } });
    bed.serve(&[("a", &[backend.address])], json!([delayed])).await;
    let address = bed.address();
    let exchange =
        tokio::spawn(async move { send(address, request("/").body(Full::default()).unwrap()).await });
    let stats = bed.machine.admin()[0];
    while !get(stats, "/stats?filter=web.downstream_rq_active").await.text().contains(": 1") {
        tokio::task::yield_now().await;
    }

    bed.machine.drain(Duration::from_secs(10)).await;

    let answer = exchange.await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("done", "close"));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_admin_tells_what_is_in_force() {
    let backend = Backend::named("one").await;
    let mut bed = Bed::start().await;
    let [admin, readiness, metrics] = bed.machine.admin();
    let before = get(readiness, "/healthz/ready").await;
    bed.serve(&[("a", &[backend.address])], json!([to("/", "a", json!({}))])).await;
    get(bed.address(), "/").await;
    bed.log_lines(1).await;

    assert_eq!((before.status.as_u16(), before.text()), (503, "PRE_INITIALIZING\n"));
    assert_eq!(get(readiness, "/healthz/ready").await.text(), "LIVE\n");
    let dump = get(admin, "/config_dump?include_eds").await;
    assert!(
        dump.text().contains("\"route_config_name\": \"routes\"") && dump.text().contains("InertFiltersDump"),
        "{}",
        dump.text()
    );
    assert!(get(admin, "/clusters").await.text().contains(&format!("a::{}::rq_total::1", backend.address)));
    assert!(get(admin, "/clusters?format=json").await.text().contains("\"cluster_statuses\""));
    assert!(get(admin, "/listeners").await.text().starts_with(&format!("web::{}", bed.address())));
    assert!(get(admin, "/stats").await.text().contains("cluster.a.upstream_rq_total: 1\n"));
    assert!(get(admin, "/server_info").await.text().contains("\"state\": \"LIVE\""));
    assert!(get(metrics, "/stats/prometheus").await.text().contains("istio_requests_total{"));
    assert_eq!(get(admin, "/quitquitquit").await.status.as_u16(), 405);
    assert_eq!(get(admin, "/nothing").await.status.as_u16(), 404);
}
