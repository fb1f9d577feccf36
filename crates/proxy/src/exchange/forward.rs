//! A request on its way to a cluster: attempts, their time limits, and retries.

use std::borrow::Cow;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use balance::{Avoid, Choice, Held, Outcome, Policy, Resource};
use filter::{LocalReply, Phases, ReasonFlag, Share, Side, Step};
use http::header::{HOST, HeaderName};
use http::{HeaderValue, response};
use net::Raw;
use net::http1::Number;
use net::{Http, Stream, Target};
use plan::{ClusterKind, Forward, HostNames, HttpManager, ProxyHeader, Retry, RetryOn};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::taken::Taken;
use super::{asks, mirror};
use crate::account::Entry;
use crate::body::Download;
use crate::deadline::Deadline;
use crate::pick::{self, Picked, Tried, Wish};
use crate::reply::{self, Failure};
use crate::serving::PATIENCE;
use crate::upload::Upload;
use crate::upstream::{self, Answer, Failed, Sending};
use crate::view::View;

const ATTEMPTS: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
/// How much of a body is kept for a retry, as Envoy's default buffer.
pub(crate) const KEPT: usize = 1 << 20;

/// An answer that goes to the client, and what follows its head.
pub(crate) type Taking = (response::Parts, Passage);

/// What follows the head of an answer.
pub(crate) enum Passage {
    /// The rest of the answer.
    Download(Download),
    /// Something that is HTTP no more.
    Tunnel(Box<Raw>),
}

/// One request being forwarded.
struct Errand<'a> {
    entry: &'a Rc<Entry>,
    manager: &'a HttpManager,
    taken: &'a Taken<'a>,
    forward: &'a Forward,
    view: Rc<View>,
    tried: Tried,
    deadline: Option<Deadline>,
    limit: Option<Duration>,
    /// Whether the time is over sooner by what is said of every stream.
    ends_as_stream: bool,
    /// The hash by which the cluster chooses, where it does so.
    hash: Option<u64>,
    /// The retry under way.
    retrying: Option<Held>,
}

/// Forwards a request by the route it has taken.
pub(crate) async fn forward(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: &Taken<'_>,
    forward: &Forward,
) -> Result<Taking, LocalReply> {
    let view = cluster(entry, taken, forward).await?;
    let drops = &view.cluster.endpoints.drops;
    if let Some((_, share)) = drops.iter().find(|(_, share)| share.includes(entry.worker().random())) {
        view.counters.dropped.increment();
        return Err(reply::dropped(*share == Share::ALL));
    }
    let (limit, deadline, ends_as_stream) = {
        let mut record = entry.record.borrow_mut();
        record.way.view = Some(Rc::clone(&view));
        let own = forward.limit(&record.x.request);
        let limit = own.into_iter().chain(view.cluster.max_stream_duration).min();
        let longest = manager.max_stream_duration;
        let longest = longest.filter(|_| forward.leaves_duration_to_manager(&record.x.request));
        let stream = longest.map(|longest| Instant::from(record.began) + longest);
        let own = limit.map(|limit| Instant::now() + limit);
        let ends_as_stream = stream.is_some_and(|stream| own.is_none_or(|own| stream < own));
        (limit, own.into_iter().chain(stream).min(), ends_as_stream)
    };
    prepare(entry, manager, taken, forward);
    let mut errand = Errand {
        entry,
        manager,
        taken,
        forward,
        view,
        tried: Tried::new(),
        deadline: deadline.map(|at| Deadline::new(&entry.client, at)),
        limit,
        ends_as_stream,
        hash: None,
        retrying: None,
    };
    if errand.view.cluster.balancer.policy.is_some_and(Policy::is_by_hash) {
        errand.hash = hash(entry, forward);
    }
    let outcome = errand.run().await;
    // What is to become something else never ends as a request, and so is never copied.
    if !forward.mirrors.is_empty() && !entry.record.borrow().upgrades {
        mirror::mirror(entry, forward);
    }
    outcome
}

