#![allow(clippy::unwrap_used)]

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::*;

type NoBody = Empty<Bytes>;

async fn backend(http2: bool) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service =
                service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello")))) });
            let io = TokioIo::new(socket);
            tokio::task::spawn_local(async move {
                if http2 {
                    let _ = hyper::server::conn::http2::Builder::new(LocalExec)
                        .serve_connection(io, service)
                        .await;
                } else {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                }
            });
        }
    });
    Target { way: Way::to(address), http: if http2 { Http::V2 } else { Http::V1 } }
}

async fn exchange(shelf: &Rc<Shelf<NoBody>>) -> bool {
    let mut lease = match shelf.take() {
        Some(lease) => lease,
        None => shelf.open(Opening::within(Duration::from_secs(5), || ())).await.unwrap(),
    };
    let request = Request::builder().uri("http://a/").header("host", "a").body(NoBody::new()).unwrap();
    lease.send(request).await.unwrap();
    let body = (&mut lease).collect().await.unwrap().to_bytes();
    assert_eq!(body, "hello");
    let reused = lease.is_reused();
    lease.release(Keep::default());
    reused
}

#[tokio::test]
async fn a_connection_is_used_again() {
    LocalSet::new()
        .run_until(async {
            for http2 in [false, true] {
                let target = backend(http2).await;
                let pool = Pool::default();
                let shelf = pool.shelf("c", &target);

                let first = exchange(&shelf).await;
                let second = exchange(&shelf).await;

                assert_eq!((first, second), (false, true), "http2: {http2}");
            }
        })
        .await;
}

#[tokio::test]
async fn nobody_listening_is_a_failure_to_connect() {
    LocalSet::new()
        .run_until(async {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let pool: Pool<NoBody> = Pool::default();

            let shelf = pool.shelf("c", &Target { way: Way::to(gone), http: Http::V1 });

            assert!(matches!(
                shelf.open(Opening::within(Duration::from_secs(5), || ())).await,
                Err(ConnectError::Failed(_))
            ));
        })
        .await;
}

#[tokio::test]
async fn a_target_nobody_wants_keeps_no_connection() {
    LocalSet::new()
        .run_until(async {
            let target = backend(false).await;
            let pool = Pool::default();
            exchange(&pool.shelf("c", &target)).await;
            assert_eq!(pool.held(), 1);

            pool.sweep(|_, _| None);

            assert_eq!(pool.held(), 0);
        })
        .await;
}
