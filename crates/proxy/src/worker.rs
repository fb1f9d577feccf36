//! One worker thread: its sockets, its connections, its pool, and the plan it serves by.
//!
//! A worker shares with another only what the plan and the telemetry share by design, so that a request
//! takes no lock and touches no foreign cache line.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base::Address;
use http::HeaderValue;
use net::accept::Acceptor;
use net::socket::Listener;
use net::{Connection, Connections, Pool, Socket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::alpn::Alpn;
use crate::dns::Names;
use crate::judge::Suspect;
use crate::ledger::{Ledger, Reporter};
use crate::lines::Lines;
use crate::serving::Serving;
use crate::upload::RequestBody;
use crate::view::{InForce, View};

/// Commands that may wait for a worker.
const COMMANDS: usize = 16;
/// How often the worker's tasks run once more when the drain time is over.
const LAST_TURNS: usize = 16;
/// How often connections nobody wants any more are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// What the control thread tells a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Stop accepting at these addresses, and let their connections finish.
    Close(Arc<[Address]>),
    /// Stop accepting, let connections finish until the time is over, then end.
    Drain(Duration),
    /// Serve by this from now on.
    Install(Install),
}

/// A new generation.
#[derive(Debug)]
pub(crate) struct Install {
    /// What is served.
    pub(crate) serving: Arc<Serving>,
    /// Sockets bound for it.
    pub(crate) opened: Vec<(Address, Listener)>,
    /// Addresses nothing is served on any more.
    pub(crate) closed: Vec<Address>,
    /// Told when every later request follows it.
    pub(crate) done: oneshot::Sender<()>,
}

/// What begins to serve an accepted connection and whom it is from.
pub(crate) type Serve = fn(Rc<Worker>, Rc<Bound>, Connection, (Socket, Address));

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) serve: Serve,
    pub(crate) serving: Arc<Serving>,
    pub(crate) names: Names,
    pub(crate) lines: Lines,
    pub(crate) reporter: Reporter,
    pub(crate) suspects: mpsc::UnboundedSender<Suspect>,
    pub(crate) began: Instant,
    pub(crate) address: HeaderValue,
    pub(crate) seed: u64,
}

/// The control thread's hold on a worker.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) thread: JoinHandle<()>,
}

/// Starts a worker on a thread of its own.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start(parts: Parts) -> io::Result<Handle> {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let index = parts.index;
    let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(run(parts, inbox)),
            Err(error) => tracing::error!(%error, index, "a worker has no runtime"),
        }
    })?;
    Ok(Handle { commands, thread })
}

/// One worker's state.
pub(crate) struct Worker {
    pub(crate) pool: Pool<RequestBody>,
    pub(crate) names: Names,
    pub(crate) ledger: Ledger,
    pub(crate) alpn: Alpn,
    /// The machine's own address.
    pub(crate) address: HeaderValue,
    suspects: mpsc::UnboundedSender<Suspect>,
    serve: Serve,
    began: Instant,
    serving: RefCell<Rc<InForce>>,
    swapped: Notify,
    bound: RefCell<HashMap<Address, Rc<Bound>>>,
    retired: RefCell<Vec<Rc<Bound>>>,
    over: (Cell<bool>, Notify),
    dice: Cell<u64>,
}

/// A bound address: its accept loop and its connections.
pub(crate) struct Bound {
    /// The address as the listener names it.
    pub(crate) address: Address,
    /// Its connections.
    pub(crate) connections: Connections,
    stop: Notify,
}

async fn run(parts: Parts, mut inbox: mpsc::Receiver<Command>) {
    let worker = Rc::new(Worker::new(parts));
    let flushing = tokio::task::spawn_local(flush(Rc::clone(&worker)));
    let mut sweep = tokio::time::interval(SWEEP);
    let drain = loop {
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Close(addresses)) => worker.close(&addresses),
                Some(Command::Install(install)) => worker.install(install),
                Some(Command::Drain(time)) => break time,
                None => break Duration::ZERO,
            },
            _ = sweep.tick() => worker.sweep(),
        }
    };
    worker.drain(drain).await;
    flushing.abort();
    worker.ledger.flush();
}

async fn flush(worker: Rc<Worker>) {
    worker.ledger.keep_flushing().await;
}

impl Worker {
    fn new(parts: Parts) -> Self {
        Self {
            pool: Pool::default(),
            names: parts.names,
            ledger: Ledger::new(parts.lines, &parts.reporter),
            alpn: Alpn::default(),
            address: parts.address,
            suspects: parts.suspects,
            serve: parts.serve,
            began: parts.began,
            serving: RefCell::new(Rc::new(InForce::new(parts.serving, None))),
            swapped: Notify::new(),
            bound: RefCell::default(),
            retired: RefCell::default(),
            over: (Cell::new(false), Notify::new()),
            dice: Cell::new(parts.seed),
        }
    }

