//! How long a change waits for others before it goes out: a lone one hardly, a burst until it is over.
//!
//! The first change of a burst waits [`LONE`]; each one that follows doubles the quiet that must come before
//! anything leaves, up to [`QUIET`]; nothing waits longer than [`LONGEST`]. A burst is over when nothing has
//! changed for [`QUIET`]. Where only endpoints changed nothing waits: such changes overtake the others, and they
//! come often and cost little.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::{Key, Kind, Resource};

#[cfg(test)]
mod tests;

/// How long the first change waits for company.
pub(crate) const LONE: Duration = Duration::from_millis(10);
/// The quiet that ends a burst.
pub(crate) const QUIET: Duration = Duration::from_millis(100);
/// How long anything waits at most.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// Objects that changed: their new version, or `None` where they are gone.
pub(crate) type Batch = BTreeMap<Key, Option<Resource>>;

/// Holds changes back until it is time.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    pending: Batch,
    first: Option<Instant>,
    last: Option<Instant>,
    quiet: Duration,
}

impl Gather {
    /// Takes in a batch and returns what must leave this instant: the batch itself, where only endpoints changed.
    pub(crate) fn take(&mut self, batch: Batch, now: Instant) -> Option<Batch> {
        if batch.is_empty() {
            return None;
        }
        if batch.keys().all(|key| is_endpoint(key.kind)) {
            for key in batch.keys() {
                // An older version that is still waiting must not come after the newer one.
                self.pending.remove(key);
            }
            return Some(batch);
        }
        let in_burst = self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET);
        self.quiet = if in_burst { (self.quiet * 2).clamp(LONE, QUIET) } else { LONE };
        self.last = Some(now);
        self.first.get_or_insert(now);
        self.pending.extend(batch);
        None
    }

    /// When what waits must leave; `None` while nothing waits.
    pub(crate) fn due(&self) -> Option<Instant> {
        Some((self.last? + self.quiet).min(self.first? + LONGEST))
    }

    /// What waits, if it is time.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Batch> {
        if self.due()? > now {
            return None;
        }
        self.first = None;
        Some(std::mem::take(&mut self.pending))
    }
}

/// Whether objects of a kind only say where a service's instances are.
fn is_endpoint(kind: Kind) -> bool {
    matches!(kind, Kind::EndpointSlice | Kind::WorkloadEntry)
}
