//! The account of each exchange: opened with its head, closed when its last byte has passed or its client
//! has gone; then it becomes a log line and counts in the metrics.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::{Address, Origin};
use bytes::Bytes;
use filter::{Chain, ChainRun, Exchange, Limits, LocalReply, Phases, ReasonFlag, Step};
use http::header::{HOST, HeaderName, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use plan::{Direction, HttpManager, RouteMatch};
use telemetry::{Account, Flags, Format, Security, Service, Traffic, Workload};

use crate::client::{Chosen, Client};
use crate::counters::{Active, HttpCounters};
use crate::cut::Cut;
use crate::forwarded;
use crate::ledger::Ledger;
use crate::silence::Pulse;
use crate::upload::Upload;
use crate::view::View;
use crate::worker::Worker;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// One exchange, from its head to its end. The last to let go of it closes the account.
pub(crate) struct Entry {
    pub(crate) client: Rc<Client>,
    pub(crate) chosen: Rc<Chosen>,
    pub(crate) record: RefCell<Record>,
    pulse: OnceCell<Pulse>,
    _active: Active,
    http: Rc<HttpCounters>,
}

/// What is written down of an exchange.
pub(crate) struct Record {
    /// The exchange as filters see it.
    pub(crate) x: Exchange,
    /// The run of the route's filters, where it has any.
    run: Option<Box<ChainRun>>,
    /// Whether there was a request at all, and not something that is no HTTP.
    pub(crate) is_request: bool,
    /// Where it went.
    pub(crate) way: Way,
    /// The request's body, where there is one.
    pub(crate) upload: Option<Upload>,
    /// Cookies that go with the answer.
    pub(crate) cookies: Vec<HeaderValue>,
    /// Whether the response has passed whole.
    pub(crate) complete: bool,
    pub(crate) status: Option<StatusCode>,
    pub(crate) details: Cow<'static, str>,
    pub(crate) is_grpc: bool,
    /// Whether an upgrade is asked for.
    pub(crate) upgrades: bool,
    /// The reply of a filter that stopped the request's body on its way.
    pub(crate) stopped: Option<LocalReply>,
    pub(crate) over_edge: bool,
    phases: Phases,
    /// The client, as far as its word is believed.
    pub(crate) from: Address,
    pub(crate) original_path: Option<Box<str>>,
    pub(crate) began: Instant,
    started: Duration,
    pub(crate) first_byte: Option<Instant>,
    pub(crate) service_time: Option<Duration>,
    pub(crate) failure: Option<Cow<'static, str>>,
    sent: u64,
    relayed: u64,
    grpc_status: Option<u16>,
    response_headers: Option<HeaderMap>,
}

/// The way an exchange took.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) route: Option<Arc<str>>,
    pub(crate) origin: Option<String>,
    pub(crate) view: Option<Rc<View>>,
    pub(crate) upstream: Option<Address>,
    pub(crate) local: Option<Address>,
    pub(crate) workload: Option<Arc<Workload>>,
}

impl Entry {
    /// Opens the account of a request.
    pub(crate) fn open(
        client: Rc<Client>,
        chosen: Rc<Chosen>,
        manager: &HttpManager,
        head: http::request::Parts,
    ) -> Rc<Self> {
        let counters = &client.worker.ledger.counters;
        let http = Rc::clone(chosen.http.get_or_init(|| counters.manager(&manager.stat_prefix)));
        http.requests.increment();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let facts = filter::Facts::new(
            filter::Moment(started),
            filter::Peer { remote: client.remote.clone(), local: client.destination.clone() },
            client.worker.random(),
        );
        let record = Record {
            is_grpc: crate::reply::is_grpc(&head.headers),
            x: Exchange { request: head, response: None, facts },
            run: None,
            is_request: true,
            way: Way::default(),
            upload: None,
            upgrades: false,
            stopped: None,
            over_edge: false,
            phases: Phases::none(),
            cookies: Vec::new(),
            complete: false,
            status: None,
            details: Cow::Borrowed("via_upstream"),
            from: client.remote.clone(),
            original_path: None,
            began: Instant::now(),
            started,
            first_byte: None,
            service_time: None,
            failure: None,
            sent: 0,
            relayed: 0,
            grpc_status: None,
            response_headers: None,
        };
        let _active = Active::begin(&http.active);
        Rc::new(Self { client, chosen, record: RefCell::new(record), pulse: OnceCell::new(), _active, http })
    }

