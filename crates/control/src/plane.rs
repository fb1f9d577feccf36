//! The newest generation, and the scopes proxies see it through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use base::Digest;
use mesh::{Proxy, Snapshot};
use tokio::sync::{OnceCell, watch};

use crate::render::{Memo, Scope};

/// One snapshot and what has been made of it so far.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) snapshot: Snapshot,
    published: Instant,
    scopes: Mutex<HashMap<Digest, Arc<OnceCell<Arc<Scope>>>>>,
}

impl Generation {
    fn new(number: u64, snapshot: Snapshot) -> Self {
        Self { number, snapshot, published: Instant::now(), scopes: Mutex::default() }
    }

    fn cell(&self, digest: Digest) -> Arc<OnceCell<Arc<Scope>>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).entry(digest).or_default().clone()
    }
}

/// One generation through one proxy's eyes. It does not hold the generation itself, so that a proxy that falls
/// behind keeps no other proxy's configuration alive.
#[derive(Clone)]
pub(crate) struct Sight {
    pub(crate) generation: u64,
    pub(crate) published: Instant,
    pub(crate) scope: Arc<Scope>,
}

/// What every connection shares.
pub(crate) struct Plane {
    current: ArcSwap<Generation>,
    numbers: watch::Sender<u64>,
    pub(crate) memo: Arc<Memo>,
}

impl Plane {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            current: ArcSwap::from_pointee(Generation::new(0, snapshot)),
            numbers: watch::Sender::new(0),
            memo: Arc::default(),
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

    /// The newest generation as one proxy sees it; `None` where making it went wrong, which has been told.
    ///
    /// The first of a scope to ask has it made, on a thread that may take its time; the others wait for that one.
    pub(crate) async fn see(&self, proxy: &Arc<Proxy>, before: Option<&Sight>) -> Option<Sight> {
        let generation = self.current.load_full();
        if let Some(before) = before.filter(|before| before.generation == generation.number) {
            return Some(before.clone());
        }
        let cell = generation.cell(generation.snapshot.scope(proxy));
        let make = || {
            let (snapshot, proxy) = (generation.snapshot.clone(), proxy.clone());
            let (before, memo) = (before.map(|before| before.scope.clone()), self.memo.clone());
            tokio::task::spawn_blocking(move || {
                Arc::new(Scope::new(mesh::view(&snapshot, &proxy), before.as_deref(), &memo))
            })
        };
        match cell.get_or_try_init(make).await {
            Ok(scope) => {
                let (number, published) = (generation.number, generation.published);
                Some(Sight { generation: number, published, scope: scope.clone() })
            }
            Err(error) => {
                tracing::error!(%error, node = %proxy.id, "making a proxy's configuration; it keeps what it has");
                None
            }
        }
    }
}
