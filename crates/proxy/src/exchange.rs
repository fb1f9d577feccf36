//! One request, from its head to the head of its response.
//!
//! hop → path → route → filters → upstream → filters → hop; whatever cannot go on becomes a reply of our own
//! that takes the same way back.

mod asks;
mod filtering;
mod forward;
mod inbound;
mod mirror;
mod respond;
mod taken;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use filter::{LocalReply, Phases, Side, Step};
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode, request, response};
use http_body::Body as _;
use net::Raw;
use plan::{Action, Forward, HttpManager, Lookup};
use tokio::sync::mpsc;

use crate::account::Entry;
use crate::body::ResponseBody;
use crate::client::{Chosen, Client};
use crate::reply;
use crate::silence::Watch;
use crate::upgrade::{self, Times, Upgrade};
use crate::upload::{Broken, Incoming, Source, Upload};
use crate::view::InForce;
use filtering::{Filtering, Frames, Passed};
use forward::{Passage, Taking};
use inbound::After;
use respond::Passing;
use taken::Taken;

/// Chunks that may wait between the filters and the upstream.
const CHUNKS: usize = 4;

/// What filters act upon in the request direction before an endpoint is chosen.
const REQUEST: Phases = Phases::REQUEST_HEAD.and(Phases::REQUEST_BODY).and(Phases::REQUEST_TRAILERS);

/// How a request came.
pub(crate) struct Hop {
    /// By HTTP/1, so that nothing else is on its connection meanwhile.
    pub(crate) is_http1: bool,
}

/// Serves one request.
pub(crate) fn serve(
    client: Rc<Client>,
    head: request::Parts,
    incoming: Incoming,
    hop: Hop,
) -> impl Future<Output = Response<ResponseBody>> {
    // What needs no waiting is done before there is a future to carry it.
    let chosen = client.chosen();
    let is_last = !client.count(manager_of(&chosen).max_requests_per_connection);
    let closes = chosen.is_orphan || is_last;
    let entry = Entry::open(client, Rc::clone(&chosen), manager_of(&chosen), head);
    let admitted = inbound::admit(&entry, manager_of(&chosen), hop.is_http1);
    async move {
        let manager = manager_of(&chosen);
        let (mut response, refused) = match admitted {
            Ok(upgrade) => match manager.request_timeout {
                None => (route(&entry, manager, incoming, upgrade).await, false),
                Some(limit) => (timed(&entry, manager, (incoming, upgrade), limit).await, false),
            },
            Err(refused) => {
                let mut response = respond::local(&entry, manager, None, refused.reply).await;
                if refused.after == After::Reset {
                    response.body_mut().reset();
                    // The client gets no status to speak of.
                    entry.record.borrow_mut().status = None;
                }
                (response, refused.after == After::Close)
            }
        };
        // What was not upgraded may be followed by what only the other protocol understands.
        let hopes = entry.record.borrow().upgrades;
        if (closes || refused || hopes) && !response.body().turns() {
            response.body_mut().close();
        }
        response
    }
}

fn manager_of(chosen: &Chosen) -> &HttpManager {
    chosen.manager().expect("invariant: only a chain that speaks HTTP succeeds one that does")
}

/// Answers what is no request.
pub(crate) async fn refuse(client: Rc<Client>, reply: LocalReply) -> Response<ResponseBody> {
    let chosen = client.chosen();
    let manager = manager_of(&chosen);
    let (head, ()) = Request::new(()).into_parts();
    let entry = Entry::open(client, Rc::clone(&chosen), manager, head);
    entry.record.borrow_mut().is_request = false;
    respond::local(&entry, manager, None, reply).await
}

/// Serves a request that must have come whole after so long.
async fn timed(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    (incoming, upgrade): (Incoming, Option<Upgrade>),
    limit: Duration,
) -> Response<ResponseBody> {
    let is_whole = incoming.is_end_stream() || upgrade.is_some();
    let late = async {
        let due = entry.record.borrow().began + limit;
        tokio::time::sleep_until(due.into()).await;
        let upload = entry.record.borrow().upload.clone();
        if is_whole || upload.is_some_and(|upload| upload.ended().is_some()) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        response = Box::pin(route(entry, manager, incoming, upgrade)) => response,
        () = late => respond::local(entry, manager, None, reply::request_timeout()).await,
    }
}

