//! A cluster together with its endpoints.

#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;

use balance::{ClusterState, Hosts};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;

use crate::cluster_spec::ClusterSpec;
use crate::discovery::ClusterKind;
use crate::endpoints::Assignment;
use crate::read::{Within, Wrong};

/// A cluster and its endpoints; see [`ClusterSpec`] for the rest.
#[derive(Debug)]
pub struct Cluster {
    spec: Arc<ClusterSpec>,
    /// Its endpoints.
    pub endpoints: Arc<Assignment>,
    /// Whether discovery has said anything about its endpoints.
    pub is_warm: bool,
    /// What all workers know of it together, kept across updates.
    pub state: Arc<ClusterState>,
}

impl Deref for Cluster {
    type Target = ClusterSpec;

    fn deref(&self) -> &ClusterSpec {
        &self.spec
    }
}

impl Cluster {
    /// What a message says a cluster is; the endpoints in it are looked at too.
    pub(crate) fn read(message: &wire::Cluster) -> Result<ClusterSpec, Wrong> {
        let spec = ClusterSpec::compile(message)?;
        Self::check(&spec)?;
        Ok(spec)
    }

    /// What is wrong with endpoints of its own must be said when the cluster comes, not when it is used.
    fn check(spec: &ClusterSpec) -> Result<(), Wrong> {
        let path = "load_assignment";
        let count = match &spec.inline {
            None => 0,
            // Envoy reads discovery's endpoints only.
            Some(_) if matches!(spec.kind, ClusterKind::Eds(_)) => 0,
            Some(_) if spec.kind.chooses_itself() => {
                return Err(Wrong::new(path, "cannot stand in this type of cluster"));
            }
            Some(own) => Assignment::read(own, spec).within(path)?.endpoints.len(),
        };
        match (&spec.kind, count) {
            (ClusterKind::LogicalDns(_), count) if count != 1 => {
                Err(Wrong::new(path, format!("has {count} endpoints, a logical name is one")))
            }
            _ => Ok(()),
        }
    }

    /// Joins a cluster with its endpoints: its own, or those discovery gave (`None`: said nothing yet).
    pub(crate) fn join(
        spec: Arc<ClusterSpec>,
        discovered: Option<&ClusterLoadAssignment>,
        hosts: &mut Hosts,
    ) -> Result<Self, Wrong> {
        let own = match spec.kind {
            ClusterKind::Eds(_) => discovered,
            _ => spec.inline.as_ref(),
        };
        let endpoints = match own {
            Some(message) => Assignment::compile(message, &spec, hosts)?,
            None => Assignment::default(),
        };
        let is_warm = discovered.is_some() || !matches!(spec.kind, ClusterKind::Eds(_));
        let state = hosts.cluster(&spec.name);
        Ok(Self { spec, endpoints: Arc::new(endpoints), is_warm, state })
    }

    /// What the cluster is, apart from its endpoints.
    pub fn spec(&self) -> &Arc<ClusterSpec> {
        &self.spec
    }

    /// The same cluster with other endpoints, as when its names were resolved or one of them was taken out.
    pub fn with(&self, endpoints: Assignment) -> Self {
        Self {
            spec: Arc::clone(&self.spec),
            endpoints: Arc::new(endpoints),
            is_warm: true,
            state: Arc::clone(&self.state),
        }
    }
}