    /// The worker that serves it.
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.client.worker
    }

    /// Takes a route: its filters, its name.
    pub(crate) fn take_route(&self, found: &RouteMatch<'_>) {
        self.record.borrow_mut().way.route = Some(&found.route.name).filter(|name| !name.is_empty()).cloned();
        self.open_chain(found.chain);
    }

    /// Starts a run of filters.
    pub(crate) fn open_chain(&self, chain: &Chain) {
        if !chain.is_empty() {
            let mut record = self.record.borrow_mut();
            record.run = Some(Box::new(chain.open(Limits::default())));
            record.phases = chain.phases();
        }
    }

    /// Whether some filter takes part in any of these phases.
    pub(crate) fn wants(&self, phases: Phases) -> bool {
        self.record.borrow().phases.contains(phases)
    }

    /// Lets the filters take one step.
    pub(crate) fn step(&self, step: impl FnOnce(&mut ChainRun, &mut Exchange) -> Step) -> Step {
        let mut record = self.record.borrow_mut();
        let record = &mut *record;
        match &mut record.run {
            Some(run) => step(run, &mut record.x),
            None => Step::Continue,
        }
    }

    /// When something last passed on the stream, from now on.
    pub(crate) fn pulse(&self) -> Pulse {
        let pulse = self.pulse.get_or_init(|| {
            let pulse = Pulse::default();
            if let Some(upload) = &self.record.borrow().upload {
                upload.watch(pulse.clone());
            }
            pulse
        });
        pulse.clone()
    }

    /// Raises a flag.
    pub(crate) fn raise(&self, flag: ReasonFlag) {
        self.record.borrow_mut().x.facts.raise(flag);
    }

    /// Whether the account needs the response's headers after they are gone.
    pub(crate) fn keeps_response_headers(&self, manager: &HttpManager) -> bool {
        self.formats(manager).iter().any(|format| format.reads_response_headers())
    }

    fn formats(&self, manager: &HttpManager) -> &[Rc<Format>] {
        let ledger = &self.client.worker.ledger;
        self.chosen
            .formats
            .get_or_init(|| manager.access_log.iter().map(|log| ledger.format(log.format.as_ref())).collect())
    }
}

impl Record {
    /// Notes a reply of our own.
    pub(crate) fn replied(&mut self, reply: &LocalReply) {
        if let Some(flag) = reply.flag {
            self.x.facts.raise(flag);
        }
        self.details = reply.details.clone();
    }

    /// Notes the head of the response that goes to the client.
    pub(crate) fn responds(&mut self, head: &http::response::Parts, keeps_headers: bool) {
        self.first_byte.get_or_insert_with(Instant::now);
        self.status = Some(head.status);
        if self.is_grpc {
            self.grpc_status = head.headers.get(GRPC_STATUS).and_then(number);
        }
        if keeps_headers {
            self.response_headers = Some(head.headers.clone());
        }
    }

    /// Why a reply was made, for a peer who wants to know: flag, details, origin.
    pub(crate) fn reason(&mut self, reply: &LocalReply, origin: Option<&Origin>) -> String {
        let flag = reply.flag.map_or("-", ReasonFlag::short);
        let origin = origin.map(ToString::to_string);
        let reason = match &origin {
            Some(origin) => format!("{flag} {}; {origin}", reply.details),
            None => format!("{flag} {}", reply.details),
        };
        self.way.origin = origin;
        reason
    }

    /// The scheme the client used, as far as is known.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.x.request.headers.get(crate::forwarded::PROTO) {
            Some(proto) if proto == "https" => "https",
            _ => "http",
        }
    }

    /// Notes what passed through an upgraded connection.
    pub(crate) fn relayed(&mut self, passed: &net::relay::Passed) {
        self.sent += passed.down.get();
        self.relayed = passed.up.get();
    }

    /// Notes what passed to the client.
    pub(crate) fn passed(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.sent += data.len() as u64;
        } else if let Some(status) = frame.trailers_ref().and_then(|t| t.get(GRPC_STATUS)).and_then(number) {
            self.grpc_status = Some(status);
        }
    }

    /// Notes that the response was cut off on our side of the client.
    pub(crate) fn cut(&mut self, cut: Cut) {
        self.x.facts.raise(cut.flag());
        self.details = match cut {
            Cut::Client => "downstream_remote_disconnect",
            Cut::Filter => "filter_abort",
            Cut::Idle => "stream_idle_timeout",
            Cut::TimedOut => "response_timeout",
            Cut::Upstream => "upstream_reset_after_response_started{connection_termination}",
        }
        .into();
        self.complete = true;
    }
}

fn number(value: &http::HeaderValue) -> Option<u16> {
    value.to_str().ok()?.parse().ok()
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut record = self.record.borrow_mut();
        let record = &mut *record;
        if !record.complete {
            record.x.facts.raise(ReasonFlag::DownstreamConnectionTermination);
            record.details = "downstream_remote_disconnect".into();
        }
        if let Some(run) = &mut record.run {
            run.log(&record.x);
        }
        let now = Instant::now();
        self.client.seen_at(now);
        if let Some(status) = record.status {
            self.http.responded(status);
        }
        let Some(manager) = self.chosen.manager() else { return };
        let side = Side::of(&self.client.worker.ledger, (&self.client, &self.chosen), &record.way);
        let account = record.account(&self.client, &side, now);
        let ledger = &self.client.worker.ledger;
        ledger.metrics.borrow_mut().record(&account);
        for format in self.formats(manager) {
            ledger.lines.add(|out| format.write(&account, out));
        }
    }
}

