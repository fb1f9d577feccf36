//! The proxies: how far each that is connected has come, what each has refused, and who has left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh::Proxy;
use tokio::sync::watch;
use tokio::time::Instant;
use xds::TypeUrl;

use departed::Departed;

mod departed;

#[cfg(test)]
mod tests;

/// How often to see whether somebody who has left will come back.
const LOOK: Duration = Duration::from_millis(250);

/// One connection of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The node id.
    pub(crate) node: String,
    /// `CLUSTER_ID` of its metadata.
    pub(crate) cluster: String,
    /// `ISTIO_VERSION` of its metadata.
    pub(crate) version: String,
    /// Its process, where it is one of this machine's.
    pub(crate) process: Option<u32>,
    /// Whom its configuration is made for.
    pub(crate) proxy: Arc<Proxy>,
    /// The newest generation it has answered wholly.
    pub(crate) settled: u64,
    /// What it refuses, until it accepts something of that type again.
    pub(crate) refused: BTreeMap<TypeUrl, Refusal>,
}

/// One refused push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) generation: u64,
    pub(crate) error: String,
}

/// How a proxy stands that has not acknowledged a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) node: String,
    /// Per type what it said, where it has refused instead of kept silent.
    pub(crate) refused: Vec<(TypeUrl, String)>,
    /// Whether an answer is still to come.
    pub(crate) is_awaited: bool,
    /// Whether anybody is there who could answer.
    pub(crate) is_connected: bool,
}

/// For whom a wait is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// Who is connected, and who has left and may be back at any moment.
    Everybody,
    /// These nodes, connected or not.
    These(BTreeSet<String>),
}

/// All connections by their ids; clones share one list.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<String, Known>,
    /// By node id.
    departed: BTreeMap<String, Departed>,
}

impl Proxies {
    pub(crate) fn put(&self, connection: &str, known: Known) {
        let mut state = self.lock();
        state.departed.remove(&known.node);
        state.open.insert(connection.to_owned(), known);
        drop(state);
        self.shared.changed.send_replace(());
    }

    pub(crate) fn remove(&self, connection: &str) {
        let mut state = self.lock();
        let now = Instant::now();
        state.departed.retain(|_, departed| !departed.is_forgotten(now));
        if let Some(known) = state.open.remove(connection)
            && !state.open.values().any(|other| other.node == known.node)
        {
            state.departed.insert(known.node, Departed::new(known.process, now));
        }
        drop(state);
        self.shared.changed.send_replace(());
    }

    /// The proxy has accepted something of a type, so it refuses none of it any more.
    pub(crate) fn accepted(&self, connection: &str, ty: TypeUrl) {
        self.update(connection, |known| known.refused.remove(&ty).is_some());
    }

    pub(crate) fn refused(&self, connection: &str, ty: TypeUrl, refusal: Refusal) {
        self.update(connection, |known| known.refused.insert(ty, refusal.clone()) != Some(refusal));
    }

    /// The proxy has answered everything a generation had for it.
    pub(crate) fn settled(&self, connection: &str, generation: u64) {
        self.update(connection, |known| {
            let is_newer = generation > known.settled;
            known.settled = known.settled.max(generation);
            is_newer
        });
    }

    /// Changes an entry and wakes those who wait, if `change` says that it changed anything.
    fn update(&self, connection: &str, change: impl FnOnce(&mut Known) -> bool) {
        if self.lock().open.get_mut(connection).is_some_and(change) {
            self.shared.changed.send_replace(());
        }
    }

    pub(crate) fn by_connection(&self) -> BTreeMap<String, Known> {
        self.lock().open.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// The nodes that are connected now, and those that have left and are not forgotten.
    pub(crate) fn nodes(&self) -> BTreeSet<String> {
        let state = self.lock();
        let now = Instant::now();
        let departed = state.departed.iter().filter(|(_, departed)| !departed.is_forgotten(now));
        let open = state.open.values().map(|known| &known.node);
        open.chain(departed.map(|(node, _)| node)).cloned().collect()
    }

    /// Waits until nobody of concern still owes an answer to a generation. Returns those that have not accepted
    /// it: at once what is refused, and at the deadline what is silent or not there.
    pub(crate) async fn wait(&self, concern: &Concern, generation: u64, deadline: Instant) -> Vec<Pending> {
        // Who connects from here on is told the newest anyway.
        let nodes = match concern {
            Concern::Everybody => self.nodes(),
            Concern::These(nodes) => nodes.clone(),
        };
        let must_connect = matches!(concern, Concern::These(_));
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let pending = self.pending(&nodes, generation, must_connect);
            let is_awaited = pending.iter().any(|pending| pending.is_awaited);
            if !is_awaited || Instant::now() >= deadline {
                return pending;
            }
            // That a process has ended or its time is up is not told; it is looked for.
            let is_absent = pending.iter().any(|pending| pending.is_awaited && !pending.is_connected);
            let look =
                if is_absent && !must_connect { (Instant::now() + LOOK).min(deadline) } else { deadline };
            if let Ok(Err(_)) = tokio::time::timeout_at(look, changed.changed()).await {
                return pending;
            }
        }
    }

    fn pending(&self, nodes: &BTreeSet<String>, generation: u64, must_connect: bool) -> Vec<Pending> {
        let state = self.lock();
        let now = Instant::now();
        // A proxy that reconnects may hold two streams for a moment: the one that is ahead speaks for it.
        let mut best: HashMap<&str, &Known> = HashMap::new();
        for known in state.open.values() {
            let speaker = best.entry(&known.node).or_insert(known);
            if known.settled > speaker.settled {
                *speaker = known;
            }
        }
        let owes = |node: &String| {
            let Some(known) = best.get(node.as_str()) else {
                let departed = state.departed.get(node);
                let is_expected = departed.is_some_and(|departed| departed.is_expected(now));
                return Some(Pending {
                    node: node.clone(),
                    refused: Vec::new(),
                    is_awaited: must_connect || is_expected,
                    is_connected: false,
                });
            };
            let is_awaited = known.settled < generation;
            // What was refused before stays refused; it says nothing about this generation.
            let refusals = known.refused.iter().filter(|(_, refusal)| refusal.generation >= generation);
            let refused: Vec<(TypeUrl, String)> =
                refusals.map(|(ty, refusal)| (*ty, refusal.error.clone())).collect();
            let owes = is_awaited || !refused.is_empty();
            owes.then(|| Pending { node: node.clone(), refused, is_awaited, is_connected: true })
        };
        nodes.iter().filter_map(owes).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
