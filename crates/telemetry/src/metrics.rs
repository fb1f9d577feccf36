//! Istio's standard metrics: each worker adds to cells of its own, a scrape sums them.

mod cells;
mod labels;
mod render;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::account::{Account, Traffic};
use cells::{Cell, HttpCells, TcpCells};
pub(crate) use labels::Escaped;
use labels::{Key, Labels};

/// How many label sets one worker keeps per family; peers name themselves, so there must be an end.
/// What comes after is counted with its peers and service unknown.
pub const SERIES_PER_WORKER: usize = 8192;

/// The metrics of a process: what its workers have registered.
#[derive(Debug, Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<Shared>>>,
}

impl Metrics {
    /// Registers a worker. Its counts outlive it.
    pub fn worker(&self) -> WorkerMetrics {
        self.worker_keeping(SERIES_PER_WORKER)
    }

    fn worker_keeping(&self, limit: usize) -> WorkerMetrics {
        let shared = Arc::new(Shared::default());
        lock(&self.workers).push(Arc::clone(&shared));
        WorkerMetrics { http: HashMap::default(), tcp: HashMap::default(), shared, limit }
    }

    /// Appends every family in Prometheus' text format, the workers' cells summed.
    pub fn render_prometheus(&self, out: &mut String) {
        let workers = lock(&self.workers).clone();
        render::families(&workers, out);
    }
}

/// What a scrape reads of one worker. The locks are taken for a new label set and by a scrape, never else.
#[derive(Debug, Default)]
struct Shared {
    http: Mutex<Vec<Arc<Series<HttpCells>>>>,
    tcp: Mutex<Vec<Arc<Series<TcpCells>>>>,
    folded: Cell,
}

/// One label set and its cells.
#[derive(Debug)]
struct Series<C> {
    labels: Labels,
    cells: C,
}

type Map<C> = HashMap<Key, Arc<Series<C>>, foldhash::fast::RandomState>;

/// One worker's metrics: it alone adds, through an exclusive borrow, so that adding is a plain load and store.
#[derive(Debug)]
pub struct WorkerMetrics {
    http: Map<HttpCells>,
    tcp: Map<TcpCells>,
    shared: Arc<Shared>,
    limit: usize,
}

impl WorkerMetrics {
    /// Counts a request that has ended. gRPC and HTTP only: connections have calls of their own.
    pub fn record(&mut self, account: &Account<'_>) {
        let series = find(&mut self.http, self.limit, &self.shared.http, &self.shared.folded, account);
        let cells = &series.cells;
        cells.requests.add(1);
        cells.duration.observe(u64::try_from(account.duration.as_millis()).unwrap_or(u64::MAX));
        cells.received.observe(account.bytes_received);
        cells.sent.observe(account.bytes_sent);
        if account.traffic == Traffic::Grpc {
            cells.request_messages.add(account.request_messages);
            cells.response_messages.add(account.response_messages);
        }
    }

    /// Counts a TCP connection that has been opened.
    pub fn tcp_opened(&mut self, account: &Account<'_>) {
        self.tcp(account).opened.add(1);
    }

    /// Counts bytes moved on a TCP connection since the last call.
    pub fn tcp_moved(&mut self, account: &Account<'_>, received: u64, sent: u64) {
        let cells = self.tcp(account);
        cells.received.add(received);
        cells.sent.add(sent);
    }

    /// Counts a TCP connection that has been closed.
    pub fn tcp_closed(&mut self, account: &Account<'_>) {
        self.tcp(account).closed.add(1);
    }

    fn tcp(&mut self, account: &Account<'_>) -> &TcpCells {
        &find(&mut self.tcp, self.limit, &self.shared.tcp, &self.shared.folded, account).cells
    }
}

/// The series of an account's labels, made where it is the first.
fn find<'m, C: Default>(
    map: &'m mut Map<C>,
    limit: usize,
    registered: &Mutex<Vec<Arc<Series<C>>>>,
    folded: &Cell,
    account: &Account<'_>,
) -> &'m Series<C> {
    let mut key = Key::of(account);
    let fold = map.len() >= limit && !map.contains_key(&key);
    if fold {
        key = key.folded();
        folded.add(1);
    }
    map.entry(key).or_insert_with(|| {
        let labels = if fold { Labels::folded(key) } else { Labels::of(key, account) };
        let series = Arc::new(Series { labels, cells: C::default() });
        lock(registered).push(Arc::clone(&series));
        series
    })
}

/// Locks what no panic can leave half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
