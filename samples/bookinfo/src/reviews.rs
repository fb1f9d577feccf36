//! `reviews`: what two readers say; v1 without stars, v2 with black ones, v3 with red ones.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::forward::forwarded;
use crate::reply::{self, Reply};
use crate::{Environment, client};

/// The readers and their words.
const REVIEWS: [(&str, &str); 2] = [
    (
        "Reviewer1",
        "Two pairs of twins, one long day, and not a dull page in it. I laughed out loud on the train.",
    ),
    (
        "Reviewer2",
        "Quick, warm and very funny. Do not look for the depth of the later plays; enjoy the mix-ups.",
    ),
];

/// The reviews service.
pub struct Reviews {
    client: Client,
    ratings: Option<String>,
    color: String,
    pod: String,
    cluster: String,
}

impl Reviews {
    /// The version the environment describes by `ENABLE_RATINGS` and `STAR_COLOR`.
    pub fn new(environment: &Environment) -> Self {
        let named = |name: Option<&str>| name.unwrap_or("null").to_owned();
        Self {
            client: Client::new(environment),
            ratings: environment.is_true("ENABLE_RATINGS").then(|| environment.authority("ratings")),
            color: environment.value("STAR_COLOR").unwrap_or("black").to_owned(),
            pod: named(environment.pod_name()),
            cluster: named(environment.value("CLUSTER_NAME")),
        }
    }

    /// Answers `/health` and `/reviews/ID`.
    pub async fn answer(&self, request: &Request<Bytes>) -> Reply {
        if request.method() != Method::GET {
            return reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET is served");
        }
        match request.uri().path() {
            "/health" => reply::json(StatusCode::OK, &json!({ "status": "Reviews is healthy" })),
            path => match path.strip_prefix("/reviews/").map(str::parse::<i32>) {
                Some(Ok(id)) => self.reviews(id, request).await,
                Some(Err(_)) => reply::refusal(StatusCode::BAD_REQUEST, "please provide numeric product ID"),
                None => reply::not_found(),
            },
        }
    }

    async fn reviews(&self, id: i32, request: &Request<Bytes>) -> Reply {
        let stars = match &self.ratings {
            Some(authority) => Some(self.stars(authority, id, request).await),
            None => None,
        };
        let reviews: Vec<Value> = REVIEWS
            .iter()
            .map(|&(reviewer, text)| {
                let mut review = json!({ "reviewer": reviewer, "text": text });
                if let Some(stars) = &stars {
                    review["rating"] = self.rating(stars.as_ref(), reviewer);
                }
                review
            })
            .collect();
        // The number goes out as text, as the sample's own service writes it.
        let document = json!({
            "id": id.to_string(), "podname": self.pod, "clustername": self.cluster, "reviews": reviews,
        });
        reply::json(StatusCode::OK, &document)
    }

    async fn stars(&self, authority: &str, id: i32, request: &Request<Bytes>) -> Option<Value> {
        let target = client::Target { authority, path: &format!("/ratings/{id}") };
        let answer = self.client.fetch(target, &forwarded(request.headers()), self.patience()).await;
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => serde_json::from_slice(&answer.body).ok(),
            Ok(answer) => {
                tracing::warn!(status = answer.status.as_u16(), "ratings refused");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "ratings cannot be asked");
                None
            }
        }
    }

    /// Black stars wait longer than productpage does, red ones shorter: the bug the fault injection lesson finds.
    fn patience(&self) -> Duration {
        Duration::from_millis(if self.color == "black" { 10_000 } else { 2_500 })
    }

    fn rating(&self, stars: Option<&Value>, reviewer: &str) -> Value {
        match stars.and_then(|stars| stars.get("ratings")?.get(reviewer)?.as_i64()) {
            Some(stars) => json!({ "stars": stars, "color": self.color }),
            None => json!({ "error": "Ratings service is currently unavailable" }),
        }
    }
}

#[cfg(test)]
mod tests;