/// Connects to an endpoint of the route's cluster, for bytes that are no request any more.
pub(crate) async fn connect(
    entry: &Rc<Entry>,
    taken: &Taken<'_>,
    (forward, header): (&Forward, Option<ProxyHeader>),
) -> Result<Raw, LocalReply> {
    let view = cluster(entry, taken, forward).await?;
    entry.record.borrow_mut().way.view = Some(Rc::clone(&view));
    let (worker, client) = (entry.worker(), &entry.client);
    let host = {
        let record = entry.record.borrow();
        let host = record.x.request.headers.get(HOST).and_then(|host| host.to_str().ok());
        host.map(Arc::<str>::from)
    };
    let redirected = client.original();
    let wish = Wish { host, destination: redirected, ..Wish::default() };
    let told = |failure: Failure| failure.reply(1);
    let picked = pick::pick(worker, &view, wish).await.map_err(told)?;
    let name = client.server_name().map(Arc::from);
    let mut way = picked.way(worker, &view, None, (name.as_ref(), None)).map_err(told)?;
    way.from = header.map(|version| pick::header(version, (&client.remote, &client.destination)));
    let (io, counted) = crate::connect::bytes(worker, &view, (&picked, &way)).await.map_err(told)?;
    let mut record = entry.record.borrow_mut();
    record.way.upstream = Some(picked.address.clone());
    record.way.local = io.socket().local().map(Into::into);
    Ok(Raw::Connection(Stream::new(io), Box::new(counted)))
}

/// The hash of a request; cookies that belong to it go with the answer.
fn hash(entry: &Entry, forward: &Forward) -> Option<u64> {
    let mut record = entry.record.borrow_mut();
    let hashed = forward.hashed(&record.x.request, &record.x.facts.peer);
    record.cookies = hashed.cookies;
    hashed.hash
}

/// The cluster the route names; one whose endpoints are still to come is waited for.
async fn cluster(entry: &Rc<Entry>, taken: &Taken<'_>, forward: &Forward) -> Result<Rc<View>, LocalReply> {
    let worker = entry.worker();
    let missing = || reply::no_cluster(forward.no_cluster);
    let name = match taken.found.target {
        Some(target) => Cow::Borrowed(&*target.cluster),
        None => {
            let record = entry.record.borrow();
            Cow::Owned(taken.found.cluster(&record.x.request).ok_or_else(missing)?.to_owned())
        }
    };
    let deadline = Instant::now() + PATIENCE;
    while worker.serving().cold.contains(&*name) {
        if tokio::time::timeout_at(deadline, worker.swapped()).await.is_err() {
            break;
        }
    }
    worker.view(&name).ok_or_else(missing)
}

/// Notes the cluster that a request was for which does not get there.
pub(crate) fn note_cluster(entry: &Entry, taken: &Taken<'_>) {
    let mut record = entry.record.borrow_mut();
    let name = match taken.found.target {
        Some(target) => Some(&*target.cluster),
        None => taken.found.cluster(&record.x.request),
    };
    let view = name.and_then(|name| entry.worker().view(name));
    record.way.view = view;
}

/// What is done to the head once, before the first attempt.
fn prepare(entry: &Entry, manager: &HttpManager, taken: &Taken<'_>, forward: &Forward) {
    let mut record = entry.record.borrow_mut();
    let record = &mut *record;
    let tells = !manager.filters.suppress_envoy_headers;
    let matched = taken.found.route.conditions.matched(record.x.request.uri.path());
    if record.original_path.is_none() {
        let path = record.x.request.uri.path_and_query().map_or("/", |path| path.as_str());
        record.original_path = forward.rewrite.path(path, matched).map(|_| path.into());
    }
    for operations in taken.request_headers() {
        operations.apply_to_request(&mut record.x, taken.scope());
    }
    if !forward.rewrite.takes_host_of_upstream() {
        let hosts = HostNames {
            weighted: taken.found.target.and_then(|target| target.host.as_ref()),
            upstream: None,
        };
        forward.rewrite.apply(&mut record.x, matched, hosts, tells);
    }
}

