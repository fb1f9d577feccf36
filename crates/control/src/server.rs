//! A small HTTP/1.1 server for pages and for the control socket.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wire::Refusal;

/// The most bytes a request's body may have.
const MOST_BYTES: usize = 32 << 20;
/// The most connections served at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 128;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way may take once the end has come.
const DRAIN: Duration = Duration::from_secs(2);

pub(crate) type Reply = Response<Full<Bytes>>;

/// Answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Reply> + Send;
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where connections come from.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        Ok(match self {
            Listener::Tcp(listener) => Box::new(listener.accept().await?.0),
            Listener::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Serves until `stop` says so, then lets the requests under way finish.
pub(crate) async fn serve<H: Handler>(listener: Listener, handler: Arc<H>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        // Every branch is cancel-safe: a connection not accepted stays in the queue.
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok(io) => drop(connections.spawn(connection(io, handler.clone(), stop.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    // What keeps the kernel from handing one out (descriptors, memory) does not pass at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    // Those that take longer are cut off with the set.
    let _ = tokio::time::timeout(DRAIN, drained).await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "serving a connection");
    }
}

async fn connection<H: Handler>(io: Box<dyn Io>, handler: Arc<H>, mut stop: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Waits for the end; that nobody is left to tell of it is the end as well.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Reads a request's body as JSON; no body says what an empty object says.
pub(crate) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Reply> {
    let too_large =
        || refusal(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {MOST_BYTES} bytes"));
    let body = request.into_body();
    if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > MOST_BYTES) {
        return Err(too_large());
    }
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MOST_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => return Err(too_large()),
        Ok(Err(error)) => return Err(refusal(StatusCode::BAD_REQUEST, error.to_string())),
        Err(_) => return Err(refusal(StatusCode::REQUEST_TIMEOUT, "the request is not complete".into())),
    };
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(bytes).map_err(|error| refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

/// A body of JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => reply(status, "application/json", bytes),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A body of plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Reply {
    reply(status, "text/plain; charset=utf-8", text.into())
}

pub(crate) fn refusal(status: StatusCode, error: String) -> Reply {
    json(status, &Refusal { error })
}

pub(crate) fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
