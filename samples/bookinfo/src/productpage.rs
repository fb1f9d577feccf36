//! `productpage`: the page a browser shows, put together from details and reviews.

pub mod page;
pub mod session;

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::Environment;
use crate::client::{Answer, Client, Target};
use crate::forward::forwarded;
use crate::reply::{self, Reply};

/// How long the page waits for any other service.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often reviews are asked before the page goes without them.
const REVIEW_TRIES: usize = 2;

/// The most extra requests `FLOOD_FACTOR` may ask for.
const FLOOD_LIMIT: usize = 1000;

const END_USER: HeaderName = HeaderName::from_static("end-user");

/// What another service said, or the words that stand in for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The status it answered with, 500 where it did not.
    pub status: StatusCode,
    /// Its document, or one with a field `error`.
    pub document: Value,
}

/// The productpage service.
pub struct Productpage {
    client: Client,
    details: String,
    ratings: String,
    reviews: String,
    flood: usize,
}

impl Productpage {
    /// The service the environment describes.
    pub fn new(environment: &Environment) -> Self {
        let flood = environment.value("FLOOD_FACTOR").and_then(|factor| factor.parse().ok()).unwrap_or(0);
        Self {
            client: Client::new(environment),
            details: environment.authority("details"),
            ratings: environment.authority("ratings"),
            reviews: environment.authority("reviews"),
            flood: FLOOD_LIMIT.min(flood),
        }
    }

    /// Answers the browser and the REST clients.
    pub async fn answer(&self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::POST, "/login") => session::login(request),
            (&Method::GET, "/logout") => session::logout(request),
            (&Method::GET, "/" | "/index.html") => reply::html(page::index()),
            (&Method::GET, "/health") => reply::text(StatusCode::OK, "Product page is healthy"),
            (&Method::GET, "/productpage") => self.page(request).await,
            (&Method::GET, "/api/v1/products") => reply::json(StatusCode::OK, &json!([product()])),
            (&Method::GET, _) => match path.strip_prefix("/api/v1/products/") {
                Some(rest) => self.product(rest, request).await,
                None => reply::not_found(),
            },
            _ => reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here"),
        }
    }

    async fn page(&self, request: &Request<Bytes>) -> Reply {
        let headers = outgoing(request);
        self.flood_reviews(&headers).await;
        let (details, reviews) = tokio::join!(self.details(0, &headers), self.reviews(0, &headers));
        let user = session::user(request.headers());
        reply::html(page::product(&product(), &details, &reviews, user.as_deref()))
    }

    async fn product(&self, rest: &str, request: &Request<Bytes>) -> Reply {
        let headers = outgoing(request);
        let (id, what) = rest.split_once('/').map_or((rest, None), |(id, what)| (id, Some(what)));
        let Ok(id) = id.parse::<i32>() else {
            return reply::refusal(StatusCode::BAD_REQUEST, "please provide numeric product id");
        };
        let part = match what {
            None => self.details(id, &headers).await,
            Some("ratings") => self.ratings(id, &headers).await,
            Some("reviews") => self.reviews(id, &headers).await,
            Some(_) => return reply::not_found(),
        };
        reply::json(part.status, &part.document)
    }

    async fn details(&self, id: i32, headers: &HeaderMap) -> Part {
        let path = format!("/details/{id}");
        self.part(Target { authority: &self.details, path: &path }, headers)
            .await
            .unwrap_or_else(|status| unavailable("product details", status))
    }

    async fn ratings(&self, id: i32, headers: &HeaderMap) -> Part {
        let path = format!("/ratings/{id}");
        self.part(Target { authority: &self.ratings, path: &path }, headers)
            .await
            .unwrap_or_else(|status| unavailable("product ratings", status))
    }

    async fn reviews(&self, id: i32, headers: &HeaderMap) -> Part {
        let path = format!("/reviews/{id}");
        let mut status = StatusCode::INTERNAL_SERVER_ERROR;
        for _ in 0..REVIEW_TRIES {
            match self.part(Target { authority: &self.reviews, path: &path }, headers).await {
                Ok(part) => return part,
                Err(refused) => status = refused,
            }
        }
        unavailable("product reviews", status)
    }

    /// A whole document with status 200, or the status that stands for its absence.
    async fn part(&self, target: Target<'_>, headers: &HeaderMap) -> Result<Part, StatusCode> {
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        match self.client.fetch(target, headers, PATIENCE).await {
            Ok(Answer { status: StatusCode::OK, body }) => {
                let document = serde_json::from_slice(&body).map_err(|_| failed)?;
                Ok(Part { status: StatusCode::OK, document })
            }
            Ok(Answer { status, .. }) => Err(status),
            Err(error) => {
                tracing::warn!(%error, authority = target.authority, "a service cannot be asked");
                Err(failed)
            }
        }
    }

    /// Asks reviews as many more times as `FLOOD_FACTOR` says, all at once.
    async fn flood_reviews(&self, headers: &HeaderMap) {
        let asks = (0..self.flood).map(|_| async move {
            let target = Target { authority: &self.reviews, path: "/reviews/0" };
            // Only the load matters: nobody reads these answers.
            let _ = self.client.fetch(target, headers, PATIENCE).await;
        });
        let mut asks: Vec<_> = asks.map(Box::pin).collect();
        std::future::poll_fn(|context| {
            asks.retain_mut(|ask| ask.as_mut().poll(context).is_pending());
            if asks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// The headers for other services: what travels on, and who is logged in here (not who a client says it is).
fn outgoing(request: &Request<Bytes>) -> HeaderMap {
    let mut headers = forwarded(request.headers());
    headers.remove(END_USER);
    if let Some(user) = session::user(request.headers())
        && let Ok(user) = HeaderValue::from_str(&user)
    {
        headers.insert(END_USER, user);
    }
    headers
}

fn unavailable(what: &str, status: StatusCode) -> Part {
    let error = format!("Sorry, {what} are currently unavailable for this book.");
    Part { status, document: json!({ "error": error }) }
}

/// The one product of the shop.
fn product() -> Value {
    json!({
        "id": 0,
        "title": "The Comedy of Errors",
        "descriptionHtml": "One of <b>William Shakespeare's</b> first plays and his shortest: two pairs of twins, \
            parted by a shipwreck, meet again in Ephesus and are taken for each other all day long. \
            <a href=\"https://en.wikipedia.org/wiki/The_Comedy_of_Errors\">Read more on Wikipedia</a>.",
    })
}

#[cfg(test)]
mod tests;