/// Finds the route and does what it says.
async fn route(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    incoming: Incoming,
    upgrade: Option<Upgrade>,
) -> Response<ResponseBody> {
    let serving = entry.worker().serving();
    let (taken, reply) = find(entry, manager, &serving);
    let taken = taken.as_ref();
    let keep = taken.filter(|taken| taken.retries()).map(|_| forward::KEPT);
    let upload = if entry.wants(REQUEST) {
        // Boxed: most requests meet no filter, and should not carry room for one.
        match Box::pin(filter_request(entry, incoming, keep)).await {
            Ok(upload) => upload,
            Err(reply) => {
                if let Some(taken) = taken {
                    forward::note_cluster(entry, taken);
                }
                return respond::local(entry, manager, taken, reply).await;
            }
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

/// The route of a request, or the reply where there is none.
fn find<'a>(
    entry: &Entry,
    manager: &'a HttpManager,
    serving: &'a InForce,
) -> (Option<Taken<'a>>, Option<LocalReply>) {
    let lookup = {
        let record = entry.record.borrow();
        let mut request = plan::Request::new(&record.x.request, entry.worker().random());
        request.is_internal = !record.over_edge;
        request.is_secure = record.scheme() == "https";
        serving.plan.route(manager, &request)
    };
    match lookup {
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
    }
}

/// What a route does with a request.
enum Doing<'a> {
    /// The tunnel it asks for ends here: its bytes go on as they are.
    Connect(&'a Forward, &'a plan::Upgrade),
    /// It goes to a cluster.
    Forward(&'a Forward),
    /// It is answered.
    Reply(LocalReply),
}

fn decide<'a>(
    entry: &Entry,
    manager: &HttpManager,
    taken: &Taken<'a>,
    upgrade: Option<&Upgrade>,
) -> Doing<'a> {
    let route = taken.found.route;
    match &route.action {
        Action::Forward(to) => {
            let Some(upgrade) = upgrade else { return Doing::Forward(to) };
            let known = manager.upgrades.iter().any(|kind| **kind == *upgrade.protocol);
            if !to.may_upgrade(&upgrade.protocol, known) {
                return Doing::Reply(LocalReply::text(StatusCode::FORBIDDEN, "", "upgrade_failed"));
            }
            match to.upgrade(&upgrade.protocol).filter(|rules| rules.terminates) {
                Some(rules) => Doing::Connect(to, rules),
                None => Doing::Forward(to),
            }
        }
        Action::Redirect(redirect) => {
            let record = entry.record.borrow();
            let request = plan::Request::new(&record.x.request, 0);
            let path = record.x.request.uri.path_and_query().map_or("/", |path| path.as_str());
            let matched = route.conditions.matched(request.path());
            let url = redirect.location(record.scheme(), request.authority(), path, matched);
            Doing::Reply(redirection(redirect.status, &url))
        }
        Action::Reply(reply) => {
            Doing::Reply(LocalReply::text(reply.status, reply.body.clone(), "direct_response"))
        }
    }
}

/// Does what the route says.
async fn act(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: &Taken<'_>,
    upgrade: Option<Upgrade>,
) -> Response<ResponseBody> {
    let outcome = match (decide(entry, manager, taken, upgrade.as_ref()), taken.idle_timeout(manager)) {
        (Doing::Connect(to, rules), _) => {
            let connecting = forward::connect(entry, taken, (to, rules.proxy_header));
            // Boxed, as all that few requests need: the others should not carry room for it.
            Box::pin(connecting).await.map(|raw| (connected(), Passage::Tunnel(Box::new(raw))))
        }
        (Doing::Forward(to), None) => forward::forward(entry, manager, taken, to).await,
        (Doing::Forward(to), Some(limit)) => {
            let forwarding = forward::forward(entry, manager, taken, to);
            Box::pin(unless_silent(entry, forwarding, limit)).await
        }
        (Doing::Reply(reply), _) => Err(reply),
    };
    pass_on(entry, manager, taken, (outcome, upgrade)).await
}

fn pass_on<'a>(
    entry: &'a Rc<Entry>,
    manager: &'a HttpManager,
    taken: &'a Taken<'a>,
    (outcome, upgrade): (Result<Taking, LocalReply>, Option<Upgrade>),
) -> Passing<'a> {
    match outcome {
        Err(reply) => respond::local(entry, manager, Some(taken), reply),
        Ok((head, Passage::Download(download))) => {
            let passing = respond::upstream(entry, manager, taken, (head, download));
            match taken.idle_timeout(manager) {
                None => passing,
                Some(limit) => passing.watched(Watch::new(entry.pulse(), limit)),
            }
        }
        Ok((head, Passage::Tunnel(raw))) => match upgrade {
            Some(upgrade) => Passing::Now(Some(turned(entry, manager, taken, (head, *raw, upgrade)))),
            None => respond::local(entry, manager, Some(taken), reply::Failure::Protocol.reply(1)),
        },
    }
}

/// Answers that something else goes on from here, and lets it.
fn turned(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: &Taken<'_>,
    (head, upstream, upgrade): (response::Parts, Raw, Upgrade),
) -> Response<ResponseBody> {
    let until = {
        let record = entry.record.borrow();
        let longest = taken.longest(manager, &record.x.request);
        longest.map(|longest| record.began + longest)
    };
    let times = Times { idle: taken.idle_timeout(manager), until };
    let tunnel = upgrade::begin(entry, upgrade, upstream, times);
    let head = (head, tunnel.is_some());
    let mut response = respond::upgraded(entry, manager, taken, head);
    response.body_mut().turn_into(tunnel);
    response
}

/// The answer to a CONNECT that ends here.
fn connected() -> response::Parts {
    Response::new(()).into_parts().0
}

/// Waits for an answer, unless nothing passes for too long.
async fn unless_silent(
    entry: &Rc<Entry>,
    forwarding: impl Future<Output = Result<Taking, LocalReply>>,
    limit: Duration,
) -> Result<Taking, LocalReply> {
    let pulse = entry.pulse();
    tokio::select! {
        biased;
        outcome = forwarding => outcome,
        () = pulse.silent(limit) => {
            let record = entry.record.borrow();
            let is_whole = record.upload.as_ref().is_none_or(|upload| upload.ended().is_some());
            Err(reply::stream_timeout(is_whole))
        }
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
