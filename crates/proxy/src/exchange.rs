//! One request, from its head to the head of its response.
//!
//! hop → path → route → filters → upstream → filters → hop; whatever cannot go on becomes a reply of our own
//! that takes the same way back.

pub(crate) mod asks;
mod filtering;
mod inbound;
mod respond;
mod taken;
mod upgrade;

use std::rc::Rc;

use filter::{LocalReply, Phases, Side, Step};
use http::header::{CONNECTION, CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use net::Opaque;
use plan::{Action, HttpManager, Lookup, RouteMatch};
use tokio::sync::mpsc;

use crate::account::Entry;
use crate::body::ResponseBody;
use crate::downstream::Client;
use crate::upload::{Broken, Source, Upload};
use crate::{forward, reply};
use filtering::{Filtering, Frames, Passed};
pub(crate) use inbound::REQUEST_ID;
pub(crate) use taken::Taken;
use upgrade::Upgrade;

/// Chunks that may wait between the filters and the upstream.
const CHUNKS: usize = 4;

/// What filters act upon in the request direction before an endpoint is chosen.
const REQUEST: Phases = Phases::REQUEST_HEAD.and(Phases::REQUEST_BODY).and(Phases::REQUEST_TRAILERS);

/// How a request came.
pub(crate) struct Hop {
    /// Tells an HTTP/1.1 connection that it is upgraded; none for HTTP/2.
    pub(crate) opaque: Option<Opaque>,
    /// Whether the connection ends with this exchange.
    pub(crate) is_last: bool,
}

/// Serves one request.
pub(crate) async fn serve(
    client: Rc<Client>,
    request: Request<Incoming>,
    hop: Hop,
) -> Response<ResponseBody> {
    let chosen = client.chosen();
    let manager = Rc::clone(&chosen);
    let manager = manager.manager().expect("invariant: only a chain that speaks HTTP succeeds one that does");
    let (head, incoming) = request.into_parts();
    let is_http1 = hop.opaque.is_some();
    let has_body = !incoming.is_end_stream();
    let is_last = !client.count(manager.max_requests_per_connection);
    let mut closes = hop.is_last || chosen.is_orphan || is_last;
    let entry = Entry::open(client, chosen, manager, head);
    let mut response = match inbound::admit(&entry, manager, hop.opaque) {
        Ok(upgrade) => route(&entry, manager, incoming, upgrade).await,
        Err(refused) => {
            closes |= refused.closes;
            respond::local(&entry, manager, None, refused.reply).await
        }
    };
    if has_body && entry.record.borrow().upload.as_ref().is_none_or(|upload| upload.ended().is_none()) {
        entry.client.leave_unread();
    }
    if closes && is_http1 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Finds the route and does what it says.
async fn route(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    incoming: Incoming,
    upgrade: Option<Upgrade>,
) -> Response<ResponseBody> {
    let serving = entry.worker().serving();
    let lookup = {
        let record = entry.record.borrow();
        let mut request = plan::Request::new(&record.x.request, entry.worker().random());
        request.is_internal = !record.over_edge;
        serving.plan.route(manager, &request)
    };
    let (taken, reply) = match lookup {
        Lookup::Found(found) => {
            entry.take_route(&found);
            (Some(Taken { found }), None)
        }
        Lookup::NoHost(chain) | Lookup::NoRoute(_, chain) => {
            entry.open_chain(chain);
            (None, Some(reply::no_route()))
        }
        Lookup::NoTable => (None, Some(reply::no_route())),
        Lookup::Secure(_, url) => (None, Some(redirection(StatusCode::MOVED_PERMANENTLY, &url))),
    };
    let taken = taken.as_ref();
    let keep = taken.filter(|taken| taken.retries()).map(|_| forward::KEPT);
    let upload = if entry.wants(REQUEST) {
        // Boxed: most requests meet no filter, and should not carry room for one.
        match Box::pin(filter_request(entry, incoming, keep)).await {
            Ok(upload) => upload,
            Err(reply) => return respond::local(entry, manager, taken, reply).await,
        }
    } else {
        (!incoming.is_end_stream()).then(|| Upload::new(Source::Client(incoming), keep))
    };
    entry.record.borrow_mut().upload = upload;
    match (taken, reply) {
        (Some(taken), _) => act(entry, manager, taken, upgrade).await,
        (None, reply) => respond::local(entry, manager, None, reply.unwrap_or_else(reply::no_route)).await,
    }
}

async fn act(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: &Taken<'_>,
    upgrade: Option<Upgrade>,
) -> Response<ResponseBody> {
    let route = taken.found.route;
    let reply = match &route.action {
        Action::Forward(to) => {
            if let Some(upgrade) = &upgrade
                && !to.may_upgrade(
                    &upgrade.protocol,
                    manager.upgrades.iter().any(|kind| **kind == *upgrade.protocol),
                )
            {
                let reply = LocalReply::text(StatusCode::FORBIDDEN, "", "upgrade_failed");
                return respond::local(entry, manager, Some(taken), reply).await;
            }
            match forward::forward(entry, manager, taken, to).await {
                Ok(taking) => return passed_on(entry, manager, taken, (taking, upgrade)).await,
                Err(reply) => reply,
            }
        }
        Action::Redirect(redirect) => {
            let record = entry.record.borrow();
            let request = plan::Request::new(&record.x.request, 0);
            let path = record.x.request.uri.path_and_query().map_or("/", |path| path.as_str());
            let matched = route.conditions.matched(request.path());
            let url = redirect.location(record.scheme(), request.authority(), path, matched);
            redirection(redirect.status, &url)
        }
        Action::Reply(reply) => LocalReply::text(reply.status, reply.body.clone(), "direct_response"),
    };
    respond::local(entry, manager, Some(taken), reply).await
}

async fn passed_on(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: &Taken<'_>,
    (taking, upgrade): (forward::Taking, Option<Upgrade>),
) -> Response<ResponseBody> {
    match (taking.upgraded, upgrade) {
        (Some(upstream), Some(upgrade)) => {
            let idle = manager.stream_idle_timeout;
            upgrade::begin(entry, upgrade, upstream, idle);
            respond::upgraded(entry, manager, taken, taking.head).await
        }
        _ => respond::upstream(entry, manager, taken, (taking.head, taking.download)).await,
    }
}

fn redirection(status: StatusCode, url: &str) -> LocalReply {
    let mut reply = LocalReply::text(status, "", "direct_response");
    reply.headers.extend(HeaderValue::from_str(url).ok().map(|url| (LOCATION, url)));
    reply
}

/// Runs a request through the filters; what is left of its body, if it has one.
async fn filter_request(
    entry: &Rc<Entry>,
    incoming: Incoming,
    keep: Option<usize>,
) -> Result<Option<Upload>, LocalReply> {
    let has_body = !incoming.is_end_stream();
    let looks_at_body = has_body && entry.wants(Phases::REQUEST_BODY.and(Phases::REQUEST_TRAILERS));
    let step = entry.step(|run, x| run.request_head(x));
    let holds = match asks::settle(entry, Side::Request, step).await {
        Step::Hold => true,
        Step::Reply(reply) => return Err(reply),
        _ => false,
    };
    if !holds && !looks_at_body {
        return Ok(has_body.then(|| Upload::new(Source::Client(incoming), keep)));
    }
    let mut filtering = Filtering::new(entry, Side::Request, Frames::Client(incoming));
    let first = match holds {
        false => None,
        true => match filtering.next().await {
            None => None,
            Some(Passed::Frame(frame)) => Some(frame),
            Some(Passed::Reply(reply)) => return Err(reply),
            Some(Passed::Cut(_)) => return Err(reply::Failure::Client.reply(1)),
        },
    };
    // A filter may change how long the body is.
    entry.record.borrow_mut().x.request.headers.remove(CONTENT_LENGTH);
    let (sender, frames) = mpsc::channel(CHUNKS);
    if let Some(first) = first.filter(|frame| !frame.data_ref().is_some_and(bytes::Bytes::is_empty)) {
        // The channel is empty: it takes one.
        let _ = sender.try_send(Ok(first));
    }
    let stopped = Rc::clone(entry);
    // Ends when the body has ended or its reader has gone.
    tokio::task::spawn_local(filtering.pump(sender, move |passed| match passed {
        Passed::Reply(reply) => {
            stopped.record.borrow_mut().stopped = Some(reply);
            Broken::Filter
        }
        Passed::Cut(_) | Passed::Frame(_) => Broken::Client,
    }));
    Ok(Some(Upload::new(Source::Filters(frames), keep)))
}

/// Whether a route may send requests more than once.
fn retries(found: &RouteMatch<'_>) -> bool {
    matches!(&found.route.action, Action::Forward(forward) if forward.retry.is_some() || !forward.mirrors.is_empty())
}
