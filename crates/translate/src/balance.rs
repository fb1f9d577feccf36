//! Load balancing: the algorithm, its table, and what localities count for.

use proto::envoy::config::cluster::v3 as envoy;
use proto::envoy::config::cluster::v3::cluster::common_lb_config::{
    LocalityConfigSpecifier, LocalityWeightedLbConfig, ZoneAwareLbConfig,
};
use proto::envoy::config::cluster::v3::cluster::{
    LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig, RoundRobinLbConfig,
    SlowStartConfig,
};
use proto::envoy::config::core::v3::{HealthStatus, HealthStatusSet, RuntimeDouble};
use proto::envoy::config::route::v3::route_action::{HashPolicy, hash_policy};
use proto::envoy::r#type::v3::Percent;

use api::load_balancer::{Algorithm, HashKey, HashTable, Warmup};
use mesh::{Cluster, Discovery, Localities};

use crate::wire;

/// A runtime key that nobody can set, as Istio writes it.
const NO_KEY: &str = "(";

/// Envoy's own way of a warm-up, in so many words.
const AGGRESSION: f64 = 1.0;
const LEAST_PERCENT: f64 = 10.0;

/// The most entries that a ring may have.
const RING_MOST: u64 = 8 * 1024 * 1024;

pub(crate) fn apply(cluster: &Cluster, out: &mut envoy::Cluster) {
    let warmup = cluster.balance.warmup.map(slow_start);
    let (policy, config) = match &cluster.balance.algorithm {
        None if is_provided(cluster) => (LbPolicy::ClusterProvided, None),
        None => (LbPolicy::RoundRobin, None),
        Some(Algorithm::ConsistentHash(hash)) => table(hash.table),
        Some(Algorithm::LeastRequest) => (
            LbPolicy::LeastRequest,
            warmup.map(|warmup| {
                LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
                    slow_start_config: Some(warmup),
                    ..Default::default()
                })
            }),
        ),
        Some(Algorithm::Passthrough) => (LbPolicy::ClusterProvided, None),
        Some(Algorithm::Random) => (LbPolicy::Random, None),
        Some(Algorithm::RoundRobin) => (
            LbPolicy::RoundRobin,
            warmup.map(|warmup| {
                LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config: Some(warmup) })
            }),
        ),
    };
    out.lb_policy = policy.into();
    out.lb_config = config.or(out.lb_config.take());
    let Some(common) = &mut out.common_lb_config else { return };
    // Envoy would use endpoints it knows to be ill as soon as half of them are.
    let least = cluster.outliers.as_ref().map_or(0, |outliers| outliers.min_health_percent);
    common.healthy_panic_threshold = Some(Percent { value: least.into() });
    common.locality_config_specifier = localities(cluster.balance.localities);
    if cluster.balance.keeps_sessions {
        let statuses =
            [HealthStatus::Healthy, HealthStatus::Draining, HealthStatus::Unknown, HealthStatus::Degraded];
        common.override_host_status = Some(HealthStatusSet { statuses: statuses.map(Into::into).into() });
    }
}

fn is_provided(cluster: &Cluster) -> bool {
    matches!(cluster.discovery, Discovery::DynamicForward(_) | Discovery::OriginalDestination { .. })
}

fn localities(localities: Localities) -> Option<LocalityConfigSpecifier> {
    match localities {
        Localities::Priorities => None,
        Localities::Weights => {
            Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}))
        }
        Localities::Zones { least } => Some(LocalityConfigSpecifier::ZoneAwareLbConfig(ZoneAwareLbConfig {
            min_cluster_size: least.map(|value| proto::google::protobuf::UInt64Value { value }),
            ..Default::default()
        })),
    }
}

fn table(table: HashTable) -> (LbPolicy, Option<LbConfig>) {
    let size = |value| proto::google::protobuf::UInt64Value { value };
    match table {
        HashTable::Maglev { table_size } => (
            LbPolicy::Maglev,
            table_size
                .map(|value| LbConfig::MaglevLbConfig(MaglevLbConfig { table_size: Some(size(value)) })),
        ),
        HashTable::RingHash { minimum_ring_size } => (
            LbPolicy::RingHash,
            minimum_ring_size.map(|value| {
                LbConfig::RingHashLbConfig(RingHashLbConfig {
                    minimum_ring_size: Some(size(value.min(RING_MOST))),
                    ..Default::default()
                })
            }),
        ),
    }
}

fn slow_start(warmup: Warmup) -> SlowStartConfig {
    let number = |written: Option<api::Decimal>, usual| written.map_or(usual, |written| written.value());
    SlowStartConfig {
        slow_start_window: wire::duration(warmup.duration),
        aggression: Some(RuntimeDouble {
            default_value: number(warmup.aggression, AGGRESSION),
            runtime_key: NO_KEY.into(),
        }),
        min_weight_percent: Some(Percent { value: number(warmup.minimum_percent, LEAST_PERCENT) }),
    }
}

/// What of a request decides its endpoint.
pub(crate) fn hash_policy(key: &HashKey) -> HashPolicy {
    use hash_policy::{
        ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter,
    };
    let specifier = match key {
        HashKey::Cookie(cookie) => PolicySpecifier::Cookie(Cookie {
            name: cookie.name.clone(),
            ttl: cookie.ttl.and_then(wire::duration),
            path: cookie.path.clone().unwrap_or_default(),
            attributes: cookie
                .attributes
                .iter()
                .map(|attribute| CookieAttribute {
                    name: attribute.name.clone(),
                    value: attribute.value.clone(),
                })
                .collect(),
        }),
        HashKey::Header(name) => {
            PolicySpecifier::Header(Header { header_name: name.clone(), ..Default::default() })
        }
        HashKey::QueryParameter(name) => {
            PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() })
        }
        HashKey::SourceIp => PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
    };
    HashPolicy { policy_specifier: Some(specifier), ..Default::default() }
}
