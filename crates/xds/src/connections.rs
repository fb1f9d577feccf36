//! Who is connected and what each proxy has acknowledged, as `/debug/syncz` shows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::{Ledger, Node, Peer, TypeUrl};

/// What one proxy was sent of one type and what it said to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeStatus {
    /// The nonce of the last response sent.
    pub nonce_sent: String,
    /// The nonce of the last response accepted.
    pub nonce_acked: String,
    /// The generation of the last response sent, as text.
    pub version_sent: String,
    /// The generation of the last response accepted, as text.
    pub version_acked: String,
    /// Why the last response was refused; gone with the next one accepted.
    pub refused: Option<String>,
    /// When the last response was sent.
    pub sent_at: Option<SystemTime>,
    /// Whether everything of the type is subscribed to.
    pub is_wildcard: bool,
    /// The names subscribed to one by one.
    pub watched: Ledger,
}

impl TypeStatus {
    /// Whether the last response sent was also accepted.
    pub fn is_synced(&self) -> bool {
        self.refused.is_none() && self.nonce_sent == self.nonce_acked
    }
}

/// One open stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// The connection's own name, `NAME.NAMESPACE-NUMBER`, unique for the life of the process.
    pub id: String,
    /// What the proxy said of itself.
    pub node: Arc<Node>,
    /// Where the proxy connects from.
    pub peer: Peer,
    /// When the stream opened.
    pub since: SystemTime,
    /// The newest generation the proxy has acknowledged wholly; 0 before the first.
    pub settled: u64,
    /// Per type subscribed to, what was sent and what was said to it.
    pub types: BTreeMap<TypeUrl, TypeStatus>,
}

/// All open streams; clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: Arc<Mutex<BTreeMap<String, Connection>>>,
    number: Arc<AtomicU64>,
}

impl Connections {
    /// The open streams, in the order of their ids.
    pub fn list(&self) -> Vec<Connection> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A name for a stream that a node opens.
    pub(crate) fn name(&self, node: &Node) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let name = node.id.split('~').nth(2).unwrap_or(&node.id);
        format!("{name}-{number}")
    }

    /// Puts or replaces one stream's entry.
    pub(crate) fn put(&self, connection: Connection) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(connection.id.clone(), connection);
    }

    /// Takes one stream off the list.
    pub(crate) fn remove(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