/// Who stands on which side of an exchange.
struct Side<'a> {
    reporter: telemetry::Reporter,
    source: Option<&'a Arc<Workload>>,
    destination: Option<&'a Arc<Workload>>,
    service: Option<&'a Arc<Service>>,
    security: Security,
}

impl<'a> Side<'a> {
    fn of(ledger: &'a Ledger, (client, chosen): (&'a Client, &Chosen), way: &'a Way) -> Self {
        let peer = client.peer();
        let service = way.view.as_ref().and_then(|view| view.service.as_ref());
        match chosen.listener.direction {
            Direction::Inbound => Self {
                reporter: telemetry::Reporter::Destination,
                source: peer,
                destination: Some(&ledger.me),
                service,
                security: if peer.is_some() { Security::MutualTls } else { Security::None },
            },
            Direction::Outbound | Direction::Unspecified => Self {
                reporter: telemetry::Reporter::Source,
                source: Some(&ledger.me),
                destination: way.workload.as_ref(),
                service,
                security: Security::Unknown,
            },
        }
    }
}

impl Record {
    /// The account as telemetry reads it.
    fn account<'a>(&'a self, client: &'a Client, side: &Side<'a>, now: Instant) -> Account<'a> {
        let request = &self.x.request;
        let header = |name: &HeaderName| request.headers.get(name).map(HeaderValue::as_bytes);
        let path = request.uri.path_and_query().filter(|_| self.is_request).map(PathAndQuery::as_str);
        let upload = self.upload.as_ref();
        let since = |at: Instant| at.saturating_duration_since(self.began);
        Account {
            start: self.started,
            duration: since(now),
            request_duration: upload.map_or(Some(Duration::ZERO), |upload| upload.ended().map(since)),
            response_duration: self.first_byte.map(since),
            upstream_service_time: self.service_time,
            traffic: if self.is_grpc { Traffic::Grpc } else { Traffic::Http },
            protocol: self.is_request.then_some(request.version),
            method: self.is_request.then(|| request.method.as_str()),
            scheme: Some(self.scheme()),
            path,
            original_path: self.original_path.as_deref(),
            authority: request.headers.get(HOST).and_then(|host| host.to_str().ok()),
            request_id: header(&forwarded::REQUEST_ID),
            user_agent: header(&USER_AGENT),
            forwarded_for: header(&forwarded::FOR),
            request_headers: Some(&request.headers),
            response_headers: self.response_headers.as_ref(),
            response_code: self.status.map_or(0, |status| status.as_u16()),
            grpc_status: self.grpc_status,
            flags: self.x.facts.flags.iter().fold(Flags::default(), |flags, flag| flags.with(flag.short())),
            code_details: Some(&self.details),
            upstream_failure: self.failure.as_deref(),
            bytes_received: upload.map_or(self.relayed, Upload::received),
            bytes_sent: self.sent,
            attempts: self.x.facts.attempt,
            upstream_host: self.way.upstream.as_ref(),
            upstream_cluster: self.way.view.as_ref().map(|view| &*view.cluster.name),
            upstream_local: self.way.local.as_ref(),
            downstream_local: Some(&client.destination),
            downstream_remote: Some(&self.from),
            downstream_direct: Some(&client.direct),
            server_name: client.server_name(),
            tls: client.secured().map(|secured| &secured.facts),
            route_name: self.way.route.as_deref(),
            origin: self.way.origin.as_deref(),
            reporter: side.reporter,
            source: side.source,
            destination: side.destination,
            service: side.service,
            security: side.security,
            ..Account::default()
        }
    }
}

impl Ledger {
    /// Counts a forwarded connection that begins.
    pub(crate) fn relay_begins(&self, ends: (&Client, &Chosen), way: &Way, account: &Account<'_>) {
        self.metrics.borrow_mut().tcp_opened(&Side::of(self, ends, way).tells(account));
    }

    /// Counts bytes a forwarded connection has moved since the last time, up and down.
    pub(crate) fn relay_moves(
        &self,
        ends: (&Client, &Chosen),
        way: &Way,
        account: &Account<'_>,
        (up, down): (u64, u64),
    ) {
        self.metrics.borrow_mut().tcp_moved(&Side::of(self, ends, way).tells(account), up, down);
    }

    /// Enters a forwarded connection that has ended.
    pub(crate) fn relay_ended(&self, ends: (&Client, &Chosen), way: &Way, account: &Account<'_>) {
        let side = Side::of(self, ends, way);
        let (_, chosen) = ends;
        let account = side.tells(account);
        self.metrics.borrow_mut().tcp_closed(&account);
        if let plan::Terminal::Tcp(proxy) = &chosen.chain.terminal {
            for log in &proxy.access_log {
                let format = self.format(log.format.as_ref());
                self.lines.add(|out| format.write(&account, out));
            }
        }
    }
}

impl<'a> Side<'a> {
    /// An account with the sides filled in.
    fn tells<'b>(&self, account: &Account<'b>) -> Account<'b>
    where
        'a: 'b,
    {
        Account {
            reporter: self.reporter,
            source: self.source,
            destination: self.destination,
            service: self.service,
            security: self.security,
            ..account.clone()
        }
    }
}
