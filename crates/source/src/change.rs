//! What a directory tells its reader: which objects came, which went, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use api::{Key, Resource};
use base::Issue;
use tokio::sync::Notify;

/// What changed since the last [`Change`].
#[derive(Clone, Default)]
pub struct Change {
    /// Objects that are new or different, the latest version of each.
    pub upserts: Vec<Resource>,
    /// Objects that are no longer in force.
    pub deletes: Vec<Key>,
    /// Everything that is wrong now, in path order: the whole list, not what was added to it.
    pub issues: Vec<Issue>,
    /// Counts changes; a [`Receipt`](crate::Receipt) names the one its edits are part of.
    pub sequence: u64,
}

impl Change {
    /// Adds a later change to this one.
    pub(crate) fn absorb(&mut self, later: Change) {
        let mut upserts: BTreeMap<Key, Resource> = self.upserts.drain(..).map(|r| (r.key(), r)).collect();
        let mut deletes: BTreeSet<Key> = self.deletes.drain(..).collect();
        for resource in later.upserts {
            deletes.remove(&resource.key());
            upserts.insert(resource.key(), resource);
        }
        for key in later.deletes {
            upserts.remove(&key);
            deletes.insert(key);
        }
        self.upserts = upserts.into_values().collect();
        self.deletes = deletes.into_iter().collect();
        self.issues = later.issues;
        self.sequence = later.sequence;
    }
}

/// The receiving end of a directory. Changes nobody has taken are merged, so a slow reader costs no memory.
pub struct Changes {
    outbox: Arc<Outbox>,
}

impl Changes {
    /// Waits for the next change; `None` once the directory is closed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            let woken = self.outbox.woken.notified();
            {
                let mut held = self.outbox.held.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(change) = held.change.take() {
                    return Some(change);
                }
                if held.is_closed {
                    return None;
                }
            }
            woken.await;
        }
    }
}

/// Where the directory's thread leaves changes.
#[derive(Default)]
pub(crate) struct Outbox {
    held: Mutex<Held>,
    woken: Notify,
}

#[derive(Default)]
struct Held {
    change: Option<Change>,
    is_closed: bool,
}

impl Outbox {
    pub(crate) fn pair() -> (Arc<Outbox>, Changes) {
        let outbox = Arc::new(Outbox::default());
        (outbox.clone(), Changes { outbox })
    }

    pub(crate) fn put(&self, change: Change) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut held.change {
            Some(waiting) => waiting.absorb(change),
            None => held.change = Some(change),
        }
        drop(held);
        self.woken.notify_one();
    }

    pub(crate) fn close(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.woken.notify_one();
    }
}
