//! What the control thread's tasks share.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use base::{Address, Bootstrap};
use tokio::sync::{Notify, mpsc};

use crate::dns::Asker;
use crate::journal::Journal;
use crate::ledger::Reporter;
use crate::serving::Serving;
use crate::state::State;
use crate::worker::Command;

/// What the control thread's tasks share.
pub(crate) struct Shared {
    pub(crate) bootstrap: Bootstrap,
    pub(crate) journal: Journal,
    pub(crate) state: State,
    pub(crate) serving: ArcSwap<Serving>,
    /// The addresses asked for and the addresses bound, which differ in port 0.
    pub(crate) addresses: ArcSwap<HashMap<Address, Address>>,
    pub(crate) connected: AtomicBool,
    pub(crate) workers: Vec<mpsc::Sender<Command>>,
    pub(crate) registry: filter::Registry,
    pub(crate) reporter: Reporter,
    pub(crate) asker: Asker,
    pub(crate) began: (Instant, SystemTime),
    pub(crate) quit: Notify,
}

/// A start for random numbers that two processes will hardly share.
pub(crate) fn seed(salt: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(salt)
}
