//! The whole machine: workers, the control thread's tasks, and what they are given.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use base::Bootstrap;
use plan::Store;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::admin;
use crate::client::written;
use crate::control::{self, Control};
use crate::dns::{self, Asker, Names};
use crate::downstream;
use crate::journal::Journal;
use crate::judge::Suspect;
use crate::ledger::Reporter;
use crate::lines::Scribe;
use crate::node;
use crate::serving::Serving;
use crate::shared::{Shared, seed};
use crate::state::{Stage, State};
use crate::worker::{self, Command, Handle, Parts};

/// A running proxy.
pub struct Machine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    scribe: Option<Scribe>,
    tasks: JoinSet<()>,
    admin: [SocketAddr; 3],
}

impl Machine {
    /// Starts workers, admin, readiness and metrics; call it on the control runtime.
    ///
    /// What it is to serve comes by the returned [`Control`], from a control plane or from a test.
    ///
    /// # Errors
    /// An address cannot be bound, or the access log cannot be opened.
    pub async fn start(bootstrap: Bootstrap) -> anyhow::Result<(Self, Control)> {
        let registry = filters::registry();
        let scribe =
            Scribe::start(bootstrap.access_log.as_deref()).context("the access log cannot be opened")?;
        let (asker, resolver) = dns::resolver(&bootstrap.dns);
        let mut store = Store::new(registry.clone());
        let serving = Arc::new(Serving::new(0, store.plan(), []));
        let reporter = Reporter::new(&bootstrap);
        let began = Instant::now();
        let (suspects, suspected) = mpsc::unbounded_channel();
        let common =
            Common { scribe: &scribe, asker: &asker, reporter: &reporter, suspects: &suspects, began };
        let handles = start_workers(&bootstrap, &serving, &common)?;
        let (workers, threads) = handles.into_iter().map(|handle| (handle.commands, handle.thread)).unzip();
        let shared = Arc::new(Shared {
            bootstrap,
            journal: Journal::default(),
            state: State::default(),
            serving: ArcSwap::new(serving),
            addresses: ArcSwap::default(),
            connected: AtomicBool::new(false),
            workers,
            registry,
            reporter,
            asker,
            began: (began, SystemTime::now()),
            quit: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(resolver.run());
        let admin = admin::start(&shared, &mut tasks).await?;
        let (control, warden) = control::new(store, Arc::clone(&shared), suspected);
        tasks.spawn(warden.run());
        Ok((Self { shared, threads: Mutex::new(threads), scribe: Some(scribe), tasks, admin }, control))
    }

    /// Where admin, readiness and metrics are reached.
    pub fn admin(&self) -> [SocketAddr; 3] {
        self.admin
    }

    /// The address really bound for one a listener asks for; none while nothing is.
    pub fn bound(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.shared.addresses.load().get(&address.into())?.socket()
    }

    /// Resolves when somebody asks the admin to quit.
    pub async fn asked_to_quit(&self) {
        self.shared.quit.notified().await;
    }

    /// Follows the control plane named in the bootstrap, for as long as it is polled.
    pub async fn follow(&self, control: Control) {
        let node = node::announce(&self.shared.bootstrap, &self.shared.registry);
        let seed = seed(usize::MAX);
        let discovery = self.shared.bootstrap.discovery.clone();
        xds::follow(discovery, node, seed, control, std::future::pending()).await;
    }

    /// Stops accepting, lets connections finish for at most `time`, and ends.
    pub async fn drain(mut self, time: Duration) {
        self.shared.state.enter(Stage::Draining);
        for worker in &self.shared.workers {
            // A worker that is gone has nothing to drain.
            let _ = worker.send(Command::Drain(time)).await;
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let scribe = self.scribe.take();
        let ended = tokio::task::spawn_blocking(move || {
            let bad = threads.into_iter().filter_map(|thread| thread.join().err()).count();
            if let Some(scribe) = scribe {
                scribe.close();
            }
            bad
        });
        if !matches!(ended.await, Ok(0)) {
            tracing::error!("a worker ended badly");
        }
        self.tasks.shutdown().await;
    }
}

/// What all workers are given.
struct Common<'a> {
    scribe: &'a Scribe,
    asker: &'a Asker,
    reporter: &'a Reporter,
    suspects: &'a mpsc::UnboundedSender<Suspect>,
    began: Instant,
}

fn start_workers(
    bootstrap: &Bootstrap,
    serving: &Arc<Serving>,
    common: &Common<'_>,
) -> anyhow::Result<Vec<Handle>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let address = net::interface::address(node::is_v6(bootstrap));
    (0..bootstrap.concurrency.unwrap_or(cores))
        .map(|index| {
            let parts = Parts {
                index,
                serve: downstream::begin,
                serving: Arc::clone(serving),
                names: Names::new(common.asker.clone()),
                lines: common.scribe.lines(),
                reporter: common.reporter.clone(),
                suspects: common.suspects.clone(),
                began: common.began,
                // Each writes its own: a header's value counts who shares it.
                address: written(address),
                seed: seed(index),
            };
            worker::start(parts).context("a worker cannot be started")
        })
        .collect()
}
