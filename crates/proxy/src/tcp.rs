//! A connection whose bytes are forwarded as they are.

mod tunnel;

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use balance::{Avoid, Choice};
use base::Address;
use filter::{Exchange, Facts, Moment, ReasonFlag};
use net::relay::{Ended, Passed, relay};
use net::{Connection, Io, Stream};
use plan::{HeaderScope, TcpProxy, Tunnel};
use telemetry::{Account, Flags, Traffic};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::account::Way;
use crate::client::{Chosen, Client};
use crate::connect::{self, Counted};
use crate::pick::{self, Picked, Tried, Wish};
use crate::reply::{Failure, TIMED_OUT};
use crate::serving::PATIENCE;
use crate::view::View;
use tunnel::{Asked, Tunnelled};

/// How often another endpoint is looked for after one that could not be connected to.
const OTHERS: u32 = 5;
/// How often the bytes of a connection that goes on are reported, as by Istio.
const REPORTS: Duration = Duration::from_secs(15);

/// One forwarded connection.
struct Relayed<'a> {
    client: &'a Client,
    chosen: &'a Chosen,
    proxy: &'a TcpProxy,
    view: Rc<View>,
    began: (Instant, Duration),
    passed: Passed,
    /// What of that was reported already.
    reported: (u64, u64),
    picked: Option<Picked>,
    local: Option<Address>,
    failure: Option<Failure>,
    flags: Flags,
}

/// The other side of a relay.
enum Far {
    Direct(Io),
    Tunnelled(Tunnelled),
}

