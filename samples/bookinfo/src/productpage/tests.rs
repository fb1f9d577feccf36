#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::server::get;

/// A proxy that answers for every service behind the page and keeps what it was asked.
struct Mesh {
    address: String,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    _serving: JoinSet<()>,
}

impl Mesh {
    async fn answering(answer: fn(&str) -> (StatusCode, Value)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let mut serving = JoinSet::new();
        let kept = Arc::clone(&asked);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    kept.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
                    let (status, document) = answer(&request.uri().to_string());
                    let mut response = http::Response::new(Full::new(Bytes::from(document.to_string())));
                    *response.status_mut() = status;
                    async move { Ok::<_, std::convert::Infallible>(response) }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, asked, _serving: serving }
    }

    fn page(&self) -> Productpage {
        Productpage::new(&Environment::from([("HTTP_PROXY", self.address.as_str())]))
    }

    fn count(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(uri, _)| uri.contains(part)).count()
    }
}

fn whole(uri: &str) -> (StatusCode, Value) {
    let document = if uri.contains("reviews") {
        json!({ "id": "0", "podname": "reviews-v2-xyz", "clustername": "null", "reviews": [
            { "reviewer": "Reviewer1", "text": "Fun.", "rating": { "stars": 5, "color": "black" } },
        ] })
    } else {
        json!({ "id": 0, "author": "William Shakespeare", "pages": 200 })
    };
    (StatusCode::OK, document)
}

fn broken(_: &str) -> (StatusCode, Value) {
    (StatusCode::SERVICE_UNAVAILABLE, json!("no"))
}

async fn body(reply: Reply) -> String {
    String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn the_page_shows_who_served_the_reviews() {
    let mesh = Mesh::answering(whole).await;

    let page = body(mesh.page().answer(&get("/productpage")).await).await;

    assert!(page.contains("Reviews served by: <code>reviews-v2-xyz</code>"), "{page}");
    assert!(page.contains("data-stars=5") && page.contains("William Shakespeare") && page.contains("200"));
}

#[tokio::test]
async fn who_is_logged_in_and_the_trace_travel_on() {
    let mesh = Mesh::answering(whole).await;
    let mut request = get("/productpage");
    request.headers_mut().insert("cookie", HeaderValue::from_static("a=b; session=jason"));
    request.headers_mut().insert("traceparent", HeaderValue::from_static("00-1-2-01"));
    request.headers_mut().insert("end-user", HeaderValue::from_static("mallory"));

    let page = body(mesh.page().answer(&request).await).await;

    assert!(page.contains("jason") && page.contains("/logout"));
    let asked = mesh.asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    for (uri, headers) in asked.iter() {
        assert_eq!(headers["end-user"], "jason", "{uri}");
        assert_eq!(headers["traceparent"], "00-1-2-01", "{uri}");
    }
}

#[tokio::test]
async fn reviews_are_asked_twice_before_the_page_goes_without() {
    let mesh = Mesh::answering(broken).await;

    let reply = mesh.page().answer(&get("/productpage")).await;

    assert_eq!(reply.status(), StatusCode::OK);
    let page = body(reply).await;
    assert!(page.contains("Sorry, product reviews are currently unavailable for this book."), "{page}");
    assert!(page.contains("Sorry, product details are currently unavailable for this book."), "{page}");
    assert_eq!((mesh.count("/reviews/"), mesh.count("/details/")), (2, 1));
}

#[tokio::test]
async fn the_rest_interface_passes_on_documents_and_statuses() {
    let mesh = Mesh::answering(whole).await;
    let page = mesh.page();

    let product = page.answer(&get("/api/v1/products/0")).await;
    let bad = page.answer(&get("/api/v1/products/x")).await;
    let products: Value =
        serde_json::from_str(&body(page.answer(&get("/api/v1/products")).await).await).unwrap();

    assert_eq!(product.status(), StatusCode::OK);
    assert!(body(product).await.contains("\"pages\":200"));
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert_eq!(products[0]["id"], 0);
    let refusing = Mesh::answering(broken).await;
    let refused = refusing.page().answer(&get("/api/v1/products/0/ratings")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_flood_asks_reviews_that_many_times_more() {
    let mesh = Mesh::answering(whole).await;
    let page =
        Productpage::new(&Environment::from([("HTTP_PROXY", mesh.address.as_str()), ("FLOOD_FACTOR", "5")]));

    page.answer(&get("/productpage")).await;

    assert_eq!(mesh.count("/reviews/"), 6);
}

#[tokio::test]
async fn health_and_unknown_paths_answer_at_once() {
    let page = Productpage::new(&Environment::default());

    assert_eq!(body(page.answer(&get("/health")).await).await, "Product page is healthy");
    assert_eq!(page.answer(&get("/nowhere")).await.status(), StatusCode::NOT_FOUND);
    assert!(body(page.answer(&get("/")).await).await.contains("/productpage"));
}

#[tokio::test]
async fn a_client_cannot_say_who_it_is() {
    let mesh = Mesh::answering(whole).await;
    let mut request = get("/productpage");
    request.headers_mut().insert("end-user", HeaderValue::from_static("jason"));

    mesh.page().answer(&request).await;

    assert!(mesh.asked.lock().unwrap().iter().all(|(_, headers)| !headers.contains_key("end-user")));
}
