//! How a cluster's endpoints are chosen among, in the old fields and as a typed policy.

#[cfg(test)]
mod tests;

use balance::{HashFunction, Health, Policy, SlowStart};
use proto::Any;
use proto::envoy::config::cluster::v3::cluster::common_lb_config::LocalityConfigSpecifier;
use proto::envoy::config::cluster::v3::cluster::{self, LbConfig};
use proto::envoy::config::cluster::v3::{Cluster, LoadBalancingPolicy};
use proto::envoy::config::core::v3::RuntimeDouble;
use proto::envoy::extensions::load_balancing_policies as typed;
use proto::envoy::extensions::load_balancing_policies::common::v3::locality_lb_config::LocalityConfigSpecifier as TypedLocality;
use proto::envoy::extensions::load_balancing_policies::common::v3::{
    ConsistentHashingLbConfig, LocalityLbConfig,
};
use proto::envoy::r#type::v3::Percent;
use proto::google::protobuf::{self, UInt32Value, UInt64Value};

use crate::read::{At, Within, Wrong, duration, flag, number, percent, refuse};

/// The largest ring, as Envoy allows it.
const RING: u64 = 8 << 20;
/// The largest Maglev table, as Envoy allows it.
const TABLE: u64 = 5_000_011;

/// How the endpoints of a cluster are chosen among.
#[derive(Clone, Debug, PartialEq)]
pub struct Balancer {
    /// How one is chosen among equals; none where the cluster finds its endpoint by other means.
    pub policy: Option<Policy>,
    /// Below this share of usable endpoints, in percent, health is disregarded.
    pub panic_percent: u32,
    /// Whether requests fail there instead.
    pub fails_on_panic: bool,
    /// Whether localities have a say in the choice.
    pub by_locality: bool,
    /// Whether a hash is made of an endpoint's host name instead of its address.
    pub hashes_hostname: bool,
    /// How new endpoints get their share by and by.
    pub slow_start: Option<SlowStart>,
    /// The share of its due, in percent, beyond which an endpoint found by hash is passed over.
    pub bounded_load: Option<u32>,
    /// In what health an endpoint may be that a session asks for.
    pub named: Vec<Health>,
}

impl Balancer {
    fn new(policy: Option<Policy>) -> Self {
        Self {
            policy,
            panic_percent: 50,
            fails_on_panic: false,
            by_locality: false,
            hashes_hostname: false,
            slow_start: None,
            bounded_load: None,
            named: vec![Health::Healthy, Health::Degraded],
        }
    }

    pub(crate) fn compile(message: &Cluster) -> Result<Self, Wrong> {
        let common = message.common_lb_config.clone().unwrap_or_default();
        let mut balancer = match &message.load_balancing_policy {
            Some(list) => {
                // Envoy refuses what would say the same twice.
                refuse(
                    common.consistent_hashing_lb_config.is_some()
                        || common.locality_config_specifier.is_some(),
                    "common_lb_config",
                )?;
                Self::listed(list).within("load_balancing_policy")?
            }
            None => Self::named(message)?,
        };
        let path = "common_lb_config.healthy_panic_threshold";
        if let Some(percent) = percent(&common.healthy_panic_threshold, path)? {
            balancer.panic_percent = percent.round() as u32;
        }
        match &common.locality_config_specifier {
            // Zones count only for a proxy that knows which cluster it belongs to itself, and no bootstrap says so.
            Some(LocalityConfigSpecifier::ZoneAwareLbConfig(zones)) => {
                balancer.fails_on_panic = zones.fail_traffic_on_panic;
            }
            Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => balancer.by_locality = true,
            None => {}
        }
        if let Some(allowed) = &common.override_host_status {
            balancer.named = allowed.statuses.iter().map(|status| health(*status)).collect();
        }
        if let Some(consistent) = &common.consistent_hashing_lb_config {
            balancer.hashes_hostname = consistent.use_hostname_for_hashing;
            let path = "common_lb_config.consistent_hashing_lb_config.hash_balance_factor";
            balancer.bounded_load = bound(&consistent.hash_balance_factor, path)?;
        }
        Ok(balancer)
    }

