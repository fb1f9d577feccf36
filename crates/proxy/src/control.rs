//! Takes updates from the control plane, compiles them, and puts them in force on every worker.
//!
//! What is not ready yet keeps what was there before: a listener waits for its routes, a removed cluster
//! for the last route that names it. Every such wait is bounded, so that no silent name blocks anything
//! for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::Address;
use net::socket::Listening;
use plan::{Listener, Plan, Store, Terminal};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::time::Instant;
use xds::{Accept, Reject, TypeUrl, Update};

use crate::judge::{Judge, Suspect};
use crate::keyring::{Contexts, Keyring};
use crate::names::{self, Resolved};
use crate::serving::{PATIENCE, Serving};
use crate::shared::{self, Shared};
use crate::state::Stage;
use crate::worker::{Command, Install};

/// After how long a listener whose address was taken is tried again.
const REBIND: Duration = Duration::from_secs(5);
/// How often certificate files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a cluster that the control plane removed serves the routes that still name it.
const GRACE: Duration = Duration::from_secs(5);

/// The discovery client's side of the machine: what is applied to it is in force on every worker.
pub struct Control {
    core: Arc<Mutex<Core>>,
    shared: Arc<Shared>,
    changed: Arc<Notify>,
    wanted: BTreeMap<TypeUrl, Arc<BTreeSet<String>>>,
}

/// Whoever puts things in force when their time is over.
pub(crate) struct Warden {
    core: Arc<Mutex<Core>>,
    changed: Arc<Notify>,
    suspects: mpsc::UnboundedReceiver<Suspect>,
}

/// The one owner of configuration.
struct Core {
    store: Store,
    shared: Arc<Shared>,
    generation: u64,
    heard: BTreeSet<TypeUrl>,
    began: Instant,
    ready: BTreeMap<Arc<str>, Arc<Listener>>,
    /// When listeners that wait for routes stop waiting.
    waiting: BTreeMap<Arc<str>, Instant>,
    /// When clusters without a word about their endpoints stop being waited for.
    warming: BTreeMap<Arc<str>, Instant>,
    /// Those among them that were still waited for at the last swap.
    cold: BTreeSet<Arc<str>>,
    names: Resolved,
    keyring: Keyring,
    judge: Judge,
    /// Clusters that are to go, and when at the latest.
    leaving: BTreeMap<String, Instant>,
    bound: HashMap<Address, Address>,
    /// When listeners that could not be bound are tried again.
    unbound: Option<Instant>,
    /// When certificate files are looked at next.
    look: Option<Instant>,
}

/// Makes the two ends that share one configuration.
pub(crate) fn new(
    store: Store,
    shared: Arc<Shared>,
    suspects: mpsc::UnboundedReceiver<Suspect>,
) -> (Control, Warden) {
    let (began, stats) = (shared.began.0, shared.reporter.stats.worker());
    let judge = Judge::new(stats, began, shared::seed(usize::MAX - 1));
    let core = Arc::new(Mutex::new(Core {
        store,
        shared: Arc::clone(&shared),
        generation: 0,
        heard: BTreeSet::new(),
        began: Instant::now(),
        ready: BTreeMap::new(),
        waiting: BTreeMap::new(),
        warming: BTreeMap::new(),
        cold: BTreeSet::new(),
        names: Resolved::default(),
        keyring: Keyring::default(),
        judge,
        leaving: BTreeMap::new(),
        bound: HashMap::new(),
        unbound: None,
        look: None,
    }));
    let changed = Arc::new(Notify::new());
    let warden = Warden { core: Arc::clone(&core), changed: Arc::clone(&changed), suspects };
    (Control { core, shared, changed, wanted: BTreeMap::new() }, warden)
}

