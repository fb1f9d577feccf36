//! A request on its way to a cluster: attempts, their time limits, and retries.

use std::borrow::Cow;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filter::{LocalReply, Phases, ReasonFlag, Side, Step};
use http::header::{HOST, HeaderName};
use http::{HeaderValue, request, response};
use plan::{Forward, HostNames, HttpManager, Retry, RetryOn};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::account::Entry;
use crate::body::Download;
use crate::control::PATIENCE;
use crate::exchange::{Taken, asks};
use crate::pick::{self, Picked, Tried, Wish};
use crate::reply::{self, Failure};
use crate::upload::{RequestBody, Upload};
use crate::upstream::{self, Answer, Failed};
use crate::view::View;

const ATTEMPTS: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
/// How much of a body is kept for a retry, as Envoy's default buffer.
pub(crate) const KEPT: usize = 1 << 20;

/// How long a copy may take.
const MIRROR: Duration = Duration::from_secs(15);

/// An answer that goes to the client.
pub(crate) struct Taking {
    pub(crate) head: response::Parts,
    pub(crate) download: Download,
    /// The upstream's side of an upgrade.
    pub(crate) upgraded: Option<hyper::upgrade::OnUpgrade>,
}

/// One request being forwarded.
struct Errand<'a> {
    entry: &'a Rc<Entry>,
    manager: &'a HttpManager,
    taken: &'a Taken<'a>,
    forward: &'a Forward,
    view: Rc<View>,
    tried: Tried,
    deadline: Option<Pin<Box<Sleep>>>,
    limit: Option<Duration>,
}

/// Forwards a request by the route it has taken.
pub(crate) async fn forward(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    taken: &Taken<'_>,
    forward: &Forward,
) -> Result<Taking, LocalReply> {
    let view = cluster(entry, taken, forward).await?;
    let limit = {
        let mut record = entry.record.borrow_mut();
        record.way.view = Some(Rc::clone(&view));
        let own = forward.limit(&record.x.request);
        own.into_iter().chain(manager.max_stream_duration).min()
    };
    prepare(entry, manager, taken, forward);
    let mut errand = Errand {
        entry,
        manager,
        taken,
        forward,
        view,
        tried: Tried::new(),
        deadline: limit.map(|limit| Box::pin(sleep_until(Instant::now() + limit))),
        limit,
    };
    let outcome = errand.run().await;
    if !forward.mirrors.is_empty() {
        mirror(entry, forward);
    }
    outcome
}

/// Sends copies whose answers nobody waits for. A body goes with them where it was kept whole by now.
fn mirror(entry: &Rc<Entry>, forward: &Forward) {
    let record = entry.record.borrow();
    let body = match &record.upload {
        None => Bytes::new(),
        Some(upload) => match upload.kept() {
            Some(body) => body,
            None => return,
        },
    };
    for mirror in forward.mirrors.iter().filter(|mirror| mirror.share.includes(entry.worker().random())) {
        let mut head = record.x.request.clone();
        if mirror.marks_host
            && let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok())
            && let Ok(shadow) = HeaderValue::try_from(shadow(host))
        {
            head.headers.insert(HOST, shadow);
        }
        let (worker, cluster, body) = (Rc::clone(entry.worker()), Arc::clone(&mirror.cluster), body.clone());
        // Bounded, and nobody's business how it ends.
        tokio::task::spawn_local(async move {
            let call = upstream::call(&worker, &cluster, head, body);
            let _ = tokio::time::timeout(MIRROR, call).await;
        });
    }
}

