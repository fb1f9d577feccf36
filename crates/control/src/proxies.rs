//! The connected proxies: how far each has come, and what each has refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use xds::TypeUrl;

#[cfg(test)]
mod tests;

/// One connection of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The node id.
    pub(crate) node: String,
    /// `CLUSTER_ID` of its metadata.
    pub(crate) cluster: String,
    /// `ISTIO_VERSION` of its metadata.
    pub(crate) version: String,
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

/// Why a proxy has not acknowledged a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) node: String,
    /// Per type what it said, where it has refused instead of kept silent.
    pub(crate) refused: Vec<(TypeUrl, String)>,
    /// Whether an answer is still to come.
    pub(crate) is_awaited: bool,
}

/// All connections by their ids; clones share one list.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<BTreeMap<String, Known>>,
    changed: watch::Sender<()>,
}

impl Proxies {
    pub(crate) fn put(&self, connection: &str, known: Known) {
        self.lock().insert(connection.to_owned(), known);
        self.shared.changed.send_replace(());
    }

    pub(crate) fn remove(&self, connection: &str) {
        self.lock().remove(connection);
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
        if self.lock().get_mut(connection).is_some_and(change) {
            self.shared.changed.send_replace(());
        }
    }

    pub(crate) fn by_connection(&self) -> BTreeMap<String, Known> {
        self.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The nodes that are connected now.
    pub(crate) fn nodes(&self) -> BTreeSet<String> {
        self.lock().values().map(|known| known.node.clone()).collect()
    }

    /// Waits until none of `nodes` still owes an answer to a generation. Returns those that have not accepted
    /// it: at once what is refused, and at the deadline what is silent.
    ///
    /// A node that is not connected owes nothing, unless `must_connect`.
    pub(crate) async fn wait(
        &self,
        nodes: &BTreeSet<String>,
        generation: u64,
        must_connect: bool,
        deadline: tokio::time::Instant,
    ) -> Vec<Pending> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let pending = self.pending(nodes, generation, must_connect);
            if !pending.iter().any(|pending| pending.is_awaited) {
                return pending;
            }
            match tokio::time::timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return self.pending(nodes, generation, must_connect),
            }
        }
    }

    fn pending(&self, nodes: &BTreeSet<String>, generation: u64, must_connect: bool) -> Vec<Pending> {
        let open = self.lock();
        // A proxy that reconnects may hold two streams for a moment: the one that is ahead speaks for it.
        let mut best: HashMap<&str, &Known> = HashMap::new();
        for known in open.values() {
            let speaker = best.entry(&known.node).or_insert(known);
            if known.settled > speaker.settled {
                *speaker = known;
            }
        }
        let owes = |node: &String| {
            let Some(known) = best.get(node.as_str()) else {
                return must_connect.then(|| Pending {
                    node: node.clone(),
                    refused: Vec::new(),
                    is_awaited: true,
                });
            };
            let is_awaited = known.settled < generation;
            // What was refused before stays refused; it says nothing about this generation.
            let refusals = known.refused.iter().filter(|(_, refusal)| refusal.generation >= generation);
            let refused: Vec<(TypeUrl, String)> =
                refusals.map(|(ty, refusal)| (*ty, refusal.error.clone())).collect();
            (is_awaited || !refused.is_empty()).then(|| Pending { node: node.clone(), refused, is_awaited })
        };
        nodes.iter().filter_map(owes).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
