//! Chooses the endpoint that takes a request.
//!
//! Start at [`Table::choose`]; [`HostState`] and [`ClusterState`] are what all workers know of an endpoint and of a
//! cluster together, and [`Detector`] judges endpoints by what they answer. Random numbers, time and the place in a
//! rotation come from the caller, so that a choice can be repeated.
//!
//! Never: draws a random number of its own, or waits.

mod bounded;
mod breaker;
mod circle;
mod group;
mod hash;
mod health;
mod host;
mod monitor;
mod outlier;
mod policy;
mod table;
#[cfg(test)]
mod tests_support;
mod tier;
mod window;

pub use breaker::{Breakers, ClusterState, Held, Resource, RetryBudget};
pub use hash::{hash, hash_all, join};
pub use health::Health;
pub use host::{ActiveRequest, Host, HostState, Hosts};
pub use monitor::{Outcome, Streaks, Suspicion, Suspicions};
pub use outlier::{
    Detector, Detectors, Enforcing, Event, FailurePercentage, Judgement, Outlier, SuccessRate,
};
pub use policy::{HashFunction, Policy, Settings, SlowStart};
pub use table::{Avoid, Choice, Cursor, Table};