/// The host of a copy, so that it is told from the real request in logs.
fn shadow(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => format!("{name}-shadow:{port}"),
        _ => format!("{host}-shadow"),
    }
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
                Some(retry) if attempt <= retry.retries => {
                    self.view.counters.retries.increment();
                    drop(outcome);
                    let pause = retry.pause(attempt, self.entry.worker().random());
                    self.pause(pause).await.map_err(|failure| self.give_up(&failure, attempt))?;
                }
                wanted => {
                    if wanted.is_some() {
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
        let (head, body, upload) = self.request(attempt, &picked);
        let is_http2 = self.view.is_http2(head.version == http::Version::HTTP_2);
        let worker = self.entry.worker();
        let sending =
            upstream::attempt(worker, &self.view, (&picked, is_http2), (head, body, upload.as_ref()));
        let per_try = self.forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        let outcome = timed(pin!(sending), self.deadline.as_mut(), per_try).await;
        self.note(&outcome, &picked);
        Ok(outcome)
    }

    async fn pick(&mut self) -> Result<Picked, Failure> {
        let head = {
            let record = self.entry.record.borrow();
            // Only a dynamic cluster reads it, and waits meanwhile.
            matches!(self.view.cluster.kind, plan::ClusterKind::DynamicForward)
                .then(|| record.x.request.clone())
        };
        let retry =
            self.forward.retry.as_ref().filter(|retry| retry.avoids_previous_hosts && !self.tried.is_empty());
        let client = &self.entry.client;
        let wish = Wish {
            host: head.as_ref().and_then(|head| head.headers.get(http::header::HOST)),
            destination: (client.destination != client.local).then_some(client.destination),
            tried: &self.tried,
            attempts: retry.map_or(0, |retry| retry.host_attempts),
        };
        pick::pick(self.entry.worker(), &self.view, wish).await
    }

    /// The request as this attempt sends it.
    fn request(&self, attempt: u32, picked: &Picked) -> (request::Parts, RequestBody, Option<Upload>) {
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
        let mut head = record.x.request.clone();
        if self.taken.found.host.request_attempt_count {
            head.headers.insert(ATTEMPTS, HeaderValue::from(attempt));
        }
        if let Some(limit) = self.limit.filter(|_| !self.manager.filters.suppress_envoy_headers) {
            let per_try = self.forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
            let expected = per_try.map_or(limit, |per_try| per_try.min(limit));
            head.headers
                .insert(TIMEOUT, HeaderValue::from(u64::try_from(expected.as_millis()).unwrap_or(u64::MAX)));
        }
        let upload = record.upload.clone();
        let body = upload.as_ref().map_or(RequestBody::Empty, |upload| RequestBody::Reading(upload.read()));
        (head, body, upload)
    }

    /// Writes down how an attempt went.
    fn note(&self, outcome: &Result<Answer, Failed>, picked: &Picked) {
        let mut record = self.entry.record.borrow_mut();
        record.way.upstream = Some(picked.address);
        record.way.workload = picked.workload.clone();
        let counters = &self.view.counters;
        match outcome {
            Ok(answer) => {
                let status = answer.response.status();
                counters.responded(status);
                if status.is_server_error() {
                    picked.state.fail();
                }
                record.way.local = answer.lease.local();
                record.service_time = Some(answer.took);
                record.first_byte = Some(answer.at);
                record.failure = None;
            }
            Err(failed) => {
                picked.state.fail();
                counters.responded(http::StatusCode::SERVICE_UNAVAILABLE);
                match &failed.failure {
                    Failure::Connect(why) => record.failure = Some(why.clone()),
                    Failure::RouteTimeout => counters.timeouts.increment(),
                    Failure::TryTimeout => counters.per_try_timeouts.increment(),
                    _ => {}
                }
            }
        }
    }

    /// Takes an answer for the client.
    fn accept(&mut self, answer: Answer) -> Result<Taking, Failure> {
        let Answer { mut response, lease, holds, .. } = answer;
        let switches = response.status() == http::StatusCode::SWITCHING_PROTOCOLS;
        if switches && !self.entry.record.borrow().upgrades {
            return Err(Failure::Protocol);
        }
        let upgraded = switches.then(|| hyper::upgrade::on(&mut response));
        let (head, incoming) = response.into_parts();
        let download = Download {
            incoming,
            lease: Some(lease),
            deadline: self.deadline.take(),
            most: self.view.cluster.max_requests_per_connection,
            _holds: holds,
        };
        Ok(Taking { head, download, upgraded })
    }

    fn give_up(&self, failure: &Failure, attempts: u32) -> LocalReply {
        let mut record = self.entry.record.borrow_mut();
        // A filter that stopped the request's body has said what the client gets.
        record.stopped.take().unwrap_or_else(|| failure.reply(attempts))
    }
}

/// Whether a policy wants another attempt after this one.
fn wants(retry: &Retry, outcome: &Result<Answer, Failed>, is_grpc: bool) -> bool {
    match outcome {
        Ok(answer) => {
            let (status, headers) = (answer.response.status(), answer.response.headers());
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
    deadline: Option<&mut Pin<Box<Sleep>>>,
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