impl Accept for Control {
    async fn apply(&mut self, update: Update) -> Vec<Reject> {
        let mut core = self.core.lock().await;
        let mut rejects = core.update(&update);
        keep(&mut self.wanted, TypeUrl::Endpoint, core.store.wanted_endpoints());
        keep(&mut self.wanted, TypeUrl::Route, core.store.wanted_routes());
        keep(&mut self.wanted, TypeUrl::Secret, core.store.wanted_secrets());
        // A listener that could not be bound earlier is tried again by the way; that is not this update's fault.
        let unbound = core.publish().await;
        let is_new = |reject: &Reject| update.added.iter().any(|added| added.name == reject.name);
        rejects.extend(unbound.into_iter().filter(|reject| update.ty == TypeUrl::Listener && is_new(reject)));
        drop(core);
        self.changed.notify_one();
        self.shared.journal.enter(&update, &rejects);
        for reject in &rejects {
            tracing::warn!(
                ty = update.ty.short(),
                name = reject.name,
                why = reject.message,
                "resource refused"
            );
        }
        rejects
    }

    fn wanted(&self, ty: TypeUrl) -> Arc<BTreeSet<String>> {
        self.wanted.get(&ty).cloned().unwrap_or_default()
    }

    fn connected(&mut self, connected: bool) {
        self.shared.connected.store(connected, std::sync::atomic::Ordering::Relaxed);
        match connected {
            true => tracing::info!("following the control plane"),
            false => tracing::warn!("the control plane is away: going on with what it said last"),
        }
    }
}

/// Keeps the names that are referred to now; where they are the same, the set of before.
fn keep(wanted: &mut BTreeMap<TypeUrl, Arc<BTreeSet<String>>>, ty: TypeUrl, names: BTreeSet<String>) {
    if wanted.get(&ty).is_none_or(|before| **before != names) {
        wanted.insert(ty, Arc::new(names));
    }
}

impl Warden {
    /// Ends waits whose time is over and asks for names when they are due, for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let next = self.core.lock().await.next_deadline();
            let slept = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                Some(suspect) = self.suspects.recv() => self.core.lock().await.judge.suspect(&suspect),
                () = slept => self.act().await,
            }
        }
    }

    async fn act(&self) {
        let (due, asker) = {
            let mut core = self.core.lock().await;
            (core.names.due(), core.shared.asker.clone())
        };
        // Without the lock: a resolver may take its time.
        let answers = names::ask(&asker, due).await;
        let mut core = self.core.lock().await;
        core.judge.tick();
        let mut changed = core.is_overdue() | core.looks_at_files();
        for (name, addresses) in answers {
            changed |= core.names.take(&name, addresses);
        }
        if !changed {
            return;
        }
        core.release();
        for reject in core.publish().await {
            tracing::warn!(name = reject.name, why = reject.message, "listener cannot be served");
        }
    }
}

impl Core {
    /// Compiles an update into the store.
    fn update(&mut self, update: &Update) -> Vec<Reject> {
        self.heard.insert(update.ty);
        let added: Vec<(String, proto::Any)> =
            update.added.iter().map(|added| (added.name.clone(), added.any.clone())).collect();
        let mut removed = update.removed.clone();
        if update.ty == TypeUrl::Cluster {
            self.leaving.retain(|name, _| !added.iter().any(|(again, _)| again == name));
            let deadline = Instant::now() + GRACE;
            self.leaving.extend(removed.drain(..).map(|name| (name, deadline)));
        }
        let rejects = self.store.update(update.ty.as_str(), &added, &removed);
        self.release();
        rejects.into_iter().map(|reject| Reject { name: reject.name, message: reject.message }).collect()
    }

    /// Lets clusters go that no route names any more, or whose time is over.
    fn release(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let plan = self.store.plan();
        let used = used(&plan);
        let now = Instant::now();
        let gone: Vec<String> = self
            .leaving
            .extract_if(.., |name, deadline| *deadline <= now || !used.contains(name.as_str()))
            .map(|(name, _)| name)
            .collect();
        self.store.update(TypeUrl::Cluster.as_str(), &[], &gone);
    }

    /// Whether certificate files have changed, if it is time to look.
    fn looks_at_files(&mut self) -> bool {
        let now = Instant::now();
        if self.look.is_none_or(|at| at > now) {
            return false;
        }
        self.look = self.keyring.has_files().then(|| now + LOOK);
        self.keyring.is_stale()
    }

    /// When something is to be done though nobody says a word.
    fn next_deadline(&self) -> Option<Instant> {
        self.next_wait()
            .into_iter()
            .chain(self.names.next_due())
            .chain(self.look)
            .chain(self.judge.next_due())
            .min()
    }

