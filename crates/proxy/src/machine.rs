//! The whole machine: workers, the control thread's tasks, and what they share.

use std::collections::HashMap;
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

use crate::account::Reporter;
use crate::admin;
use crate::control::{self, Control};
use crate::dns::{self, Asker, Names};
use crate::journal::Journal;
use crate::lines::Scribe;
use crate::node;
use crate::serving::Serving;
use crate::state::{Stage, State};
use crate::worker::{self, Command, Handle, Parts};

/// What the control thread's tasks share.
pub(crate) struct Shared {
    pub(crate) bootstrap: Bootstrap,
    pub(crate) journal: Journal,
    pub(crate) state: State,
    pub(crate) serving: ArcSwap<Serving>,
    /// The addresses asked for and the addresses bound, which differ in port 0.
    pub(crate) addresses: ArcSwap<HashMap<SocketAddr, SocketAddr>>,
    pub(crate) connected: AtomicBool,
    pub(crate) workers: Vec<mpsc::Sender<Command>>,
    pub(crate) registry: filter::Registry,
    pub(crate) reporter: Reporter,
    pub(crate) asker: Asker,
    pub(crate) began: (Instant, SystemTime),
    pub(crate) quit: Notify,
}

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
        let (asker, resolver) = dns::resolver();
        let mut store = Store::new(registry.clone());
        let serving = Arc::new(Serving::new(0, store.plan(), []));
        let reporter = Reporter::new(&bootstrap);
        let handles = start_workers(&bootstrap, &serving, (&scribe, &asker, &reporter))?;
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
            began: (Instant::now(), SystemTime::now()),
            quit: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(resolver.run());
        let admin = admin::start(&shared, &mut tasks).await?;
        let (control, warden) = control::new(store, Arc::clone(&shared));
        tasks.spawn(warden.run());
        Ok((Self { shared, threads: Mutex::new(threads), scribe: Some(scribe), tasks, admin }, control))
    }

    /// Where admin, readiness and metrics are reached.
    pub fn admin(&self) -> [SocketAddr; 3] {
        self.admin
    }

    /// The address really bound for one a listener asks for; none while nothing is.
    pub fn bound(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.shared.addresses.load().get(&address).copied()
    }

    /// Resolves when somebody asks the admin to quit.
    pub async fn asked_to_quit(&self) {
        self.shared.quit.notified().await;
    }

    /// Follows the control plane named in the bootstrap, for as long as it is polled.
    pub async fn follow(&self, control: Control) {
        let node = node::announce(&self.shared.bootstrap, &self.shared.registry);
        let seed = seed(usize::MAX);
        xds::follow(self.shared.bootstrap.discovery, node, seed, control, std::future::pending()).await;
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

fn start_workers(
    bootstrap: &Bootstrap,
    serving: &Arc<Serving>,
    (scribe, asker, reporter): (&Scribe, &Asker, &Reporter),
) -> anyhow::Result<Vec<Handle>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (0..bootstrap.concurrency.unwrap_or(cores))
        .map(|index| {
            let parts = Parts {
                index,
                serving: Arc::clone(serving),
                names: Names::new(asker.clone()),
                lines: scribe.lines(),
                reporter: reporter.clone(),
                seed: seed(index),
            };
            worker::start(parts).context("a worker cannot be started")
        })
        .collect()
}

/// A start for random numbers that two processes will hardly share.
fn seed(salt: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(salt)
}
