//! What the other files do not cover: names, mirrors, informational responses, a control plane by discovery.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use proto::Any;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use xds::{Caller, Connections, Feed, Served, Supply, Turned, TypeUrl};

use crate::backend::{Backend, Raw};
use crate::bed::{Bed, cluster, listener, manager, route_configuration, to};
use crate::client::{get, request, send};

#[tokio::test]
async fn an_unknown_host_is_resolved_by_a_dynamic_cluster() {
    let backend = Backend::named("found").await;
    let mut bed = Bed::start().await;
    bed.serve(&[], json!([to("/", "PassthroughCluster", json!({}))])).await;
    let dynamic = json!({
        "name": "PassthroughCluster",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.dynamic_forward_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
                "dns_cache_config": { "name": "cache" },
            },
        },
    });
    bed.apply(TypeUrl::Cluster, &[dynamic]).await;

    let uri = format!("http://{}/by/proxy", backend.address);
    let answer = send(bed.address(), request(&uri).body(Full::default()).unwrap()).await;

    assert_eq!(answer.text(), "found");
    let seen = backend.requests();
    assert_eq!(seen[0].head.uri.to_string(), "/by/proxy");
    assert_eq!(seen[0].head.headers["host"], backend.address.to_string());
}

#[tokio::test]
async fn names_of_a_cluster_are_resolved_and_served() {
    let backend = Backend::named("named").await;
    let mut bed = Bed::start().await;
    bed.serve(&[], json!([to("/", "c", json!({}))])).await;
    let mut named = cluster("c", &[backend.address]);
    named["type"] = "STRICT_DNS".into();
    named["dns_lookup_family"] = "V4_ONLY".into();
    named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] =
        "localhost".into();
    bed.apply(TypeUrl::Cluster, &[named]).await;

    let answered = tokio::time::timeout(Duration::from_secs(10), async {
        while get(bed.address(), "/").await.text() != "named" {
            tokio::task::yield_now().await;
        }
    });

    assert!(answered.await.is_ok());
}

#[tokio::test]
async fn a_mirror_gets_a_copy_with_the_body() {
    let (real, shadow) = (Backend::named("real").await, Backend::named("shadow").await);
    let mut bed = Bed::start().await;
    let mirrored = json!({ "request_mirror_policies": [{ "cluster": "shadow" }] });
    bed.serve(
        &[("real", &[real.address]), ("shadow", &[shadow.address])],
        json!([to("/", "real", mirrored)]),
    )
    .await;

    let body = Full::new(Bytes::from_static(b"copy me"));
    let answer = send(bed.address(), request("/").method(Method::POST).body(body).unwrap()).await;
    let copied = tokio::time::timeout(Duration::from_secs(10), async {
        while shadow.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    });

    assert!(copied.await.is_ok());
    let copy = shadow.requests().remove(0);
    assert_eq!((answer.text(), &*copy.body), ("real", &b"copy me"[..]));
    assert_eq!(copy.head.headers["host"], "tested.example-shadow");
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let backend = Backend::start(|seen| Response::new(Full::new(seen.body.clone()))).await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({}))])).await;

    let mut client = TcpStream::connect(bed.address()).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut go_on = [0; 25];
    client.read_exact(&mut go_on).await.unwrap();
    client.write_all(b"hi").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();

    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hi"), "{answer}");
}

#[tokio::test]
async fn responses_without_a_body_leave_the_connection_usable() {
    let backend = Raw::start(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[backend.address])], json!([to("/", "c", json!({}))])).await;

    let answer = send(bed.address(), request("/").method(Method::HEAD).body(Full::default()).unwrap()).await;

    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
}

#[tokio::test]
async fn a_refused_upload_is_answered_before_it_ends() {
    let mut bed = Bed::start().await;
    bed.serve(&[("c", &[])], json!([to("/", "c", json!({}))])).await;

    let mut client = TcpStream::connect(bed.address()).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 600000\r\n\r\n";
    client.write_all(head).await.unwrap();
    let _ = client.write_all(&vec![b'x'; 500_000]).await;
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
}

/// A control plane of fixed resources that may change.
struct Plane(Arc<Mutex<BTreeMap<TypeUrl, Vec<Value>>>>, watch::Sender<u64>);

struct PlaneFeed(BTreeMap<TypeUrl, Vec<Value>>, watch::Receiver<u64>);

fn name_of(resource: &Value) -> &str {
    resource.get("name").or(resource.get("cluster_name")).and_then(Value::as_str).unwrap()
}

fn served(ty: TypeUrl, resource: &Value) -> Arc<Served> {
    let mut typed = resource.clone();
    typed["@type"] = ty.as_str().into();
    let any: Any = proto::json::from_json(&typed).unwrap();
    Arc::new(Served::new(name_of(resource), &resource.to_string(), any))
}

impl Supply for Plane {
    fn open(&self, _: &Caller<'_>) -> Result<Box<dyn Feed>, Turned> {
        Ok(Box::new(PlaneFeed(self.0.lock().unwrap().clone(), self.1.subscribe())))
    }
}

impl Feed for PlaneFeed {
    fn all(&mut self, ty: TypeUrl) -> Vec<Arc<Served>> {
        self.0.get(&ty).into_iter().flatten().map(|resource| served(ty, resource)).collect()
    }

    fn named(&mut self, ty: TypeUrl, name: &str) -> Option<Arc<Served>> {
        self.0
            .get(&ty)?
            .iter()
            .find(|resource| name_of(resource) == name)
            .map(|resource| served(ty, resource))
    }

    fn refresh(&mut self) -> u64 {
        *self.1.borrow_and_update()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.1.clone()
    }
}

#[tokio::test]
async fn a_lost_control_plane_stops_nothing_and_is_found_again() {
    let backend = Backend::named("one").await;
    let resources = BTreeMap::from([
        (TypeUrl::Cluster, vec![cluster("c", &[backend.address])]),
        (TypeUrl::Listener, vec![listener("web", manager(json!({})))]),
        (TypeUrl::Route, vec![route_configuration(json!([to("/", "c", json!({}))]))]),
    ]);
    let plane = || Plane(Arc::new(Mutex::new(resources.clone())), watch::Sender::new(1));
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = first.local_addr().unwrap();
    let serving =
        tokio::spawn(xds::serve(first, Arc::new(plane()), Connections::default(), std::future::pending()));
    let Bed { machine, control, .. } = Bed::following(address).await;
    let machine = Arc::new(machine);
    let following = {
        let machine = Arc::clone(&machine);
        tokio::spawn(async move { machine.follow(control).await })
    };
    let readiness = machine.admin()[1];
    let live = async || {
        tokio::time::timeout(Duration::from_secs(10), async {
            while get(readiness, "/ready").await.text() != "LIVE\n" {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    };
    live().await;
    let web = machine.bound(crate::bed::ANY.parse().unwrap()).unwrap();

    serving.abort();
    let _ = serving.await;
    let without = get(web, "/").await;
    let connected = async |state: &str| {
        let wanted = format!("control_plane.connected_state: {state}\n");
        tokio::time::timeout(Duration::from_secs(10), async {
            while get(machine.admin()[0], "/stats?filter=connected_state").await.text() != wanted {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    };
    connected("0").await;
    let again = TcpListener::bind(address).await.unwrap();
    let serving =
        tokio::spawn(xds::serve(again, Arc::new(plane()), Connections::default(), std::future::pending()));
    connected("1").await;

    assert_eq!(without.text(), "one");
    assert_eq!(get(web, "/").await.text(), "one");
    following.abort();
    serving.abort();
}