    /// By the old field.
    fn named(message: &Cluster) -> Result<Self, Wrong> {
        match message.lb_policy {
            0 => {
                let mut balancer = Self::new(Some(Policy::RoundRobin));
                if let Some(LbConfig::RoundRobinLbConfig(config)) = &message.lb_config {
                    balancer.slow_start =
                        old_slow_start(&config.slow_start_config).within("round_robin_lb_config")?;
                }
                Ok(balancer)
            }
            1 => {
                let mut balancer = Self::new(Some(Policy::LEAST_REQUEST));
                if let Some(LbConfig::LeastRequestLbConfig(config)) = &message.lb_config {
                    let path = "least_request_lb_config";
                    let policy = least_request(&config.choice_count, &config.active_request_bias);
                    balancer.policy = Some(policy.within(path)?);
                    balancer.slow_start = old_slow_start(&config.slow_start_config).within(path)?;
                }
                Ok(balancer)
            }
            2 => {
                let policy = match &message.lb_config {
                    Some(LbConfig::RingHashLbConfig(config)) => {
                        // The old enumeration counts from the usual function.
                        let sizes = (&config.minimum_ring_size, &config.maximum_ring_size);
                        ring_hash(sizes, config.hash_function == 1).within("ring_hash_lb_config")?
                    }
                    _ => Policy::RING_HASH,
                };
                Ok(Self::new(Some(policy)))
            }
            3 => Ok(Self::new(Some(Policy::Random))),
            5 => {
                let policy = match &message.lb_config {
                    Some(LbConfig::MaglevLbConfig(config)) => {
                        maglev(&config.table_size).within("maglev_lb_config")?
                    }
                    _ => Policy::MAGLEV,
                };
                Ok(Self::new(Some(policy)))
            }
            6 => Ok(Self::new(None)),
            other => Err(Wrong::new("lb_policy", format!("{other} is not supported"))),
        }
    }

    /// By a list of which the first known counts.
    fn listed(list: &LoadBalancingPolicy) -> Result<Self, Wrong> {
        for (i, policy) in list.policies.iter().enumerate() {
            let any = policy.typed_extension_config.as_ref().and_then(|c| c.typed_config.as_ref());
            if let Some(any) = any
                && let Some(balancer) = Self::typed(any).within(format_args!("policies[{i}]"))?
            {
                return Ok(balancer);
            }
        }
        Err(Wrong::new("policies", "has none that is supported"))
    }

    /// By a typed policy; none for one that is not known.
    fn typed(any: &Any) -> Result<Option<Self>, Wrong> {
        let name = proto::any::type_name(&any.type_url);
        let Some(name) = name.strip_prefix("envoy.extensions.load_balancing_policies.") else {
            return Ok(None);
        };
        let mut balancer = Self::new(Some(Policy::RoundRobin));
        match name {
            "cluster_provided.v3.ClusterProvided" => balancer.policy = None,
            "least_request.v3.LeastRequest" => {
                let config: typed::least_request::v3::LeastRequest = proto::any::unpack(any).at("")?;
                let bias = &config.active_request_bias;
                balancer.policy = Some(match is_full_scan(&config) {
                    true => full_scan(bias)?,
                    false => least_request(&config.choice_count, bias)?,
                });
                balancer.slow_start = slow_start(&config.slow_start_config)?;
                balancer.localities(&config.locality_lb_config);
            }
            "maglev.v3.Maglev" => {
                let config: typed::maglev::v3::Maglev = proto::any::unpack(any).at("")?;
                balancer.policy = Some(maglev(&config.table_size)?);
                balancer.by_locality = config.locality_weighted_lb_config.is_some();
                balancer.consistent(&config.consistent_hashing_lb_config)?;
            }
            "random.v3.Random" => {
                let config: typed::random::v3::Random = proto::any::unpack(any).at("")?;
                balancer.policy = Some(Policy::Random);
                balancer.localities(&config.locality_lb_config);
            }
            "ring_hash.v3.RingHash" => balancer.ring(&proto::any::unpack(any).at("")?)?,
            "round_robin.v3.RoundRobin" => {
                let config: typed::round_robin::v3::RoundRobin = proto::any::unpack(any).at("")?;
                balancer.slow_start = slow_start(&config.slow_start_config)?;
                balancer.localities(&config.locality_lb_config);
            }
            _ => return Ok(None),
        }
        Ok(Some(balancer))
    }

    #[allow(deprecated, reason = "old control planes still write the old spellings")]
    fn ring(&mut self, config: &typed::ring_hash::v3::RingHash) -> Result<(), Wrong> {
        let sizes = (&config.minimum_ring_size, &config.maximum_ring_size);
        self.policy = Some(ring_hash(sizes, config.hash_function == 2)?);
        self.hashes_hostname = config.use_hostname_for_hashing;
        self.bounded_load = bound(&config.hash_balance_factor, "hash_balance_factor")?;
        self.by_locality = config.locality_weighted_lb_config.is_some();
        self.consistent(&config.consistent_hashing_lb_config)
    }

    fn consistent(&mut self, config: &Option<ConsistentHashingLbConfig>) -> Result<(), Wrong> {
        let Some(config) = config else { return Ok(()) };
        let path = "consistent_hashing_lb_config";
        refuse(!config.hash_policy.is_empty(), "hash_policy").within(path)?;
        self.hashes_hostname = config.use_hostname_for_hashing;
        self.bounded_load = bound(&config.hash_balance_factor, "hash_balance_factor").within(path)?;
        Ok(())
    }

