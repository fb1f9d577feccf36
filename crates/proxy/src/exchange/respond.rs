//! The way back: a reply of our own or an upstream's response becomes what the client gets.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use filter::{LocalReply, Phases, Side, Step};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, SERVER, SET_COOKIE, VIA};
use http::{HeaderValue, Response, Version, response};
use plan::{HeaderScope, HttpManager, ServerHeader};
use tokio::sync::mpsc;

use super::asks;
use super::filtering::{Filtering, Frames, Passed};
use super::taken::Taken;
use crate::account::Entry;
use crate::body::{Download, ResponseBody};
use crate::cut::Cut;
use crate::forwarded::{self, REQUEST_ID, Special};
use crate::reply;
use crate::silence::Watch;

/// Chunks that may wait between the filters and the client.
const CHUNKS: usize = 4;
const REASON: HeaderName = HeaderName::from_static("x-weft-reason");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// What filters act upon in the response direction.
const RESPONSE: Phases = Phases::RESPONSE_HEAD.and(Phases::RESPONSE_BODY).and(Phases::RESPONSE_TRAILERS);

/// A response on its way: most are there at once, and a future of their own would only be carried around.
#[allow(clippy::large_enum_variant, reason = "nearly always it is the large one, and moved but once")]
pub(crate) enum Passing<'a> {
    /// Filters have still to say something.
    Filters(Pin<Box<dyn Future<Output = Response<ResponseBody>> + 'a>>),
    /// It is there, until it is taken.
    Now(Option<Response<ResponseBody>>),
}

impl Passing<'_> {
    /// Cuts the response off where nothing passes for too long.
    pub(crate) fn watched(self, watch: Watch) -> Self {
        match self {
            Self::Filters(waiting) => Self::Filters(Box::pin(async move {
                let mut response = waiting.await;
                response.body_mut().watch(watch);
                response
            })),
            Self::Now(mut response) => {
                if let Some(response) = &mut response {
                    response.body_mut().watch(watch);
                }
                Self::Now(response)
            }
        }
    }
}

impl Future for Passing<'_> {
    type Output = Response<ResponseBody>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<ResponseBody>> {
        match self.get_mut() {
            Self::Filters(waiting) => waiting.as_mut().poll(cx),
            Self::Now(response) => response.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

/// Answers with a reply of our own.
pub(crate) fn local<'a>(
    entry: &'a Rc<Entry>,
    manager: &'a HttpManager,
    taken: Option<&'a Taken<'a>>,
    reply: LocalReply,
) -> Passing<'a> {
    let body = present(entry, taken, &reply);
    through_filters(entry, manager, taken, Frames::Whole(body))
}

/// Passes an upstream's response on.
pub(crate) fn upstream<'a>(
    entry: &'a Rc<Entry>,
    manager: &'a HttpManager,
    taken: &'a Taken<'a>,
    (mut head, download): (response::Parts, Download),
) -> Passing<'a> {
    let special = Special::among(&head.headers);
    forwarded::strip(&mut head.headers, special, false);
    // The version is a matter of each hop.
    head.version = Version::HTTP_11;
    forwarded::forget_extensions(&mut head.extensions);
    answered(entry, manager, head);
    header_operations(entry, taken, false);
    through_filters(entry, manager, Some(taken), Frames::Upstream(download))
}

/// Takes the head of an upstream's answer, with what is told of the way to it.
fn answered(entry: &Entry, manager: &HttpManager, mut head: response::Parts) {
    let mut record = entry.record.borrow_mut();
    // Where the request was still under way, it is not known how long the upstream took.
    let is_whole = !record.upgrades && record.upload.as_ref().is_none_or(|upload| upload.ended().is_some());
    if !manager.filters.suppress_envoy_headers
        && is_whole
        && let Some(time) = record.service_time
    {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        head.headers.insert(SERVICE_TIME, number(millis));
    }
    for cookie in std::mem::take(&mut record.cookies) {
        head.headers.append(SET_COOKIE, cookie);
    }
    record.x.response = Some(head);
}

