//! One attempt at one endpoint: a connection from the pool, the request sent, the head of the answer.

use std::error::Error as _;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version, request, response};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::ext::Protocol;
use net::http1::{self, Case, Number};
use net::{Keep, Lease, SendError, SendFailure, Target};

use crate::account::Entry;
use crate::body::Holds;
use crate::connect;
use crate::counters::Active;
use crate::forwarded::PROTO;
use crate::pick::{self, Picked, Wish};
use crate::reply::Failure;
use crate::upload::{RequestBody, Upload};
use crate::view::View;
use crate::worker::Worker;

/// An upstream's answer so far, and what it holds.
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    /// The connection, and the rest of the answer.
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
            Failure::Connect(_) | Failure::Resolve(_) => plan::Failure::Connect,
            Failure::Refused => plan::Failure::Refused,
            Failure::TryIdle | Failure::TryTimeout => plan::Failure::Timeout,
            Failure::Client
            | Failure::Gone(_)
            | Failure::NoHost
            | Failure::Overflow
            | Failure::RouteTimeout => return None,
        })
    }
}

/// What an attempt sends.
pub(crate) enum Sending<'a> {
    /// The request of an exchange, with these headers beside its own.
    Entry(&'a Entry, &'a [Number]),
    /// A request of our own.
    Own(Box<request::Parts>, Bytes),
}

impl Sending<'_> {
    fn with_head<R>(&self, look: impl FnOnce(&request::Parts, &[Number]) -> R) -> R {
        match self {
            Self::Entry(entry, numbers) => look(&entry.record.borrow().x.request, numbers),
            Self::Own(head, _) => look(head, &[]),
        }
    }

    fn upload(&self) -> Option<Upload> {
        match self {
            Self::Entry(entry, _) => entry.record.borrow().upload.clone(),
            Self::Own(..) => None,
        }
    }

    /// The body from its start.
    fn body(&self) -> RequestBody {
        match self {
            Self::Entry(..) => {
                self.upload().map_or(RequestBody::Empty, |upload| RequestBody::Reading(upload.read()))
            }
            Self::Own(_, body) => RequestBody::Whole(body.clone()),
        }
    }

    /// Sends it over one connection; the head of the answer.
    async fn over(&self, lease: &mut Lease<RequestBody>, case: Case) -> Result<response::Parts, SendError> {
        let body = self.body();
        let Some(client) = lease.http1() else {
            let request = self.with_head(|head, numbers| address(head.clone(), numbers, body));
            // Boxed: requests over HTTP/1.1 should not carry room for one.
            return Box::pin(lease.send(request)).await;
        };
        client.write_as(case);
        self.with_head(|head, numbers| client.start(head, numbers, body));
        let result = poll_fn(|cx| client.poll_head(cx)).await;
        result.map_err(|error| SendError { sent: client.has_sent(), failure: error.into() })
    }
}

/// Sends one request to one endpoint and waits for the head of the answer.
pub(crate) async fn attempt(
    worker: &Rc<Worker>,
    view: &View,
    (picked, target): (&Picked, &Target),
    sending: &Sending<'_>,
) -> Result<Answer, Failed> {
    view.counters.requests.increment();
    let (host, active) = (picked.state.begin(), Active::begin(&view.counters.active));
    let shelf = view.shelf(&worker.pool, picked.place, target);
    let began = Instant::now();
    let (mut lease, held) = connect::lease(worker, view, picked, &shelf).await.map_err(Failed::before)?;
    let holds = Holds { _host: host, _cluster: active, _request: held };
    loop {
        let failed = match sending.over(&mut lease, view.case()).await {
            Ok(head) => {
                let at = Instant::now();
                return Ok(Answer { head, lease, holds, took: at - began, at });
            }
            Err(failed) => failed,
        };
        let upload = sending.upload();
        if !failed.sent && lease.is_reused() && upload.as_ref().is_none_or(Upload::is_whole) {
            // The connection had died in the pool: nothing was sent, so nothing can happen twice.
            lease = Box::pin(connect::again(worker, view, picked, &shelf)).await.map_err(Failed::before)?;
            continue;
        }
        return Err(Failed { failure: classify(&failed.failure, upload.as_ref()), sent: failed.sent });
    }
}

/// Addresses a request to a connection of HTTP/2: with scheme and authority.
fn address(mut head: request::Parts, numbers: &[Number], body: RequestBody) -> Request<RequestBody> {
    for number in numbers {
        head.headers.insert(number.name.clone(), HeaderValue::from(number.value));
    }
    // HTTP/1.1 says that there is no body; HTTP/2 ends the stream.
    let body = if body.is_end_stream() { RequestBody::Ended } else { body };
    if head.version != Version::HTTP_2 && head.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0")
    {
        head.headers.remove(CONTENT_LENGTH);
    }
    head.version = Version::HTTP_2;
    let host = head.headers.remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    let is_secure = head.headers.get(PROTO).is_some_and(|proto| proto == "https");
    parts.scheme = Some(if is_secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority.unwrap_or_else(|| Authority::from_static("unknown")));
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    if head.method == Method::CONNECT {
        // A tunnel is asked for by whom it leads to, and nothing else.
        (parts.scheme, parts.path_and_query) = (None, None);
    }
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    if let Some(protocol) = head.headers.remove(UPGRADE) {
        // RFC 8441: what HTTP/1.1 does by upgrade.
        head.headers.remove(CONNECTION);
        head.method = Method::CONNECT;
        head.extensions.insert(Protocol::from(protocol.to_str().unwrap_or_default()));
    }
    Request::from_parts(head, body)
}

fn classify(failure: &SendFailure, upload: Option<&Upload>) -> Failure {
    if upload.is_some_and(|upload| upload.broken().is_some()) {
        return Failure::Client;
    }
    let error = match failure {
        SendFailure::Http1(http1::Error::Malformed(_)) => return Failure::Protocol,
        SendFailure::Http1(_) => return Failure::Broken,
        SendFailure::Http2(error) => error,
    };
    match error.source().and_then(|e| e.downcast_ref::<h2::Error>()).and_then(h2::Error::reason) {
        Some(h2::Reason::REFUSED_STREAM) => Failure::Refused,
        Some(h2::Reason::PROTOCOL_ERROR | h2::Reason::FRAME_SIZE_ERROR | h2::Reason::COMPRESSION_ERROR) => {
            Failure::Protocol
        }
        Some(_) => Failure::Reset,
        None => Failure::Broken,
    }
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
    let picked = pick::listed(worker, &view, &Wish::default())?;
    let http = view.http(false);
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).map(pick::server_name);
    let way = picked.way(worker, &view, Some(http), (host.as_ref(), None))?;
    let sending = Sending::Own(Box::new(head), body);
    let answer = attempt(worker, &view, (&picked, &Target { way, http }), &sending).await;
    let Answer { head, mut lease, .. } = answer.map_err(|failed| failed.failure)?;
    let body =
        http_body_util::Limited::new(&mut lease, CALL_LIMIT).collect().await.map_err(|_| Failure::Broken)?;
    lease.release(Keep::default());
    Ok((head, body.to_bytes()))
}

/// An answer to a filter's call may be this large.
const CALL_LIMIT: usize = 4 << 20;
