//! The HTTP/1.1 server, and the loop that sees to events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Service;

/// The largest request body that is read.
const MOST: usize = 1 << 20;

/// How often the log is looked at for events.
const LOOK: Duration = Duration::from_millis(50);

/// What is served: a service, or the page of a model; and who serves it.
pub struct Serving {
    /// The service; none for the page.
    pub service: Option<Service>,
    /// The page.
    pub page: String,
    /// What is told of the answering program: context and version.
    pub who: [HeaderValue; 2],
}

/// Serves until `stop` is done.
pub async fn serve(listener: TcpListener, serving: Serving, stop: impl Future<Output = ()>) {
    let serving = Arc::new(serving);
    let mut connections = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = look.tick() => {
                if let Some(Err(error)) = react(&serving).await {
                    tracing::warn!(%error, "events cannot be seen to");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    let serving = Arc::clone(&serving);
                    let service = service_fn(move |request| answer(Arc::clone(&serving), request));
                    let http = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                    connections.spawn(async move {
                        if let Err(error) = http.await {
                            tracing::debug!(%error, "a connection broke");
                        }
                    });
                }
                Err(error) => tracing::warn!(%error, "cannot accept a connection"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn react(serving: &Serving) -> Option<anyhow::Result<bool>> {
    Some(serving.service.as_ref()?.react().await)
}

async fn answer(
    serving: Arc<Serving>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MOST).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut response = match &serving.service {
        None => {
            let mut response = Response::new(Full::new(Bytes::from(serving.page.clone())));
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, html);
            response
        }
        Some(service) => {
            let asked = (head.method.as_str(), head.uri.path());
            let answer = service.answer(asked, &head.headers, &body).await;
            let mut response = Response::new(Full::new(Bytes::from(format!("{:#}\n", answer.body))));
            *response.status_mut() = answer.status;
            let json = HeaderValue::from_static("application/hal+json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
    };
    let [context, version] = serving.who.clone();
    response.headers_mut().insert("x-context", context);
    response.headers_mut().insert("x-version", version);
    Ok(response)
}