    /// Whether the time of some wait is over.
    fn is_overdue(&self) -> bool {
        self.next_wait().is_some_and(|at| at <= Instant::now())
    }

    /// When the first wait is over.
    fn next_wait(&self) -> Option<Instant> {
        let starting = (!self.has_heard_enough()).then_some(self.began + PATIENCE);
        let warming = self.warming.iter().filter(|(name, _)| self.cold.contains(*name)).map(|(_, at)| at);
        let waits = self.waiting.values().chain(self.leaving.values()).chain(warming);
        waits.copied().chain(starting).chain(self.unbound).min()
    }

    fn has_heard_enough(&self) -> bool {
        let heard = self.heard.contains(&TypeUrl::Cluster) && self.heard.contains(&TypeUrl::Listener);
        heard || self.began.elapsed() >= PATIENCE
    }

    /// Puts the newest plan in force; returns the listeners that cannot be bound.
    async fn publish(&mut self) -> Vec<Reject> {
        let plan = self.store.plan();
        let before = self.ready.clone();
        self.choose_ready(&plan);
        let (mut opened, rejects) = self.bind(&before);
        self.generation += 1;
        self.unbound = (!rejects.is_empty()).then(|| Instant::now() + REBIND);
        let mut serving = Serving::new(self.generation, Arc::clone(&plan), self.ready.values().cloned());
        serving.cold = self.cold(&plan);
        serving.resolved = self.names.clusters(&plan);
        serving.contexts = self.contexts(&serving);
        self.judge.follow(&serving);
        let serving = Arc::new(serving);
        let needed: BTreeSet<&Address> = serving.bound().collect();
        opened.retain(|(address, _)| needed.contains(address));
        let closed: Vec<Address> = self.bound.keys().filter(|a| !needed.contains(a)).cloned().collect();
        self.bound.retain(|address, _| needed.contains(address));
        self.shared.addresses.store(Arc::new(self.bound.clone()));
        self.install(serving, opened, &closed).await;
        self.advance();
        rejects
    }

    /// The TLS contexts of what is about to be served.
    fn contexts(&mut self, serving: &Serving) -> Contexts {
        let plan = &serving.plan;
        let servers = serving.listeners().flat_map(|listener| &listener.chains);
        let servers = servers.filter_map(|chain| chain.tls.as_ref());
        let clients = serving.plan.clusters().flat_map(|cluster| {
            let sockets = cluster.sockets.all().filter_map(|socket| socket.tls.as_ref());
            sockets.map(|tls| (tls, cluster.auto_sni.checks_host))
        });
        let contexts = self.keyring.build(servers, clients, &|name| plan.secret(name).cloned());
        if self.look.is_none() && self.keyring.has_files() {
            self.look = Some(Instant::now() + LOOK);
        }
        contexts
    }

    /// Chooses the listeners that serve: new versions once their routes are known, old ones until then.
    fn choose_ready(&mut self, plan: &Plan) {
        let now = Instant::now();
        let mut ready = BTreeMap::new();
        let mut waiting = BTreeMap::new();
        let may_begin = self.has_heard_enough();
        for listener in plan.listeners.values() {
            let name = Arc::clone(&listener.name);
            let complete = may_begin && listener.managers().all(|manager| plan.knows_routes(manager));
            let deadline = self.waiting.get(&name).copied().unwrap_or(now + PATIENCE);
            if complete || (may_begin && deadline <= now) {
                if !complete {
                    tracing::warn!(listener = &*name, "routes did not arrive in time: serving without them");
                }
                ready.insert(name, Arc::clone(listener));
                continue;
            }
            if let Some(before) = self.ready.get(&name) {
                ready.insert(Arc::clone(&name), Arc::clone(before));
            }
            waiting.insert(name, deadline);
        }
        self.ready = ready;
        self.waiting = waiting;
    }