impl<'a> Errand<'a> {
    async fn run(&mut self) -> Result<Taking, LocalReply> {
        let retry = self.retry();
        let is_grpc = self.entry.record.borrow().is_grpc;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let outcome = self.attempt(attempt).await?;
            let wanted = retry.filter(|retry| wants(retry, &outcome, is_grpc) && self.can_repeat());
            match wanted {
                Some(retry) if attempt <= retry.retries && self.may_retry() => {
                    self.view.counters.retries.increment();
                    drop(outcome);
                    let pause = retry.pause(attempt, self.entry.worker().random());
                    self.pause(pause).await.map_err(|failure| self.give_up(&failure, attempt))?;
                }
                wanted => {
                    if wanted.is_some_and(|retry| attempt > retry.retries) {
                        self.entry.raise(ReasonFlag::UpstreamRetryLimitExceeded);
                    }
                    return match outcome {
                        Ok(answer) => self.accept(answer).map_err(|failure| self.give_up(&failure, attempt)),
                        Err(failed) => Err(self.give_up(&failed.failure, attempt)),
                    };
                }
            }
        }
    }

    /// The retry policy, where it is for this request.
    fn retry(&self) -> Option<&'a Retry> {
        let record = self.entry.record.borrow();
        self.forward.retry.as_ref().filter(|retry| retry.concerns(&record.x.request))
    }

    /// Takes the right to one retry; too many under way are an overflow.
    fn may_retry(&mut self) -> bool {
        // The retry before this one is over.
        self.retrying = None;
        let cluster = &self.view.cluster;
        let worker = self.entry.worker();
        self.retrying = cluster.state.take(Resource::Retry, &cluster.breakers, || worker.clock());
        if self.retrying.is_none() {
            self.view.counters.retry_overflows.increment();
            self.entry.raise(ReasonFlag::UpstreamOverflow);
        }
        self.retrying.is_some()
    }

    /// Whether the request can be sent once more from its start.
    fn can_repeat(&self) -> bool {
        self.entry.record.borrow().upload.as_ref().is_none_or(Upload::is_whole)
    }

    /// Waits before a retry; fails where the whole time is over meanwhile.
    async fn pause(&mut self, pause: Duration) -> Result<(), Failure> {
        match &mut self.deadline {
            None => tokio::time::sleep(pause).await,
            Some(deadline) => tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = deadline => return Err(Failure::RouteTimeout),
            },
        }
        Ok(())
    }

    /// One attempt; a filter may answer instead.
    async fn attempt(&mut self, attempt: u32) -> Result<Result<Answer, Failed>, LocalReply> {
        self.entry.record.borrow_mut().x.facts.attempt = attempt;
        if self.entry.wants(Phases::BEFORE_UPSTREAM) {
            let step = self.entry.step(|run, x| run.before_upstream(x));
            if let Step::Reply(reply) = Box::pin(asks::settle(self.entry, Side::Request, step)).await {
                return Err(reply);
            }
        }
        let picked = match self.pick().await {
            Ok(picked) => picked,
            Err(failure) => return Ok(Err(Failed { failure, sent: false })),
        };
        self.tried.extend(picked.place);
        let (numbers, is_http2) = self.request(attempt, &picked);
        let http = self.view.http(is_http2);
        let target = match self.target(&picked, http) {
            Ok(target) => target,
            Err(failure) => return Ok(Err(Failed { failure, sent: false })),
        };
        let worker = self.entry.worker();
        let sending = Sending::Entry(self.entry, &numbers);
        let sending = || upstream::attempt(worker, &self.view, (&picked, &target), &sending);
        let policy = self.forward.retry.as_ref();
        let per_try = policy.and_then(|retry| retry.per_try_timeout);
        let outcome = match policy.and_then(|retry| retry.per_try_idle_timeout) {
            None => timed(pin!(sending()), self.deadline.as_mut(), per_try).await,
            Some(limit) => {
                let pulse = self.entry.pulse();
                pulse.beat();
                // Boxed: few policies ask for it, and other requests should not carry room for one.
                let mut sending = Box::pin(async {
                    tokio::select! {
                        biased;
                        outcome = sending() => outcome,
                        () = pulse.silent(limit) => Err(Failed { failure: Failure::TryIdle, sent: true }),
                    }
                });
                timed(sending.as_mut(), self.deadline.as_mut(), per_try).await
            }
        };
        self.note(&outcome, &picked);
        Ok(outcome)
    }

    /// The endpoint for this attempt.
    async fn pick(&mut self) -> Result<Picked, Failure> {
        let client = &self.entry.client;
        let redirected = client.original();
        let (host, destination) = {
            let record = self.entry.record.borrow();
            let headers = &record.x.request.headers;
            let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
            match &self.view.cluster.kind {
                ClusterKind::DynamicForward(_) => (text(&HOST).map(Arc::from), None),
                ClusterKind::OriginalDst(rules) => {
                    let named = rules.header.as_ref().and_then(text).and_then(|text| text.parse().ok());
                    (None, named.or(redirected))
                }
                _ => (None, redirected),
            }
        };
        let retry = self.forward.retry.as_ref().filter(|_| !self.tried.is_empty());
        let avoiding = retry.filter(|retry| retry.avoids_previous_hosts);
        let avoid = avoiding
            .map_or_else(Avoid::default, |retry| Avoid { hosts: &self.tried, attempts: retry.host_attempts });
        let choice = Choice {
            hash: self.hash,
            avoid,
            tried: &self.tried,
            priority_frequency: retry.and_then(|retry| retry.priority_frequency),
        };
        // A retry is free to go elsewhere.
        let session = {
            let record = self.entry.record.borrow();
            record.x.facts.wanted.as_ref().filter(|_| self.tried.is_empty()).cloned()
        };
        let wish = Wish { host, destination, session, choice };
        pick::pick(self.entry.worker(), &self.view, wish).await
    }

    /// How the endpoint is reached.
    fn target(&self, picked: &Picked, http: Http) -> Result<Target, Failure> {
        let client = &self.entry.client;
        let auto = &self.view.cluster.auto_sni;
        let host = (auto.sends_host || auto.checks_host).then(|| {
            let record = self.entry.record.borrow();
            let headers = &record.x.request.headers;
            let named = auto.header.as_ref().and_then(|name| headers.get(name));
            let host = named.or_else(|| headers.get(HOST))?;
            host.to_str().ok().map(pick::server_name)
        });
        let ends = Some((&client.remote, &client.destination));
        let host = host.flatten();
        let way = picked.way(self.entry.worker(), &self.view, Some(http), (host.as_ref(), ends))?;
        Ok(Target { way, http })
    }

    /// Makes the request what this attempt sends: the headers it adds, and whether it came by HTTP/2.
    fn request(&self, attempt: u32, picked: &Picked) -> (SmallVec<[Number; 2]>, bool) {
        let mut record = self.entry.record.borrow_mut();
        let record = &mut *record;
        if self.forward.rewrite.takes_host_of_upstream() {
            if attempt == 1 {
                let matched = self.taken.found.route.conditions.matched(record.x.request.uri.path());
                let weighted = self.taken.found.target.and_then(|target| target.host.as_ref());
                let hosts = HostNames { weighted, upstream: picked.hostname.as_deref() };
                let tells = !self.manager.filters.suppress_envoy_headers;
                self.forward.rewrite.apply(&mut record.x, matched, hosts, tells);
            } else if let Some(host) =
                picked.hostname.as_deref().and_then(|name| HeaderValue::from_str(name).ok())
            {
                record.x.request.headers.insert(http::header::HOST, host);
            }
        }
        let mut numbers = SmallVec::new();
        if self.taken.found.host.request_attempt_count {
            numbers.push(Number { name: ATTEMPTS, value: u64::from(attempt) });
        }
        let per_try = self.forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        let expected = self.limit.into_iter().chain(per_try).min();
        if let Some(expected) = expected.filter(|_| !self.manager.filters.suppress_envoy_headers) {
            numbers.push(Number {
                name: TIMEOUT,
                value: u64::try_from(expected.as_millis()).unwrap_or(u64::MAX),
            });
        }
        if let Some(expected) = expected.filter(|_| record.is_grpc && self.forward.tells_grpc_timeout())
            && let Some(value) = grpc_timeout(expected)
        {
            record.x.request.headers.insert(GRPC_TIMEOUT, value);
        }
        (numbers, record.x.request.version == http::Version::HTTP_2)
    }

    /// Writes down how an attempt went.
    fn note(&self, outcome: &Result<Answer, Failed>, picked: &Picked) {
        let mut record = self.entry.record.borrow_mut();
        record.way.upstream = Some(picked.address.clone());
        record.x.facts.upstream = Some(picked.address.clone());
        record.way.workload = picked.workload.clone();
        let counters = &self.view.counters;
        match outcome {
            Ok(answer) => {
                let status = answer.head.status;
                counters.responded(status);
                if status.is_server_error() {
                    picked.state.fail();
                }
                let grpc = record.is_grpc.then(|| grpc_judged(&answer.head)).flatten();
                let judged = match (grpc, &self.view.cluster.errors) {
                    (Some(judged), _) => judged,
                    (None, Some(errors)) => errors.judged(status, &answer.head.headers),
                    (None, None) => status.as_u16(),
                };
                picked.report(self.entry.worker(), &self.view, Outcome::Answer(judged));
                record.way.local = answer.lease.local().map(Into::into);
                record.service_time = Some(answer.took);
                record.first_byte = Some(answer.at);
                record.failure = None;
            }
            Err(failed) => {
                picked.state.fail();
                counters.responded(http::StatusCode::SERVICE_UNAVAILABLE);
                let outcome = match &failed.failure {
                    Failure::Broken | Failure::Protocol | Failure::Refused | Failure::Reset => {
                        Some(Outcome::Broken)
                    }
                    Failure::RouteTimeout | Failure::TryIdle | Failure::TryTimeout => Some(Outcome::TimedOut),
                    // Told where the connection was made, or nobody's fault there.
                    _ => None,
                };
                if let Some(outcome) = outcome {
                    picked.report(self.entry.worker(), &self.view, outcome);
                }
                match &failed.failure {
                    Failure::Connect(why) => record.failure = Some(why.clone()),
                    Failure::RouteTimeout => counters.timeouts.increment(),
                    Failure::TryIdle => counters.per_try_idle_timeouts.increment(),
                    Failure::TryTimeout => counters.per_try_timeouts.increment(),
                    _ => {}
                }
            }
        }
    }

    /// Takes an answer for the client.
    fn accept(&mut self, answer: Answer) -> Result<Taking, Failure> {
        let Answer { mut head, lease, holds, .. } = answer;
        let asked = self.entry.record.borrow().upgrades;
        let is_connect = self.entry.record.borrow().x.request.method == http::Method::CONNECT;
        let switches = match lease.is_http2() || is_connect {
            true => asked && head.status.is_success(),
            false => head.status == http::StatusCode::SWITCHING_PROTOCOLS,
        };
        if switches != asked && (switches || head.status == http::StatusCode::SWITCHING_PROTOCOLS) {
            return Err(Failure::Protocol);
        }
        if switches && lease.is_http2() && !is_connect {
            head.status = http::StatusCode::SWITCHING_PROTOCOLS;
            if let Some(protocol) = self.entry.record.borrow().x.request.headers.get(http::header::UPGRADE) {
                head.headers.insert(http::header::UPGRADE, protocol.clone());
            }
        }
        if switches {
            let raw = lease.into_raw(&mut head).ok_or(Failure::Protocol)?;
            return Ok((head, Passage::Tunnel(Box::new(raw))));
        }
        let (deadline, keep) = (self.deadline.take(), self.view.keep());
        let download = Download { lease: Some(lease), deadline, keep, _holds: holds };
        Ok((head, Passage::Download(download)))
    }

    fn give_up(&self, failure: &Failure, attempts: u32) -> LocalReply {
        let mut record = self.entry.record.borrow_mut();
        // A filter that stopped the request's body has said what the client gets.
        record.stopped.take().unwrap_or_else(|| match failure {
            Failure::RouteTimeout if self.ends_as_stream => {
                reply::too_long(record.upload.as_ref().is_none_or(|upload| upload.ended().is_some()))
            }
            _ => failure.reply(attempts),
        })
    }
}

