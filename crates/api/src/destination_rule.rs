//! Istio's DestinationRule: how a host's traffic is balanced, and the subsets it has.

use std::time::Duration;

use base::Labels;

mod policy;
mod read;
mod schema;

pub(crate) use read::read;
pub(crate) use schema::FIELDS;

/// Policies and subsets of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationRule {
    /// The host as written: a short name belongs to the object's namespace.
    pub host: String,
    /// What holds for the whole host.
    pub traffic_policy: TrafficPolicy,
    /// The subsets, each name once.
    pub subsets: Vec<Subset>,
}

/// How connections to a host are made and shared out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// The algorithm; None means the mesh's default.
    pub load_balancer: Option<LoadBalancer>,
    /// The longest a TCP connect may take.
    pub connect_timeout: Option<Duration>,
}

/// A load-balancing algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadBalancer {
    /// The less busy of two drawn at random.
    LeastRequest,
    /// One at random.
    Random,
    /// One after the other.
    RoundRobin,
}

/// The part of a host's workloads that has certain labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// The name routes use.
    pub name: String,
    /// The labels a workload must have.
    pub labels: Labels,
    /// What differs from the host's policy; a None is inherited.
    pub traffic_policy: TrafficPolicy,
}