    /// Binds what is not bound yet; a listener that cannot be bound goes on as it was before.
    fn bind(
        &mut self,
        before: &BTreeMap<Arc<str>, Arc<Listener>>,
    ) -> (Vec<(Address, Vec<net::socket::Listener>)>, Vec<Reject>) {
        let mut opened = Vec::new();
        let mut rejects = Vec::new();
        let listeners: Vec<Arc<Listener>> = self.ready.values().filter(|l| l.bind_to_port).cloned().collect();
        for listener in listeners {
            for address in &listener.addresses {
                if self.bound.contains_key(address) {
                    continue;
                }
                let settings = Listening {
                    backlog: listener.backlog.and_then(|backlog| i32::try_from(backlog).ok()),
                    transparent: listener.transparent,
                    mode: listener.mode,
                };
                match net::socket::bind_group(address, self.shared.workers.len(), settings) {
                    Ok(sockets) => {
                        let actual = sockets.first().and_then(|socket| socket.local());
                        let actual = actual.map_or_else(|| address.clone(), Address::Ip);
                        self.bound.insert(address.clone(), actual);
                        opened.push((address.clone(), sockets));
                    }
                    Err(error) => {
                        let message = format!("cannot bind {address}: {error}");
                        rejects.push(Reject { name: listener.name.to_string(), message });
                        match before.get(&listener.name) {
                            Some(before) => self.ready.insert(Arc::clone(&listener.name), Arc::clone(before)),
                            None => self.ready.remove(&listener.name),
                        };
                        break;
                    }
                }
            }
        }
        (opened, rejects)
    }

    /// Clusters whose endpoints are still waited for.
    fn cold(&mut self, plan: &Plan) -> BTreeSet<Arc<str>> {
        let now = Instant::now();
        let silent: BTreeSet<Arc<str>> = plan
            .clusters()
            .filter(|cluster| !cluster.is_warm)
            .map(|cluster| Arc::clone(&cluster.name))
            .collect();
        self.warming.retain(|name, _| silent.contains(name));
        for name in silent {
            self.warming.entry(name).or_insert(now + PATIENCE);
        }
        self.warming
            .iter()
            .filter(|(_, deadline)| **deadline > now)
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }

    /// Sends a generation to every worker and waits for the last.
    async fn install(
        &self,
        serving: Arc<Serving>,
        opened: Vec<(Address, Vec<net::socket::Listener>)>,
        closed: &[Address],
    ) {
        let mut shares: Vec<Vec<(Address, net::socket::Listener)>> = Vec::new();
        shares.resize_with(self.shared.workers.len(), Vec::new);
        for (address, sockets) in opened {
            for (share, socket) in shares.iter_mut().zip(sockets) {
                share.push((address.clone(), socket));
            }
        }
        self.shared.serving.store(Arc::clone(&serving));
        let mut waits = Vec::new();
        for (worker, opened) in self.shared.workers.iter().zip(shares) {
            let (done, wait) = oneshot::channel();
            let install = Install { serving: Arc::clone(&serving), opened, closed: closed.to_vec(), done };
            if worker.send(Command::Install(install)).await.is_ok() {
                waits.push(wait);
            }
        }
        for wait in waits {
            // A worker that ends meanwhile serves nothing by the old generation either.
            let _ = wait.await;
        }
    }

    fn advance(&self) {
        if !self.heard.is_empty() {
            self.shared.state.enter(Stage::Initializing);
        }
        let is_warm = self.shared.serving.load().cold.is_empty();
        if self.has_heard_enough() && self.waiting.is_empty() && is_warm && !self.heard.is_empty() {
            self.shared.state.enter(Stage::Live);
        }
    }
}

/// The clusters that some route or TCP proxy of a plan may send something to.
fn used(plan: &Plan) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for chain in plan.listeners.values().flat_map(|listener| &listener.chains) {
        match &chain.terminal {
            Terminal::Tcp(proxy) => used.extend(proxy.clusters.iter().map(|(name, _)| &**name)),
            Terminal::Http(manager) => {
                let hosts = plan.routes(manager).into_iter().flat_map(|routes| &routes.table.hosts);
                let routes = hosts.flat_map(|host| &host.routes);
                used.extend(routes.flat_map(|route| route.clusters()).map(|(name, _)| &**name));
            }
        }
    }
    used
}