    fn localities(&mut self, config: &Option<LocalityLbConfig>) {
        match config.as_ref().and_then(|config| config.locality_config_specifier.as_ref()) {
            Some(TypedLocality::LocalityWeightedLbConfig(_)) => self.by_locality = true,
            Some(TypedLocality::ZoneAwareLbConfig(zones)) => {
                self.fails_on_panic = zones.fail_traffic_on_panic;
            }
            None => {}
        }
    }
}

/// What a status of discovery means for the choice.
pub(crate) fn health(status: i32) -> Health {
    match status {
        0 | 1 => Health::Healthy,
        3 => Health::Draining,
        5 => Health::Degraded,
        _ => Health::Unhealthy,
    }
}

fn is_full_scan(config: &typed::least_request::v3::LeastRequest) -> bool {
    #[allow(deprecated, reason = "old control planes still write the old spelling")]
    let old = flag(&config.enable_full_scan, false);
    old || config.selection_method == 1
}

/// Of all endpoints the least busy.
fn full_scan(bias: &Option<RuntimeDouble>) -> Result<Policy, Wrong> {
    least_request(&Some(UInt32Value { value: u32::MAX }), bias)
}

fn least_request(choices: &Option<UInt32Value>, bias: &Option<RuntimeDouble>) -> Result<Policy, Wrong> {
    let choices = number(choices).unwrap_or(2);
    if choices < 2 {
        return Err(Wrong::new("choice_count", format!("{choices} is less than 2")));
    }
    // Envoy takes a bias that makes no sense for its default.
    let bias = bias.as_ref().map_or(1.0, |bias| bias.default_value);
    let bias = if bias.is_finite() && bias >= 0.0 { bias } else { 1.0 };
    Ok(Policy::LeastRequest { choices, bias })
}

fn ring_hash(
    (least, most): (&Option<UInt64Value>, &Option<UInt64Value>),
    is_murmur: bool,
) -> Result<Policy, Wrong> {
    let least = least.as_ref().map_or(1024, |size| size.value);
    let most = most.as_ref().map_or(RING, |size| size.value);
    for (size, path) in [(least, "minimum_ring_size"), (most, "maximum_ring_size")] {
        if size > RING {
            return Err(Wrong::new(path, format!("{size} is more than {RING}")));
        }
    }
    if least > most {
        return Err(Wrong::new("minimum_ring_size", format!("{least} is more than the maximum of {most}")));
    }
    let function = if is_murmur { HashFunction::Murmur } else { HashFunction::Xx };
    Ok(Policy::RingHash { least, most, function })
}

fn maglev(size: &Option<UInt64Value>) -> Result<Policy, Wrong> {
    let Some(UInt64Value { value }) = size else { return Ok(Policy::MAGLEV) };
    match u32::try_from(*value) {
        Ok(size) if *value <= TABLE && is_prime(size) => Ok(Policy::Maglev { size }),
        _ => Err(Wrong::new("table_size", format!("{value} is not a prime number up to {TABLE}"))),
    }
}

fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor: &u32| divisor.checked_mul(*divisor).is_some_and(|square| square <= number))
            .all(|divisor| !number.is_multiple_of(divisor))
}

fn bound(factor: &Option<UInt32Value>, path: &str) -> Result<Option<u32>, Wrong> {
    match number(factor) {
        Some(percent) if percent > 0 && percent < 100 => {
            Err(Wrong::new(path, format!("{percent} is less than 100")))
        }
        factor => Ok(factor.filter(|percent| *percent > 0)),
    }
}

fn old_slow_start(config: &Option<cluster::SlowStartConfig>) -> Result<Option<SlowStart>, Wrong> {
    let Some(config) = config else { return Ok(None) };
    growth(&config.slow_start_window, &config.aggression, &config.min_weight_percent)
}

fn slow_start(config: &Option<typed::common::v3::SlowStartConfig>) -> Result<Option<SlowStart>, Wrong> {
    let Some(config) = config else { return Ok(None) };
    growth(&config.slow_start_window, &config.aggression, &config.min_weight_percent)
}

/// A window of zero is none.
fn growth(
    window: &Option<protobuf::Duration>,
    aggression: &Option<RuntimeDouble>,
    least: &Option<Percent>,
) -> Result<Option<SlowStart>, Wrong> {
    let path = "slow_start_config";
    let Some(window) = duration(window, "slow_start_window").within(path)? else { return Ok(None) };
    let aggression = aggression.as_ref().map_or(1.0, |aggression| aggression.default_value);
    let aggression = if aggression.is_finite() && aggression > 0.0 { aggression } else { 1.0 };
    let least = percent(least, "min_weight_percent").within(path)?.unwrap_or(10.0) / 100.0;
    Ok(Some(SlowStart { window, aggression, least }).filter(|slow| !slow.window.is_zero()))
}
