//! Forwarding of bytes: which cluster takes a connection.

use std::sync::Arc;
use std::time::Duration;

use proto::envoy::extensions::filters::network::tcp_proxy::v3 as wire;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;

use crate::listener::{AccessLog, access_logs};
use crate::read::{Wrong, duration, each, limit, named, number, refuse};

/// Forwards a connection's bytes to a cluster.
#[derive(Clone, Debug)]
pub struct TcpProxy {
    /// The prefix of its counters; istiod puts the cluster's name there.
    pub stat_prefix: Arc<str>,
    /// The clusters and their weights, of which at least one is not zero.
    pub clusters: Vec<(Arc<str>, u32)>,
    /// Closes a connection that was silent this long; none for never.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection that is this old.
    pub max_duration: Option<Duration>,
    /// How often connecting to the upstream is tried.
    pub connect_attempts: u32,
    /// Where its connections are logged.
    pub access_log: Vec<AccessLog>,
}

impl TcpProxy {
    pub(crate) fn compile(message: &wire::TcpProxy) -> Result<Self, Wrong> {
        refuse(message.tunneling_config.is_some(), "tunneling_config")?;
        refuse(message.on_demand.is_some(), "on_demand")?;
        refuse(message.metadata_match.is_some(), "metadata_match")?;
        let clusters = match &message.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => vec![(named(name, "cluster")?, 1)],
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                each(&weighted.clusters, "weighted_clusters.clusters", |cluster| {
                    refuse(cluster.metadata_match.is_some(), "metadata_match")?;
                    Ok((named(&cluster.name, "name")?, cluster.weight))
                })?
            }
            None => return Err(Wrong::new("cluster", "is missing")),
        };
        if clusters.iter().all(|(_, weight)| *weight == 0) {
            return Err(Wrong::new("weighted_clusters", "has no cluster with a weight"));
        }
        Ok(Self {
            stat_prefix: message.stat_prefix.as_str().into(),
            clusters,
            idle_timeout: match duration(&message.idle_timeout, "idle_timeout")? {
                None => Some(Duration::from_secs(3600)),
                Some(timeout) => Some(timeout).filter(|t| !t.is_zero()),
            },
            max_duration: limit(
                &message.max_downstream_connection_duration,
                "max_downstream_connection_duration",
            )?,
            connect_attempts: number(&message.max_connect_attempts).unwrap_or(1).max(1),
            access_log: access_logs(&message.access_log)?,
        })
    }

    /// The cluster that takes a connection, by a random number.
    pub fn cluster(&self, random: u64) -> Option<&Arc<str>> {
        crate::route::weighted(&self.clusters, |(_, weight)| *weight, random).map(|(name, _)| name)
    }
}
