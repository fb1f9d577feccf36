//! A connection whose bytes are forwarded as they are.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use filter::ReasonFlag;
use net::relay::{Ended, Passed, relay};
use net::{Connection, Stream};
use plan::{ClusterKind, TcpProxy};
use telemetry::{Account, Flags, Traffic};
use tokio::net::TcpStream;

use crate::account::Way;
use crate::control::PATIENCE;
use crate::counters::Active;
use crate::downstream::{Chosen, Client};
use crate::pick::{self, Picked, Tried, Wish};
use crate::reply::Failure;
use crate::view::View;

/// How often another endpoint is looked for after one that could not be connected to.
const OTHERS: u32 = 5;

/// One forwarded connection.
struct Relayed<'a> {
    client: &'a Client,
    chosen: &'a Chosen,
    view: Rc<View>,
    began: (Instant, Duration),
    passed: Passed,
    picked: Option<Picked>,
    local: Option<std::net::SocketAddr>,
    failure: Option<Failure>,
    flag: Option<ReasonFlag>,
}

/// Forwards one connection until it ends, is asked to by draining, or was silent for too long.
pub(crate) async fn serve(
    client: &Client,
    chosen: &Chosen,
    proxy: &TcpProxy,
    (stream, entered): (Stream, Connection),
) {
    let worker = &client.worker;
    let Some(name) = proxy.cluster(worker.random()) else { return };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while worker.serving().cold.contains(name) {
        if tokio::time::timeout_at(deadline, worker.swapped()).await.is_err() {
            break;
        }
    }
    let Some(view) = worker.view(name) else {
        tracing::debug!(cluster = &**name, "no such cluster: the connection is closed");
        return;
    };
    let mut relayed = Relayed {
        client,
        chosen,
        view,
        began: (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        passed: Passed::default(),
        picked: None,
        local: None,
        failure: None,
        flag: None,
    };
    relayed.run(proxy, stream).await;
    // Draining does not end it before the drain time is over: bytes have no end but their own.
    drop(entered);
    worker.ledger.relay_ended(chosen, &relayed.way(), &relayed.account());
}

impl Relayed<'_> {
    async fn run(&mut self, proxy: &TcpProxy, stream: Stream) {
        let connected = self.connect(proxy.connect_attempts).await;
        self.client.worker.ledger.relay_begins(self.chosen, &self.way(), &self.account());
        let upstream = match connected {
            Ok(upstream) => upstream,
            Err(failure) => {
                self.flag = Some(failure.flag());
                self.failure = Some(failure);
                return;
            }
        };
        let _active = Active::begin(&self.view.counters.connections_active);
        let relaying = relay(stream, upstream, proxy.idle_timeout, &self.passed);
        let longest = async {
            match proxy.max_duration {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = relaying => match ended {
                Ended::Broken(_) => self.flag = Some(ReasonFlag::DownstreamConnectionTermination),
                Ended::Closed => {}
                Ended::Idle => self.flag = Some(ReasonFlag::StreamIdleTimeout),
            },
            () = longest => {}
        }
        if let Some(picked) = &self.picked {
            picked.state.disconnected();
        }
    }

    async fn connect(&mut self, attempts: u32) -> Result<TcpStream, Failure> {
        let mut tried = Tried::new();
        let mut last = Failure::NoHost;
        for _ in 0..attempts {
            let picked = self.pick(&tried).await?;
            tried.extend(picked.place);
            let source = self.view.cluster.bind.map(|bind| bind.ip());
            let counters = &self.view.counters;
            counters.connections.increment();
            let connecting = net::socket::connect(picked.address, source);
            let result = tokio::time::timeout(self.view.cluster.connect_timeout, connecting).await;
            match result {
                Ok(Ok(stream)) => {
                    picked.state.connected();
                    self.local = stream.local_addr().ok();
                    self.picked = Some(picked);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Failure::Connect(format!("delayed connect error: {error}").into()),
                Err(_) => last = Failure::Connect(crate::reply::TIMED_OUT.into()),
            }
            counters.connect_failures.increment();
            picked.state.connect_failed();
            self.picked = Some(picked);
        }
        Err(last)
    }

    async fn pick(&self, tried: &Tried) -> Result<Picked, Failure> {
        if let ClusterKind::DynamicForward = self.view.cluster.kind {
            // Bytes name no host.
            return Err(Failure::NoHost);
        }
        let redirected = self.client.destination != self.client.local;
        let wish = Wish {
            host: None,
            destination: redirected.then_some(self.client.destination),
            tried,
            attempts: if tried.is_empty() { 0 } else { OTHERS },
        };
        pick::pick(&self.client.worker, &self.view, wish).await
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
            flags: self.flag.map_or_else(Flags::default, |flag| Flags::default().with(flag.short())),
            bytes_received: self.passed.up.get(),
            bytes_sent: self.passed.down.get(),
            upstream_host: self.picked.as_ref().map(|picked| picked.address),
            upstream_cluster: Some(&self.view.cluster.name),
            upstream_local: self.local,
            upstream_failure: match &self.failure {
                Some(Failure::Connect(why)) => Some(why),
                _ => None,
            },
            downstream_local: Some(self.client.local),
            downstream_remote: Some(self.client.remote),
            downstream_direct: Some(self.client.remote),
            ..Account::default()
        }
    }
}