    /// What is in force at this moment.
    pub(crate) fn serving(&self) -> Rc<InForce> {
        Rc::clone(&self.serving.borrow())
    }

    /// A cluster of what is in force, by name.
    pub(crate) fn view(&self, name: &str) -> Option<Rc<View>> {
        self.serving.borrow().view(name, &self.ledger.counters, || self.random())
    }

    /// Whether `generation` is in force.
    pub(crate) fn is_current(&self, generation: u64) -> bool {
        self.serving.borrow().generation == generation
    }

    /// Waits for the next swap.
    pub(crate) async fn swapped(&self) {
        self.swapped.notified().await;
    }

    /// The time of the process, by which endpoints age.
    pub(crate) fn clock(&self) -> Duration {
        self.began.elapsed()
    }

    /// Hands a suspicion to whoever judges endpoints.
    pub(crate) fn suspect(&self, suspect: Suspect) {
        // Nobody judges any more when the process ends.
        let _ = self.suspects.send(suspect);
    }

    /// Resolves when the drain time is over: what goes on then is cut off.
    pub(crate) async fn over(&self) {
        let told = self.over.1.notified();
        if !self.over.0.get() {
            told.await;
        }
    }

    /// A random number.
    pub(crate) fn random(&self) -> u64 {
        let mut seed = self.dice.get();
        let random = base::random::next(&mut seed);
        self.dice.set(seed);
        random
    }

    fn install(self: &Rc<Self>, install: Install) {
        let before = self.serving();
        *self.serving.borrow_mut() = Rc::new(InForce::new(install.serving, Some(&before)));
        self.close(&install.closed);
        for (address, socket) in install.opened {
            self.open(address, socket);
        }
        self.swapped.notify_waiters();
        // Nobody may wait any more: the process is ending.
        let _ = install.done.send(());
    }

    fn close(&self, addresses: &[Address]) {
        for address in addresses {
            if let Some(bound) = self.bound.borrow_mut().remove(address) {
                bound.close();
                self.retired.borrow_mut().push(bound);
            }
        }
    }

    fn open(self: &Rc<Self>, address: Address, socket: Listener) {
        let acceptor = match Acceptor::new(socket, &address) {
            Ok(acceptor) => acceptor,
            Err(error) => return tracing::error!(%error, %address, "a socket cannot be listened on"),
        };
        let bound =
            Bound { address: address.clone(), connections: Connections::default(), stop: Notify::new() };
        let bound = Rc::new(bound);
        self.bound.borrow_mut().insert(address, Rc::clone(&bound));
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let serve = |socket: Socket, peer: Address| {
                // Entered before anything else, so that a drain waits for it.
                let entered = bound.connections.enter();
                (worker.serve)(Rc::clone(&worker), Rc::clone(&bound), entered, (socket, peer));
            };
            acceptor.accept(bound.stop.notified(), serve).await;
        });
    }

    fn sweep(&self) {
        let serving = self.serving();
        self.pool.sweep(|cluster, target| {
            let cluster = serving.cluster(cluster)?;
            let hosts = cluster.endpoints.table.hosts();
            if target.way.secure.as_ref().is_some_and(|secure| !serving.contexts.holds(&secure.client)) {
                // Its secrets have changed: nobody asks for it again.
                return None;
            }
            let is_listed = hosts.is_empty() || hosts.iter().any(|host| host.address == target.way.address);
            is_listed.then(|| cluster.idle_timeout.unwrap_or(Duration::MAX))
        });
        self.retired.borrow_mut().retain(|bound| bound.connections.count() > 0);
    }

    async fn drain(&self, time: Duration) {
        let open = std::mem::take(&mut *self.bound.borrow_mut());
        let mut all: Vec<Rc<Bound>> = open.into_values().collect();
        all.iter().for_each(|bound| bound.close());
        all.append(&mut self.retired.borrow_mut());
        // The accept loops run once more, so that what the kernel has queued is served too.
        tokio::task::yield_now().await;
        let closed = async {
            for bound in &all {
                bound.connections.closed().await;
            }
        };
        if tokio::time::timeout(time, closed).await.is_err() {
            let open: usize = all.iter().map(|bound| bound.connections.count()).sum();
            tracing::info!(open, "connections are closed at the end of the drain time");
            self.over.0.set(true);
            self.over.1.notify_waiters();
            // Those that are told so enter their accounts before the worker is gone.
            for _ in 0..LAST_TURNS {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Bound {
    fn close(&self) {
        self.stop.notify_one();
        self.connections.drain();
    }
}
