//! The newest generation, and the scopes proxies see it through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use base::Digest;
use mesh::{Proxy, Snapshot};
use tokio::sync::watch;

use crate::render::{Memo, Scope};

/// One snapshot and what has been made of it so far.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) snapshot: Snapshot,
    published: Instant,
    scopes: Mutex<HashMap<Digest, Arc<OnceLock<Arc<Scope>>>>>,
}

impl Generation {
    fn new(number: u64, snapshot: Snapshot) -> Self {
        Self { number, snapshot, published: Instant::now(), scopes: Mutex::default() }
    }

    /// What a proxy sees; the first of its scope to ask makes it, the others wait for that one.
    fn scope(&self, proxy: &Proxy, before: Option<&Scope>) -> Arc<Scope> {
        let digest = self.snapshot.scope(proxy);
        let cell = {
            let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            scopes.entry(digest).or_default().clone()
        };
        cell.get_or_init(|| Arc::new(Scope::new(mesh::view(&self.snapshot, proxy), before))).clone()
    }
}

/// One generation through one proxy's eyes. It does not hold the generation itself, so that a proxy that falls
/// behind keeps no other proxy's configuration alive.
pub(crate) struct Sight {
    pub(crate) generation: u64,
    pub(crate) published: Instant,
    pub(crate) scope: Arc<Scope>,
}

/// What every connection shares.
pub(crate) struct Plane {
    current: ArcSwap<Generation>,
    numbers: watch::Sender<u64>,
    pub(crate) memo: Memo,
}

impl Plane {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            current: ArcSwap::from_pointee(Generation::new(0, snapshot)),
            numbers: watch::Sender::new(0),
            memo: Memo::default(),
        }
    }

    /// Makes a snapshot the newest generation and wakes every connection.
    pub(crate) fn publish(&self, snapshot: Snapshot) -> u64 {
        let number = self.current.load().number + 1;
        self.current.store(Arc::new(Generation::new(number, snapshot)));
        self.numbers.send_replace(number);
        number
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    pub(crate) fn numbers(&self) -> watch::Receiver<u64> {
        self.numbers.subscribe()
    }

    /// The newest generation as one proxy sees it.
    pub(crate) fn see(&self, proxy: &Proxy, before: Option<&Scope>) -> Sight {
        let generation = self.current.load();
        Sight {
            generation: generation.number,
            published: generation.published,
            scope: generation.scope(proxy, before),
        }
    }
}