/// Forwards one connection until it ends, was silent for too long, or the drain time is over.
pub(crate) async fn serve(
    client: &Client,
    chosen: &Chosen,
    proxy: &TcpProxy,
    (stream, entered): (Stream, Connection),
) {
    let worker = &client.worker;
    let Some(name) = proxy.choose(client.server_name(), worker.random()) else { return };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while worker.serving().cold.contains(name) {
        if tokio::time::timeout_at(deadline, worker.swapped()).await.is_err() {
            break;
        }
    }
    let Some(view) = worker.view(name) else {
        tracing::debug!(cluster = name, "no such cluster: the connection is closed");
        return;
    };
    let mut relayed = Relayed {
        client,
        chosen,
        proxy,
        view,
        began: (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        passed: Passed::default(),
        reported: (0, 0),
        picked: None,
        local: None,
        failure: None,
        flags: Flags::default(),
    };
    relayed.run(stream).await;
    relayed.report();
    worker.ledger.relay_ended((client, chosen), &relayed.way(), &relayed.account());
    // Draining does not end it before the drain time is over: bytes have no end but their own.
    drop(entered);
}

impl Relayed<'_> {
    async fn run(&mut self, stream: Stream) {
        let connected = self.connect().await;
        self.client.worker.ledger.relay_begins((self.client, self.chosen), &self.way(), &self.account());
        match connected {
            Ok((Far::Direct(io), _counted)) => self.relay(stream, io).await,
            Ok((Far::Tunnelled(Tunnelled::Connected(io)), _counted)) => self.relay(stream, io).await,
            Ok((Far::Tunnelled(Tunnelled::Posted(io)), _counted)) => self.relay(stream, io).await,
            Err(failure) => {
                self.flags = self.flags.with(failure.flag().short());
                if let Failure::Connect(_) = failure {
                    // Envoy counts the first attempt among those that may be retried.
                    self.flags = self.flags.with(ReasonFlag::UpstreamRetryLimitExceeded.short());
                }
                self.failure = Some(failure);
            }
        }
    }

    async fn relay(&mut self, stream: Stream, upstream: impl AsyncRead + AsyncWrite + Unpin) {
        let worker = Rc::clone(&self.client.worker);
        let passed = std::mem::take(&mut self.passed);
        let ended = {
            let mut relaying = std::pin::pin!(relay(stream, upstream, self.proxy.idle_timeout, &passed));
            let mut longest = std::pin::pin!(self.longest());
            let mut reports = tokio::time::interval_at(tokio::time::Instant::now() + REPORTS, REPORTS);
            loop {
                tokio::select! {
                    ended = &mut relaying => break Some(ended),
                    () = &mut longest => break None,
                    () = worker.over() => break None,
                    _ = reports.tick() => {
                        self.passed.up.set(passed.up.get());
                        self.passed.down.set(passed.down.get());
                        self.report();
                    }
                }
            }
        };
        self.passed = passed;
        let flag = match ended {
            Some(Ended::Broken(_)) => Some(ReasonFlag::DownstreamConnectionTermination),
            Some(Ended::Idle) => Some(ReasonFlag::StreamIdleTimeout),
            Some(Ended::Closed) | None => None,
        };
        self.flags = flag.map_or(self.flags, |flag| self.flags.with(flag.short()));
    }

    /// Resolves when the connection is as old as it may get.
    fn longest(&self) -> impl Future<Output = ()> + use<> {
        let jitter = self.proxy.max_duration_jitter / 100.0;
        let drawn = (self.client.worker.random() % 1_000) as f64 / 1_000.0;
        let limit = self.proxy.max_duration.map(|limit| limit.mul_f64(1.0 + jitter * drawn));
        async move {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Reports what has passed since the last report.
    fn report(&mut self) {
        let (up, down) = (self.passed.up.get(), self.passed.down.get());
        let new = (up - self.reported.0, down - self.reported.1);
        self.reported = (up, down);
        self.client.worker.ledger.relay_moves((self.client, self.chosen), &self.way(), &self.account(), new);
    }

    async fn connect(&mut self) -> Result<(Far, Counted), Failure> {
        let mut tried = Tried::new();
        let mut last = Failure::NoHost;
        for _ in 0..self.proxy.connect_attempts {
            let picked = self.pick(&tried).await?;
            tried.extend(picked.place);
            let result = self.reach(&picked).await;
            self.picked = Some(picked);
            match result {
                Ok(reached) => return Ok(reached),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// Connects to one endpoint.
    async fn reach(&mut self, picked: &Picked) -> Result<(Far, Counted), Failure> {
        let worker = &self.client.worker;
        let http = self.proxy.tunnel.as_ref().map(|_| self.view.http(false));
        let name = self.client.server_name().map(Into::into);
        let ends = Some((&self.client.remote, &self.client.destination));
        let way = picked.way(worker, &self.view, http, (name.as_ref(), ends))?;
        let (io, counted) = connect::bytes(worker, &self.view, (picked, &way)).await?;
        self.local = io.socket().local().map(Into::into);
        let (Some(tunnel), Some(http)) = (&self.proxy.tunnel, http) else {
            return Ok((Far::Direct(io), counted));
        };
        let opening = tunnel::open(io, http, self.asked(tunnel));
        match tokio::time::timeout(self.view.cluster.connect_timeout, opening).await {
            Ok(Ok(tunnelled)) => Ok((Far::Tunnelled(tunnelled), counted)),
            Ok(Err(why)) => Err(Failure::Connect(why.into())),
            Err(_) => Err(Failure::Connect(TIMED_OUT.into())),
        }
    }

    /// What a tunnel is asked for with.
    fn asked(&self, tunnel: &Tunnel) -> Asked {
        let peer = self.peer();
        let host = tunnel.host(self.client.server_name(), &peer);
        let facts = Facts::new(Moment(self.began.1), peer, self.client.worker.random());
        let (request, ()) = http::Request::new(()).into_parts();
        let mut x = Exchange { request, response: None, facts };
        let scope = HeaderScope { cluster: &self.view.cluster.name, ..HeaderScope::default() };
        let headers = tunnel.headers(&mut x, scope);
        Asked { host, post_path: tunnel.post_path.as_deref().map(Into::into), headers }
    }

    fn peer(&self) -> filter::Peer {
        filter::Peer { remote: self.client.remote.clone(), local: self.client.destination.clone() }
    }

    async fn pick(&self, tried: &Tried) -> Result<Picked, Failure> {
        let attempts = if tried.is_empty() { 0 } else { OTHERS };
        let wish = Wish {
            // The server name is the only name bytes can have.
            host: self.proxy.named(self.client.server_name()).map(Into::into),
            destination: self.client.original(),
            session: None,
            choice: Choice {
                hash: self.proxy.hashed(&self.peer()),
                avoid: Avoid { hosts: tried, attempts },
                ..Choice::default()
            },
        };
        let picked = pick::pick(&self.client.worker, &self.view, wish).await;
        picked.map_err(|failure| match failure {
            // As in Envoy, which lets the connection go on without the address: there is nobody then.
            Failure::Resolve(why) => {
                tracing::debug!(cluster = &*self.view.cluster.name, %why, "the server name is not resolved");
                self.view.counters.no_host.increment();
                Failure::NoHost
            }
            other => other,
        })
    }

    fn way(&self) -> Way {
        let workload = self.picked.as_ref().and_then(|picked| picked.workload.clone());
        Way { view: Some(Rc::clone(&self.view)), workload, ..Way::default() }
    }

    fn account(&self) -> Account<'_> {
        Account {
            start: self.began.1,
            duration: self.began.0.elapsed(),
            traffic: Traffic::Tcp,
            flags: self.flags,
            bytes_received: self.passed.up.get(),
            bytes_sent: self.passed.down.get(),
            upstream_host: self.picked.as_ref().map(|picked| &picked.address),
            upstream_cluster: Some(&self.view.cluster.name),
            upstream_local: self.local.as_ref(),
            upstream_failure: match &self.failure {
                Some(Failure::Connect(why)) => Some(why),
                _ => None,
            },
            downstream_local: Some(&self.client.destination),
            downstream_remote: Some(&self.client.remote),
            downstream_direct: Some(&self.client.direct),
            server_name: self.client.server_name(),
            tls: self.client.secured().map(|secured| &secured.facts),
            ..Account::default()
        }
    }
}
