//! From changes to generations: gathers, applies them to the resources, makes a snapshot and publishes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::{MeshConfig, ResourceSet};
use base::{Host, Issue};
use mesh::Snapshot;
use source::{Change, Changes};
use tokio::sync::watch;

use crate::addresses::Ledger;
use crate::gather::{Batch, Gather};
use crate::issues;
use crate::metrics::Metrics;
use crate::plane::Plane;
use crate::settings;

/// How far the source's changes have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Every change up to this one is in `generation`.
    pub(crate) sequence: u64,
    pub(crate) generation: u64,
}

/// What is in force, for those who ask.
#[derive(Clone, Default)]
pub(crate) struct Standing {
    pub(crate) set: ResourceSet,
    pub(crate) issues: Vec<Issue>,
    pub(crate) mesh: Arc<MeshConfig>,
}

/// The face of the builder: what it has built so far.
pub(crate) struct Built {
    standing: Mutex<Standing>,
    progress: watch::Sender<Progress>,
}

impl Built {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { standing: Mutex::default(), progress: watch::Sender::new(Progress::default()) })
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn put(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// Owns the resources; one task runs it.
pub(crate) struct Builder {
    pub(crate) changes: Changes,
    pub(crate) plane: Arc<Plane>,
    pub(crate) built: Arc<Built>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Arc<settings::Source>,
    pub(crate) ledger: Ledger,
    pub(crate) state: State,
}

/// What has been taken in so far.
#[derive(Default)]
pub(crate) struct State {
    gather: Gather,
    first_waiting: Option<Instant>,
    set: ResourceSet,
    mesh: Arc<MeshConfig>,
    /// What is wrong with the files.
    file_issues: Vec<Issue>,
    sequence: u64,
}

impl Builder {
    /// Takes the first change, which tells what there is, and publishes it without waiting.
    pub(crate) async fn begin(&mut self) -> bool {
        let Some(change) = self.changes.next().await else { return false };
        self.state.sequence = change.sequence;
        self.state.file_issues.clone_from(&change.issues);
        self.apply(batch(change));
        self.publish().await;
        true
    }

    /// Goes on until the source ends.
    pub(crate) async fn run(mut self) {
        let mut settings = self.settings.changes();
        loop {
            let due = self.state.gather.due().map(tokio::time::Instant::from_std);
            // Every branch is cancel-safe: a change not taken stays where it is.
            tokio::select! {
                change = self.changes.next() => match change {
                    Some(change) => self.take(change).await,
                    None => return,
                },
                Ok(()) = settings.changed() => self.publish().await,
                () = at(due) => {
                    if let Some(batch) = self.state.gather.release(Instant::now()) {
                        self.apply(batch);
                        self.publish().await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, change: Change) {
        self.state.sequence = change.sequence;
        let issues_changed = self.state.file_issues != change.issues;
        self.state.file_issues.clone_from(&change.issues);
        let now = Instant::now();
        if let Some(batch) = self.state.gather.take(batch(change), now) {
            self.apply(batch);
            self.publish().await;
            return;
        }
        if self.state.gather.due().is_some() {
            self.state.first_waiting.get_or_insert(now);
        }
        if issues_changed {
            self.stand();
        }
        self.advance();
    }

    fn apply(&mut self, batch: Batch) {
        for (key, resource) in batch {
            match resource {
                Some(resource) => drop(self.state.set.insert(resource)),
                None => drop(self.state.set.remove(&key)),
            }
        }
    }

    async fn publish(&mut self) {
        if let Some(since) = self.state.first_waiting.take() {
            self.metrics.gathered(since.elapsed());
        }
        let old = self.plane.current();
        let before = old.snapshot.clone();
        let set = self.state.set.clone();
        let mesh = self.settings.config(&set);
        let settings = self.settings.settings(&mesh);
        let start = Instant::now();
        // A large mesh takes its time, and the streams go on meanwhile.
        let made = tokio::task::spawn_blocking(move || Snapshot::next(Some(&before), &set, &settings)).await;
        let snapshot = match made {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(%error, "making a snapshot; the last one stays in force");
                return;
            }
        };
        self.metrics.built(start.elapsed());
        let addresses: BTreeMap<Host, u8> = snapshot.addresses().clone();
        let generation = self.plane.publish(snapshot);
        tracing::debug!(generation, objects = self.state.set.len(), "a generation is published");
        self.state.mesh = mesh;
        self.stand();
        self.advance();
        // Nobody sees the last one any more, and it takes its time to go, too.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(old)).await {
            tracing::error!(%error, "dropping a snapshot");
        }
        self.ledger.keep(addresses).await;
    }

    /// Shows what is in force and tells what is newly wrong.
    fn stand(&self) {
        let snapshot = self.plane.current().snapshot.clone();
        let before = self.built.standing().issues;
        let set = self.state.set.clone();
        let mut all = self.state.file_issues.clone();
        all.extend(self.settings.issues(&set));
        all.extend(snapshot.issues().iter().cloned());
        issues::tell(&before, &all);
        self.built.put(Standing { set, issues: all, mesh: self.state.mesh.clone() });
    }

    fn advance(&self) {
        // While something waits, the newest changes are not in the newest generation.
        if self.state.gather.due().is_none() {
            let generation = self.plane.current().number;
            self.built.progress.send_replace(Progress { sequence: self.state.sequence, generation });
        }
    }
}

fn batch(change: Change) -> Batch {
    let gone = change.deletes.into_iter().map(|key| (key, None));
    let upserts = change.upserts.into_iter().map(|resource| (resource.key(), Some(resource)));
    gone.chain(upserts).collect()
}

async fn at(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
