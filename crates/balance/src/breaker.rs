//! A cluster's limits, and how far they are used up by all workers together.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::window::Window;

/// A cluster's limits; none where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breakers {
    /// Connections.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests under way.
    pub requests: Option<u32>,
    /// Retries under way, where there is no budget.
    pub retries: Option<u32>,
    /// Retries under way by the requests under way; takes the place of their number.
    pub budget: Option<RetryBudget>,
}

impl Default for Breakers {
    /// Envoy's: 1024 of each, 3 retries.
    fn default() -> Self {
        let usual = Some(1024);
        Self { connections: usual, pending: usual, requests: usual, retries: Some(3), budget: None }
    }
}

impl Breakers {
    /// No limit at all.
    pub const NONE: Self =
        Self { connections: None, pending: None, requests: None, retries: None, budget: None };
}

/// How many retries may be under way beside a number of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// In percent of the requests under way or waiting, or of those that began within the interval.
    pub percent: f64,
    /// So many at any rate.
    pub least: u32,
    /// How long a request counts from its beginning on; none for as long as it is under way or waiting.
    pub interval: Option<Duration>,
}

impl Default for RetryBudget {
    /// Envoy's.
    fn default() -> Self {
        Self { percent: 20.0, least: 3, interval: None }
    }
}

/// What all workers know of one cluster together; alone in its cache lines, and kept across updates.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct ClusterState {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
    epoch: AtomicU64,
    /// The requests that began lately, where a budget goes by them.
    lately: OnceLock<Box<Window>>,
}

/// One of the things a cluster has a limit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A connection.
    Connection,
    /// A request that waits for a connection.
    Pending,
    /// A request under way.
    Request,
    /// A retry under way.
    Retry,
}

impl ClusterState {
    /// Takes one of a resource until the guard is dropped; none where the limit is reached. The time is asked for where
    /// a budget goes by it.
    pub fn take(
        self: &Arc<Self>,
        resource: Resource,
        limits: &Breakers,
        now: impl Fn() -> Duration,
    ) -> Option<Held> {
        let limit = self.limit(resource, limits, &now);
        let counter = self.counter(resource);
        let taken = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            (limit.is_none_or(|limit| held < limit)).then(|| held.saturating_add(1))
        });
        taken.ok()?;
        if resource == Resource::Request
            && let Some(interval) = limits.budget.and_then(|budget| budget.interval)
        {
            self.lately.get_or_init(Box::default).add(interval, now());
        }
        Some(Held { state: Arc::clone(self), resource })
    }

    /// Takes one of a resource whatever the limit: the first connection of an endpoint is always made, else what
    /// waits for it could never go on.
    pub fn take_regardless(self: &Arc<Self>, resource: Resource) -> Held {
        self.counter(resource).fetch_add(1, Ordering::Relaxed);
        Held { state: Arc::clone(self), resource }
    }

    /// How many of a resource are held.
    pub fn held(&self, resource: Resource) -> u32 {
        self.counter(resource).load(Ordering::Relaxed)
    }

    /// How many of a resource may be held now; none for any number.
    fn limit(&self, resource: Resource, limits: &Breakers, now: &impl Fn() -> Duration) -> Option<u32> {
        match resource {
            Resource::Connection => limits.connections,
            Resource::Pending => limits.pending,
            Resource::Request => limits.requests,
            Resource::Retry => match limits.budget {
                Some(budget) => Some(self.budgeted(budget, now)),
                None => limits.retries,
            },
        }
    }

    fn budgeted(&self, budget: RetryBudget, now: &impl Fn() -> Duration) -> u32 {
        let active = match budget.interval {
            None => self.held(Resource::Request).saturating_add(self.held(Resource::Pending)),
            Some(interval) => self.lately.get().map_or(0, |lately| lately.count(interval, now())),
        };
        // A share of a number of 32 bits fits into one.
        let share = (f64::from(active) * budget.percent / 100.0) as u32;
        share.max(budget.least)
    }

    /// A number that grows whenever the health of some endpoint has changed: tables arranged before are old then.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Says that the health of some endpoint has changed.
    pub fn advance(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    fn counter(&self, resource: Resource) -> &AtomicU32 {
        match resource {
            Resource::Connection => &self.connections,
            Resource::Pending => &self.pending,
            Resource::Request => &self.requests,
            Resource::Retry => &self.retries,
        }
    }
}

/// One of a resource, held until dropped.
#[derive(Debug)]
pub struct Held {
    state: Arc<ClusterState>,
    resource: Resource,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.state.counter(self.resource).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Duration {
        unreachable!("nothing goes by time here")
    }

    #[test]
    fn a_limit_holds_until_something_is_given_back() {
        let state = Arc::new(ClusterState::default());
        let limits = Breakers { requests: Some(2), ..Breakers::default() };
        let first = state.take(Resource::Request, &limits, never);
        let _second = state.take(Resource::Request, &limits, never);
        assert!(first.is_some() && state.take(Resource::Request, &limits, never).is_none());

        drop(first);

        assert!(state.take(Resource::Request, &limits, never).is_some());
        assert_eq!(state.held(Resource::Request), 1);
        let _more = state.take_regardless(Resource::Request);
        assert_eq!(state.held(Resource::Request), 2);
    }

    #[test]
    fn what_has_no_limit_is_counted_all_the_same() {
        let state = Arc::new(ClusterState::default());
        let held: Vec<_> =
            (0..5_000).filter_map(|_| state.take(Resource::Pending, &Breakers::NONE, never)).collect();

        assert_eq!((held.len(), state.held(Resource::Pending)), (5_000, 5_000));
    }

    #[test]
    fn a_budget_follows_the_requests_and_leaves_a_few_at_any_rate() {
        let state = Arc::new(ClusterState::default());
        let budget = Some(RetryBudget { percent: 25.0, least: 2, interval: None });
        let limits = Breakers { budget, retries: Some(0), ..Breakers::NONE };
        assert_eq!(state.limit(Resource::Retry, &limits, &never), Some(2));

        let held: Vec<_> = (0..19).map(|_| state.take_regardless(Resource::Request)).collect();
        let _waiting = state.take_regardless(Resource::Pending);
        assert_eq!(state.limit(Resource::Retry, &limits, &never), Some(5));

        drop(held);
        assert_eq!(state.limit(Resource::Retry, &limits, &never), Some(2));
    }

    #[test]
    fn a_budget_with_an_interval_goes_by_what_began_within_it() {
        let state = Arc::new(ClusterState::default());
        let interval = Some(Duration::from_secs(10));
        let budget = Some(RetryBudget { percent: 20.0, least: 1, interval });
        let limits = Breakers { budget, ..Breakers::NONE };
        let at = |seconds| move || Duration::from_secs(seconds);
        let retries = |seconds| state.limit(Resource::Retry, &limits, &at(seconds));
        assert_eq!(retries(0), Some(1));

        for _ in 0..20 {
            drop(state.take(Resource::Request, &limits, at(3)));
        }

        // They are over, and count all the same.
        assert_eq!(state.held(Resource::Request), 0);
        assert_eq!([retries(3), retries(13), retries(15)], [Some(4), Some(4), Some(1)]);
        let held: Vec<_> = (0..9).filter_map(|_| state.take(Resource::Retry, &limits, at(12))).collect();
        assert_eq!(held.len(), 4);
    }
}