/// A time as gRPC writes it: at most eight digits, in the smallest unit that allows it.
fn grpc_timeout(time: Duration) -> Option<HeaderValue> {
    const MOST: u128 = 99_999_999;
    let mut number = time.as_millis();
    let mut unit = "m";
    for (larger, size) in [("S", 1000), ("M", 60), ("H", 60)] {
        if number > MOST {
            (number, unit) = (number / size, larger);
        }
    }
    HeaderValue::try_from(format!("{}{unit}", number.min(MOST))).ok()
}

/// The status an endpoint is judged by for a gRPC call, where its answer begins with how it ended.
fn grpc_judged(head: &response::Parts) -> Option<u16> {
    let status = head.headers.get("grpc-status")?.to_str().ok()?;
    Some(match status {
        "0" => 200,
        "1" => 499,
        "3" | "9" | "11" => 400,
        "4" => 504,
        "5" => 404,
        "6" | "10" => 409,
        "7" => 403,
        "8" => 429,
        "12" => 501,
        "14" => 503,
        "16" => 401,
        _ => 500,
    })
}

/// Whether a policy wants another attempt after this one.
fn wants(retry: &Retry, outcome: &Result<Answer, Failed>, is_grpc: bool) -> bool {
    match outcome {
        Ok(answer) => {
            let (status, headers) = (answer.head.status, &answer.head.headers);
            // An answer that is no error is only wanted again by its headers, which few policies look at.
            let is_plain = status.is_success()
                && !is_grpc
                && retry.headers.is_empty()
                && retry.statuses.iter().all(|s| !s.is_success());
            let by_headers = retry.on.contains(RetryOn::RATE_LIMITED);
            (!is_plain || by_headers) && retry.wants_answer(status, headers)
        }
        Err(failed) => failed.for_retry().is_some_and(|failure| retry.wants_failure(failure)),
    }
}

/// Bounds an attempt by its own time and that of the whole request.
async fn timed(
    sending: Pin<&mut impl Future<Output = Result<Answer, Failed>>>,
    deadline: Option<&mut Deadline>,
    per_try: Option<Duration>,
) -> Result<Answer, Failed> {
    let over = |failure| Err(Failed { failure, sent: true });
    match (deadline, per_try) {
        (None, None) => sending.await,
        (Some(deadline), None) => tokio::select! {
            biased;
            outcome = sending => outcome,
            () = deadline => over(Failure::RouteTimeout),
        },
        (deadline, Some(limit)) => {
            let route = async {
                match deadline {
                    Some(deadline) => deadline.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                outcome = sending => outcome,
                () = route => over(Failure::RouteTimeout),
                () = tokio::time::sleep(limit) => over(Failure::TryTimeout),
            }
        }
    }
}
