//! `ratings`: stars per reader; a version may be told to misbehave.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::Environment;
use crate::reply::{self, Reply};

/// How long every second answer of a delayed version takes.
const DELAY: Duration = Duration::from_secs(7);

/// How long an unavailable version is up, and then down.
const UNAVAILABLE_SPELL: Duration = Duration::from_secs(60);

/// How long an unhealthy version is up, and then down.
const UNHEALTHY_SPELL: Duration = Duration::from_secs(15 * 60);

/// How many products may have ratings of their own.
const POSTED_LIMIT: usize = 1000;

/// How a version behaves, told by `SERVICE_VERSION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temper {
    /// Every second answer comes late (`v-delayed`).
    Delayed,
    /// Every second answer is a 503 (`v-faulty`).
    Faulty,
    /// Answers at once.
    Good,
    /// A minute of answers, a minute of 503 (`v-unavailable`).
    Unavailable,
    /// As unavailable, in spells of a quarter of an hour, and says so at `/health` (`v-unhealthy`).
    Unhealthy,
}

/// The ratings service.
pub struct Ratings {
    temper: Temper,
    started: Instant,
    asked: AtomicU64,
    posted: Mutex<BTreeMap<i32, Value>>,
}

impl Ratings {
    /// The version the environment names.
    pub fn new(environment: &Environment) -> Self {
        let temper = match environment.value("SERVICE_VERSION") {
            Some("v-delayed") => Temper::Delayed,
            Some("v-faulty") => Temper::Faulty,
            Some("v-unavailable") => Temper::Unavailable,
            Some("v-unhealthy") => Temper::Unhealthy,
            _ => Temper::Good,
        };
        Self { temper, started: Instant::now(), asked: AtomicU64::new(0), posted: Mutex::default() }
    }

    /// Answers `/health` and `/ratings/ID`; a POST there replaces what one product is rated.
    pub async fn answer(&self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        if path == "/health" {
            return self.health();
        }
        let Some(id) = path.strip_prefix("/ratings/") else { return reply::not_found() };
        let Ok(id) = id.parse::<i32>() else {
            return reply::refusal(StatusCode::BAD_REQUEST, "please provide numeric product ID");
        };
        match *request.method() {
            Method::GET => self.rating(id).await,
            Method::POST => self.post(id, request.body()),
            _ => reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are served"),
        }
    }

    fn health(&self) -> Reply {
        if self.temper == Temper::Unhealthy && self.is_down(UNHEALTHY_SPELL) {
            let sick = json!({ "status": "Ratings is not healthy" });
            return reply::json(StatusCode::INTERNAL_SERVER_ERROR, &sick);
        }
        reply::json(StatusCode::OK, &json!({ "status": "Ratings is healthy" }))
    }

    async fn rating(&self, id: i32) -> Reply {
        let second = self.asked.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        let down = match self.temper {
            Temper::Good => false,
            Temper::Delayed => {
                if second {
                    tokio::time::sleep(DELAY).await;
                }
                false
            }
            Temper::Faulty => second,
            Temper::Unavailable => self.is_down(UNAVAILABLE_SPELL),
            Temper::Unhealthy => self.is_down(UNHEALTHY_SPELL),
        };
        if down {
            return reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable");
        }
        let posted = self.posted.lock().ok().and_then(|posted| posted.get(&id).cloned());
        let ratings = posted.unwrap_or_else(|| json!({ "Reviewer1": 5, "Reviewer2": 4 }));
        reply::json(StatusCode::OK, &json!({ "id": id, "ratings": ratings }))
    }

    fn post(&self, id: i32, body: &[u8]) -> Reply {
        let Ok(ratings @ Value::Object(_)) = serde_json::from_slice(body) else {
            return reply::refusal(StatusCode::BAD_REQUEST, "please provide valid ratings JSON");
        };
        if let Ok(mut posted) = self.posted.lock()
            && (posted.len() < POSTED_LIMIT || posted.contains_key(&id))
        {
            posted.insert(id, ratings.clone());
        }
        reply::json(StatusCode::OK, &json!({ "id": id, "ratings": ratings }))
    }

    /// Whether this moment lies in an odd spell since the start.
    fn is_down(&self, spell: Duration) -> bool {
        (self.started.elapsed().as_secs() / spell.as_secs()) % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::server::get;

    async fn body(reply: Reply) -> Value {
        let bytes = reply.into_body().collect().await.expect("invariant: the body is whole").to_bytes();
        serde_json::from_slice(&bytes).expect("invariant: the service answers in JSON")
    }

    #[tokio::test]
    async fn two_readers_rate_every_book() {
        let ratings = Ratings::new(&Environment::default());

        let answer = body(ratings.answer(&get("/ratings/7")).await).await;

        assert_eq!(answer, json!({ "id": 7, "ratings": { "Reviewer1": 5, "Reviewer2": 4 } }));
    }

    #[tokio::test]
    async fn posted_ratings_are_kept() {
        let ratings = Ratings::new(&Environment::default());
        let post = |body: &'static str| {
            Request::post("/ratings/1")
                .body(Bytes::from(body))
                .expect("invariant: the request is well formed")
        };

        let refused = ratings.answer(&post("[1]")).await;
        ratings.answer(&post(r#"{"Reviewer1":1}"#)).await;
        let kept = body(ratings.answer(&get("/ratings/1")).await).await;

        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(kept, json!({ "id": 1, "ratings": { "Reviewer1": 1 } }));
    }

    #[tokio::test]
    async fn a_faulty_version_fails_every_second_time() {
        let ratings = Ratings::new(&Environment::from([("SERVICE_VERSION", "v-faulty")]));

        let first = ratings.answer(&get("/ratings/0")).await.status();
        let second = ratings.answer(&get("/ratings/0")).await.status();

        assert_eq!((first, second), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
    }

    #[tokio::test]
    async fn an_id_that_is_no_number_is_refused() {
        let ratings = Ratings::new(&Environment::default());

        assert_eq!(ratings.answer(&get("/ratings/x")).await.status(), StatusCode::BAD_REQUEST);
        assert_eq!(ratings.answer(&get("/")).await.status(), StatusCode::NOT_FOUND);
    }
}
