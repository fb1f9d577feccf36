//! Endpoints, and what all workers know of each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use base::Address;

use crate::breaker::ClusterState;
use crate::health::Health;
use crate::monitor::{Monitor, Outcome, Streaks, Suspicions};

/// One endpoint of a table.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where it is.
    pub address: Address,
    /// What its hash is made from; none for its address.
    pub key: Option<Arc<str>>,
    /// Its share beside the others of its locality; 0 counts as 1.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u32,
    /// Which of [`crate::Settings::localities`] it is in.
    pub locality: usize,
    /// What discovery says of it.
    pub health: Health,
    /// What the workers know of it.
    pub state: Arc<HostState>,
}

impl Host {
    /// Its health, which discovery and its own answers must both speak for.
    pub fn health(&self) -> Health {
        if self.state.is_ejected() { Health::Unhealthy } else { self.health }
    }
}

/// What all workers know of one endpoint of one cluster; alone in its cache lines, and kept across updates.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct HostState {
    active_requests: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU64,
    active_connections: AtomicU32,
    connections: AtomicU64,
    connect_failures: AtomicU64,
    is_ejected: AtomicBool,
    /// In milliseconds, more by one; 0 while nobody has said.
    since: AtomicU64,
    pub(crate) monitor: Monitor,
}

impl HostState {
    /// Tells how an attempt ended; what comes back is for the cluster's [`crate::Detector`].
    pub fn report(&self, outcome: Outcome, streaks: &Streaks) -> Suspicions {
        self.monitor.put(outcome, streaks)
    }

    /// Whether it is out of the choice for its bad answers.
    pub fn is_ejected(&self) -> bool {
        self.is_ejected.load(Ordering::Relaxed)
    }

    pub(crate) fn eject(&self, is_out: bool) {
        self.is_ejected.store(is_out, Ordering::Relaxed);
    }

    /// Notes when it was first in force; later times change nothing.
    pub fn arrive(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let _ = self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How long it has been in force; for ever where nobody has said since when.
    pub fn age(&self, now: Duration) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::MAX,
            since => now.saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    /// Counts a request from now until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.active_requests.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// How many requests are under way.
    pub fn active_requests(&self) -> u32 {
        self.active_requests.load(Ordering::Relaxed)
    }

    /// How many requests there have been.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts a request that came to nothing: an answer of 500 or more, or none.
    pub fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests came to nothing.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts a connection that was made.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.active_connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of a connection that was made.
    pub fn disconnected(&self) {
        self.active_connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection that could not be made.
    pub fn connect_failed(&self) {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections there are.
    pub fn active_connections(&self) -> u32 {
        self.active_connections.load(Ordering::Relaxed)
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections could not be made.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }
}

/// A request under way; ends when dropped.
#[derive(Debug)]
pub struct ActiveRequest(Arc<HostState>);

impl ActiveRequest {
    /// The endpoint's state.
    pub fn host(&self) -> &Arc<HostState> {
        &self.0
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.active_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of every cluster and endpoint that is in use, by cluster and address.
#[derive(Debug, Default)]
pub struct Hosts {
    states: HashMap<Arc<str>, Weak<ClusterState>>,
    clusters: HashMap<Arc<str>, HashMap<Address, Weak<HostState>>>,
}

impl Hosts {
    /// The state of an endpoint: the one it has had, or a new one.
    pub fn state(&mut self, cluster: &Arc<str>, address: &Address) -> Arc<HostState> {
        let known = self.clusters.entry(Arc::clone(cluster)).or_default();
        if let Some(state) = known.get(address).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(HostState::default());
        known.insert(address.clone(), Arc::downgrade(&state));
        state
    }

    /// The state of a cluster: the one it has had, or a new one.
    pub fn cluster(&mut self, name: &Arc<str>) -> Arc<ClusterState> {
        if let Some(state) = self.states.get(name).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(ClusterState::default());
        self.states.insert(Arc::clone(name), Arc::downgrade(&state));
        state
    }

    /// Forgets clusters and endpoints that no table and no request uses any more.
    pub fn sweep(&mut self) {
        self.states.retain(|_, state| state.strong_count() > 0);
        self.clusters.retain(|_, known| {
            known.retain(|_, state| state.strong_count() > 0);
            !known.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_keeps_its_state_as_long_as_someone_uses_it() {
        let mut hosts = Hosts::default();
        let cluster: Arc<str> = "reviews".into();
        let address = Address::Ip(([127, 0, 0, 1], 80).into());
        let request = hosts.state(&cluster, &address).begin();

        hosts.sweep();
        assert_eq!(hosts.state(&cluster, &address).active_requests(), 1);

        drop(request);
        hosts.sweep();
        assert_eq!(hosts.state(&cluster, &address).requests(), 0);
    }

    #[test]
    fn endpoints_of_two_clusters_are_two() {
        let mut hosts = Hosts::default();
        let address = Address::Ip(([127, 0, 0, 1], 80).into());
        let one = hosts.state(&"one".into(), &address);
        let _request = one.begin();

        assert_eq!(hosts.state(&"two".into(), &address).active_requests(), 0);
    }
}
