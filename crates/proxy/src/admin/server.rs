//! One small HTTP/1.1 server with a function behind it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::shared::Shared;

/// A client that does not finish its request is not waited for.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// What a server answers by.
pub(super) type Face = fn(&Shared, &Asked) -> Reply;

/// What was asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    query: String,
}

impl Asked {
    /// The value of a query parameter, empty where it stands alone; none where it is absent.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// All query parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// Whether JSON is wanted.
    pub(super) fn wants_json(&self) -> bool {
        self.parameter("format") == Some("json")
    }
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
}

impl Reply {
    /// Plain text.
    pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=UTF-8", body: body.into().into() }
    }

    /// A JSON value.
    pub(super) fn json(value: &serde_json::Value) -> Self {
        let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
        text.push('\n');
        Self { status: StatusCode::OK, kind: "application/json", body: text.into() }
    }

    /// Prometheus' text format.
    pub(super) fn prometheus(body: String) -> Self {
        Self { status: StatusCode::OK, kind: "text/plain; version=0.0.4; charset=utf-8", body: body.into() }
    }
}

/// Serves `face` until dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, face: Face) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&shared, &request, face))));
                    // What goes wrong here concerns one curious client.
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEAD_TIME)
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        }
    }
}

fn answer(shared: &Shared, request: &Request<Incoming>, face: Face) -> Response<Full<Bytes>> {
    let asked = Asked {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    };
    let reply = face(shared, &asked);
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.kind));
    response.headers_mut().insert("server", HeaderValue::from_static("weft-proxy"));
    response
}