/// A number as a header's value; the smallest need no memory of their own.
fn number(value: u64) -> HeaderValue {
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let small = usize::try_from(value).ok().and_then(|value| SMALL.get(value));
    small.map_or_else(|| HeaderValue::from(value), |small| HeaderValue::from_static(small))
}

/// Answers that the protocol changes; what follows is not HTTP. Filters see the head, and have no say in it.
pub(crate) fn upgraded(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: &Taken<'_>,
    (mut head, is_http1): (response::Parts, bool),
) -> Response<ResponseBody> {
    let special = Special::among(&head.headers);
    forwarded::strip(&mut head.headers, special, is_http1);
    if is_http1 && head.status != http::StatusCode::SWITCHING_PROTOCOLS {
        head.headers.remove(http::header::CONTENT_LENGTH);
    } else if is_http1 {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        // An upgraded stream of HTTP/2 begins with an ordinary answer.
        head.status = http::StatusCode::OK;
        head.version = Version::HTTP_2;
        head.headers.remove(http::header::CONTENT_LENGTH);
    }
    forwarded::forget_extensions(&mut head.extensions);
    answered(entry, manager, head);
    header_operations(entry, taken, false);
    if entry.wants(Phases::RESPONSE_HEAD) {
        let _ = entry.step(|run, x| run.response_head(x));
    }
    finish(entry, manager, ResponseBody::whole(Bytes::new(), Rc::clone(entry)))
}

/// Puts a reply's head where filters see it; its body.
fn present(entry: &Entry, taken: Option<&Taken<'_>>, reply: &LocalReply) -> Bytes {
    let body = {
        let mut record = entry.record.borrow_mut();
        record.replied(reply);
        let (mut head, body) = reply::parts(reply, record.is_grpc);
        if entry.worker().ledger.is_sidecar() {
            let reason = record.reason(reply, taken.and_then(Taken::origin));
            head.headers.extend(HeaderValue::try_from(reason).ok().map(|reason| (REASON, reason)));
        }
        record.x.response = Some(head);
        body
    };
    if let Some(taken) = taken.filter(|_| !reply.is_final) {
        header_operations(entry, taken, true);
    }
    let mut record = entry.record.borrow_mut();
    let is_grpc = record.is_grpc;
    if let Some(head) = &mut record.x.response {
        reply::describe(head, &body, is_grpc);
    }
    body
}

fn header_operations(entry: &Entry, taken: &Taken<'_>, is_reply: bool) {
    let mut record = entry.record.borrow_mut();
    let record = &mut *record;
    let scope = HeaderScope { upstream: record.way.upstream.as_ref(), is_reply, ..taken.scope() };
    for operations in taken.response_headers() {
        operations.apply_to_response(&mut record.x, scope);
    }
    if taken.found.host.response_attempt_count
        && let Some(response) = &mut record.x.response
    {
        response.headers.insert(ATTEMPTS, HeaderValue::from(record.x.facts.attempt.max(1)));
    }
}

/// Hands the response to the client, by way of the filters where some look at it.
fn through_filters<'a>(
    entry: &'a Rc<Entry>,
    manager: &'a HttpManager,
    taken: Option<&'a Taken<'a>>,
    frames: Frames,
) -> Passing<'a> {
    if entry.wants(RESPONSE) {
        return Passing::Filters(Box::pin(filtered(entry, manager, taken, frames)));
    }
    Passing::Now(Some(finish(entry, manager, whole(entry, frames))))
}

