//! One attempt at one endpoint: a connection from the pool, the request sent, the head of the answer.

use std::borrow::Cow;
use std::error::Error as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use balance::Avoid;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, request, response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use net::{ConnectError, Lease, SendError, Shelf, Target};

use crate::body::Holds;
use crate::counters::Active;
use crate::pick::{self, Picked};
use crate::reply::{Failure, TIMED_OUT};
use crate::upload::{RequestBody, Upload};
use crate::view::View;
use crate::worker::Worker;

/// An upstream's answer so far, and what it holds.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease<RequestBody>,
    pub(crate) holds: Holds,
    /// From the request's being sent to the answer's head.
    pub(crate) took: Duration,
    /// When the head came.
    pub(crate) at: Instant,
}

/// An attempt that brought no answer.
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// Whether any of the request may have reached the upstream.
    pub(crate) sent: bool,
}

impl Failed {
    fn before(failure: Failure) -> Self {
        Self { failure, sent: false }
    }

    /// The failure as retry policies know it; none where another attempt cannot help.
    pub(crate) fn for_retry(&self) -> Option<plan::Failure> {
        Some(match self.failure {
            Failure::Broken | Failure::Protocol | Failure::Reset => plan::Failure::Reset { sent: self.sent },
            Failure::Connect(_) => plan::Failure::Connect,
            Failure::Refused => plan::Failure::Refused,
            Failure::TryTimeout => plan::Failure::Timeout,
            Failure::Client | Failure::NoHost | Failure::Overflow | Failure::RouteTimeout => return None,
        })
    }
}

/// Sends one request to one endpoint and waits for the head of the answer.
pub(crate) async fn attempt(
    worker: &Rc<Worker>,
    view: &View,
    (picked, is_http2): (&Picked, bool),
    (head, body, upload): (request::Parts, RequestBody, Option<&Upload>),
) -> Result<Answer, Failed> {
    view.counters.requests.increment();
    let holds = Holds { _host: picked.state.begin(), _cluster: Active::begin(&view.counters.active) };
    let source = view.cluster.bind.map(|bind| bind.ip());
    let target = Target { address: picked.address, http2: is_http2, source };
    let shelf = view.shelf(&worker.pool, picked.place, target);
    let mut request = address(head, body, is_http2);
    let began = Instant::now();
    let mut lease = match shelf.take() {
        Some(lease) => lease,
        // Boxed: most requests find a connection, and should not carry room for making one.
        None => Box::pin(open(&shelf, view, picked)).await?,
    };
    loop {
        let failed = match lease.send(request).await {
            Ok(response) => {
                let at = Instant::now();
                return Ok(Answer { response, lease, holds, took: at - began, at });
            }
            Err(failed) => failed,
        };
        match failed {
            // The connection had died in the pool: nothing was sent, so nothing can happen twice.
            SendError { unsent: Some(unsent), .. } if lease.is_reused() => {
                request = unsent;
                lease = Box::pin(open(&shelf, view, picked)).await?;
            }
            SendError { unsent, error } => {
                return Err(Failed { failure: classify(&error, upload), sent: unsent.is_none() });
            }
        }
    }
}

async fn open(
    shelf: &Rc<Shelf<RequestBody>>,
    view: &View,
    picked: &Picked,
) -> Result<Lease<RequestBody>, Failed> {
    let counters = &view.counters;
    counters.connections.increment();
    match shelf.open(view.cluster.connect_timeout).await {
        Ok(lease) => {
            picked.state.connected();
            Ok(lease)
        }
        Err(error) => {
            picked.state.connect_failed();
            counters.connect_failures.increment();
            let why = match error {
                ConnectError::TimedOut => {
                    counters.connect_timeouts.increment();
                    Cow::Borrowed(TIMED_OUT)
                }
                ConnectError::Failed(error) => {
                    Cow::Owned(format!("delayed connect error: {}", plain(&error)))
                }
                ConnectError::Handshake(error) => Cow::Owned(format!("handshake: {error}")),
            };
            Err(Failed::before(Failure::Connect(why)))
        }
    }
}

/// The kernel's words without the number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Addresses a request to a connection: the path alone for HTTP/1.1, scheme and authority too for HTTP/2.
fn address(mut head: request::Parts, body: RequestBody, http2: bool) -> Request<RequestBody> {
    if http2 {
        head.version = Version::HTTP_2;
        let host = head.headers.remove(HOST);
        let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority.unwrap_or_else(|| Authority::from_static("unknown")));
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    } else {
        head.version = Version::HTTP_11;
        if head.headers.contains_key(UPGRADE) {
            head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
    }
    Request::from_parts(head, body)
}

fn classify(error: &hyper::Error, upload: Option<&Upload>) -> Failure {
    if upload.is_some_and(|upload| upload.broken().is_some()) {
        return Failure::Client;
    }
    if let Some(reason) =
        error.source().and_then(|e| e.downcast_ref::<h2::Error>()).and_then(h2::Error::reason)
    {
        return match reason {
            h2::Reason::REFUSED_STREAM => Failure::Refused,
            h2::Reason::PROTOCOL_ERROR | h2::Reason::FRAME_SIZE_ERROR | h2::Reason::COMPRESSION_ERROR => {
                Failure::Protocol
            }
            _ => Failure::Reset,
        };
    }
    if error.is_parse() || error.is_parse_too_large() { Failure::Protocol } else { Failure::Broken }
}

/// Sends one whole request to a cluster, as a filter asks, and waits for the whole answer.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    cluster: &str,
    mut head: request::Parts,
    body: Bytes,
) -> Result<(response::Parts, Bytes), Failure> {
    let view = worker.view(cluster).ok_or(Failure::NoHost)?;
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
        head.uri = head.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    let picked = pick::listed(worker, &view, Avoid::default())?;
    let is_http2 = view.is_http2(false);
    let answer = attempt(worker, &view, (&picked, is_http2), (head, RequestBody::Whole(body), None)).await;
    let Answer { response, lease, .. } = answer.map_err(|failed| failed.failure)?;
    let (head, incoming) = response.into_parts();
    let body =
        http_body_util::Limited::new(incoming, CALL_LIMIT).collect().await.map_err(|_| Failure::Broken)?;
    lease.release(None);
    Ok((head, body.to_bytes()))
}

/// An answer to a filter's call may be this large.
const CALL_LIMIT: usize = 4 << 20;
