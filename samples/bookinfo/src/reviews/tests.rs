#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::Role;
use crate::server::{self, Stop, get};

async fn ask(reviews: &Reviews) -> Value {
    let answer = reviews.answer(&get("/reviews/0")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn with_ratings_at(port: u16, color: &str) -> Reviews {
    Reviews::new(&Environment::from([
        ("ENABLE_RATINGS", "true"),
        ("STAR_COLOR", color),
        ("RATINGS_HOSTNAME", "127.0.0.1"),
        ("RATINGS_SERVICE_PORT", &port.to_string()),
        ("HOSTNAME", "reviews-v3-abc"),
    ]))
}

#[tokio::test]
async fn the_first_version_has_no_stars() {
    let answer = ask(&Reviews::new(&Environment::from([("POD_NAME", "reviews-v1-abc")]))).await;

    assert_eq!(answer["podname"], "reviews-v1-abc");
    assert_eq!(answer["id"], "0");
    assert_eq!(answer["reviews"].as_array().unwrap().len(), 2);
    assert!(answer["reviews"][0].get("rating").is_none());
}

#[tokio::test]
async fn stars_come_from_ratings_in_the_versions_colour() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_stop, told) = watch::channel(false);
    let ratings = Role::named("ratings", &Environment::default()).unwrap();
    tokio::spawn(server::serve(listener, Arc::new(ratings), Stop::on(told)));

    let answer = ask(&with_ratings_at(port, "red")).await;

    assert_eq!(answer["reviews"][0]["rating"], json!({ "stars": 5, "color": "red" }));
    assert_eq!(answer["reviews"][1]["rating"], json!({ "stars": 4, "color": "red" }));
}

#[tokio::test]
async fn without_ratings_the_reviews_say_so() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();

    let answer = ask(&with_ratings_at(closed, "black")).await;

    assert_eq!(answer["reviews"][1]["rating"]["error"], "Ratings service is currently unavailable");
}

#[test]
fn black_stars_wait_longer_than_the_page_does() {
    assert_eq!(with_ratings_at(1, "black").patience(), Duration::from_secs(10));
    assert_eq!(with_ratings_at(1, "red").patience(), Duration::from_millis(2500));
}