/// Runs the filters backwards.
async fn filtered(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: Option<&Taken<'_>>,
    mut frames: Frames,
) -> Response<ResponseBody> {
    let step = entry.step(|run, x| run.response_head(x));
    let mut step = asks::settle(entry, Side::Response, step).await;
    if let Step::Reply(reply) = step {
        // What a filter says in place of a response passes the others once more.
        frames = Frames::Whole(present(entry, taken, &reply));
        let again = entry.step(|run, x| run.response_head(x));
        step = asks::settle(entry, Side::Response, again).await;
    }
    let looks_at_body = entry.wants(Phases::RESPONSE_BODY.and(Phases::RESPONSE_TRAILERS));
    match step {
        Step::Reply(reply) => {
            let body = present(entry, taken, &reply);
            finish(entry, manager, whole(entry, Frames::Whole(body)))
        }
        Step::Hold => held(entry, manager, taken, frames).await,
        _ if looks_at_body => {
            forget_length(entry);
            let body = pumped(entry, Filtering::new(entry, Side::Response, frames), None);
            finish(entry, manager, body)
        }
        _ => finish(entry, manager, whole(entry, frames)),
    }
}

/// Waits until a filter lets the head go.
async fn held(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: Option<&Taken<'_>>,
    frames: Frames,
) -> Response<ResponseBody> {
    let mut filtering = Filtering::new(entry, Side::Response, frames);
    match filtering.next().await {
        Some(Passed::Frame(first)) => {
            forget_length(entry);
            finish(entry, manager, pumped(entry, filtering, Some(first)))
        }
        Some(Passed::Reply(reply)) => {
            let body = present(entry, taken, &reply);
            finish(entry, manager, whole(entry, Frames::Whole(body)))
        }
        Some(Passed::Cut(_)) => {
            let reply = reply::Failure::Broken.reply(1);
            let body = present(entry, taken, &reply);
            finish(entry, manager, whole(entry, Frames::Whole(body)))
        }
        None => finish(entry, manager, whole(entry, Frames::Whole(Bytes::new()))),
    }
}

fn whole(entry: &Rc<Entry>, frames: Frames) -> ResponseBody {
    match frames {
        Frames::Upstream(download) => ResponseBody::upstream(download, Rc::clone(entry)),
        Frames::Whole(bytes) => ResponseBody::whole(bytes, Rc::clone(entry)),
        Frames::Client(_) => unreachable!("a client's frames go the other way"),
    }
}

fn pumped(entry: &Rc<Entry>, filtering: Filtering, first: Option<http_body::Frame<Bytes>>) -> ResponseBody {
    let (sender, frames) = mpsc::channel(CHUNKS);
    if let Some(first) = first.filter(|frame| !frame.data_ref().is_some_and(Bytes::is_empty)) {
        // The channel is empty: it takes one.
        let _ = sender.try_send(Ok(first));
    }
    // Ends when the body has ended or its reader has gone.
    tokio::task::spawn_local(filtering.pump(sender, |passed| match passed {
        Passed::Cut(cut) => cut,
        Passed::Frame(_) | Passed::Reply(_) => Cut::Filter,
    }));
    ResponseBody::filtered(frames, Rc::clone(entry))
}

/// A filter may change how long the body is.
fn forget_length(entry: &Entry) {
    if let Some(response) = &mut entry.record.borrow_mut().x.response {
        response.headers.remove(CONTENT_LENGTH);
    }
}

fn finish(entry: &Rc<Entry>, manager: &HttpManager, body: ResponseBody) -> Response<ResponseBody> {
    let mut record = entry.record.borrow_mut();
    let mut head = match record.x.response.take() {
        Some(head) => head,
        None => Response::new(()).into_parts().0,
    };
    match &manager.server {
        ServerHeader::AppendIfAbsent(_) if head.headers.contains_key(SERVER) => {}
        ServerHeader::AppendIfAbsent(name) | ServerHeader::Overwrite(name) => {
            head.headers.insert(SERVER, name.clone());
        }
        ServerHeader::PassThrough => {}
    }
    if manager.request_id_in_response
        && let Some(id) = record.x.request.headers.get(REQUEST_ID)
    {
        head.headers.insert(REQUEST_ID, id.clone());
    }
    if let Some(via) = &manager.via {
        head.headers.append(VIA, via.clone());
    }
    record.responds(&head, entry.keeps_response_headers(manager));
    Response::from_parts(head, body)
}
