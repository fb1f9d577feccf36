//! How a cluster's endpoints are found.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use proto::Any;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, LbConfig, OriginalDstLbConfig};
use proto::envoy::extensions::clusters::dns::v3::DnsCluster;
use proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::ClusterConfig;
use proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::cluster_config::ClusterImplementationSpecifier;
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::google::protobuf;

use crate::read::{At, Within, Wrong, duration, named, number, port, refuse};

/// How a cluster's endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterKind {
    /// Each host is resolved when a request asks for it.
    DynamicForward(Dns),
    /// By discovery, under this name.
    Eds(Arc<str>),
    /// One endpoint: the first address its name resolves to.
    LogicalDns(Dns),
    /// Wherever the client's connection was going.
    OriginalDst(OriginalDst),
    /// As configured.
    Static,
    /// Every address its names resolve to.
    StrictDns(Dns),
}

/// Where the address of an original destination is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalDst {
    /// A header that names it, where a request has it.
    pub header: Option<HeaderName>,
    /// The port that takes the place of its own.
    pub port: Option<u16>,
}

/// How names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Which addresses are wanted.
    pub family: Family,
    /// How often names are resolved again.
    pub refresh: Duration,
    /// Whether the answer's own time to live takes its place.
    pub follows_ttl: bool,
    /// How often names that could not be resolved are tried again; none for like the others.
    pub retry: Option<Duration>,
    /// Up to this much is added to either by chance.
    pub jitter: Duration,
}

impl Default for Dns {
    /// Envoy's.
    fn default() -> Self {
        Self {
            family: Family::Auto,
            refresh: Duration::from_secs(5),
            follows_ttl: false,
            retry: None,
            jitter: Duration::ZERO,
        }
    }
}

/// Which addresses are wanted of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// All.
    All,
    /// IPv6, else IPv4.
    Auto,
    /// IPv4 only.
    V4,
    /// IPv4, else IPv6.
    V4Preferred,
    /// IPv6 only.
    V6,
}

impl ClusterKind {
    pub(crate) fn compile(message: &Cluster) -> Result<Self, Wrong> {
        match &message.cluster_discovery_type {
            None | Some(ClusterDiscoveryType::Type(0)) => Ok(Self::Static),
            Some(ClusterDiscoveryType::Type(1)) => Ok(Self::StrictDns(Dns::of_cluster(message)?)),
            Some(ClusterDiscoveryType::Type(2)) => Ok(Self::LogicalDns(Dns::of_cluster(message)?)),
            Some(ClusterDiscoveryType::Type(3)) => {
                let service = message.eds_cluster_config.as_ref().map_or("", |eds| &eds.service_name);
                let name = if service.is_empty() { &message.name } else { service };
                Ok(Self::Eds(named(name, "name")?))
            }
            Some(ClusterDiscoveryType::Type(4)) => match &message.lb_config {
                Some(LbConfig::OriginalDstLbConfig(config)) => {
                    OriginalDst::compile(config).within("original_dst_lb_config").map(Self::OriginalDst)
                }
                _ => Ok(Self::OriginalDst(OriginalDst::default())),
            },
            Some(ClusterDiscoveryType::Type(other)) => {
                Err(Wrong::new("type", format!("{other} is not known")))
            }
            Some(ClusterDiscoveryType::ClusterType(custom)) => {
                Self::custom(custom.typed_config.as_ref()).within("cluster_type")
            }
        }
    }

    fn custom(any: Option<&Any>) -> Result<Self, Wrong> {
        let Some(any) = any else { return Err(Wrong::new("typed_config", "is missing")) };
        match proto::any::type_name(&any.type_url) {
            "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig" => {
                let message: ClusterConfig = proto::any::unpack(any).at("typed_config")?;
                match &message.cluster_implementation_specifier {
                    Some(ClusterImplementationSpecifier::DnsCacheConfig(cache)) => {
                        named(&cache.name, "typed_config.dns_cache_config.name")?;
                        Dns::of_cache(cache).within("typed_config.dns_cache_config").map(Self::DynamicForward)
                    }
                    Some(ClusterImplementationSpecifier::SubClustersConfig(_)) => {
                        Err(Wrong::new("typed_config.sub_clusters_config", "is not supported"))
                    }
                    None => Err(Wrong::new("typed_config.dns_cache_config", "is missing")),
                }
            }
            "envoy.extensions.clusters.dns.v3.DnsCluster" => {
                let message: DnsCluster = proto::any::unpack(any).at("typed_config")?;
                let dns = Dns::of_extension(&message).within("typed_config")?;
                match message.all_addresses_in_single_endpoint {
                    true => Ok(Self::LogicalDns(dns)),
                    false => Ok(Self::StrictDns(dns)),
                }
            }
            other => Err(Wrong::new("typed_config", format!("{other} is not supported"))),
        }
    }

    /// Whether the cluster finds the endpoint of a request itself, without a choice among several.
    pub fn chooses_itself(&self) -> bool {
        matches!(self, Self::DynamicForward(_) | Self::OriginalDst(_))
    }
}

impl OriginalDst {
    fn compile(message: &OriginalDstLbConfig) -> Result<Self, Wrong> {
        refuse(message.metadata_key.is_some(), "metadata_key")?;
        let name = match message.http_header_name.as_str() {
            "" => "x-envoy-original-dst-host",
            own => own,
        };
        let header = message.use_http_header.then(|| {
            let wrong = |_| Wrong::new("http_header_name", format!("{name:?} is not a header name"));
            HeaderName::try_from(name).map_err(wrong)
        });
        let port = number(&message.upstream_port_override).map(|n| port(n, "upstream_port_override"));
        Ok(Self { header: header.transpose()?, port: port.transpose()? })
    }
}

impl Dns {
    #[allow(deprecated, reason = "these are the fields istiod writes")]
    fn of_cluster(message: &Cluster) -> Result<Self, Wrong> {
        let retry = message.dns_failure_refresh_rate.as_ref().map(|rate| &rate.base_interval);
        Ok(Self {
            family: Family::of(message.dns_lookup_family)?,
            refresh: refresh(&message.dns_refresh_rate)?,
            follows_ttl: message.respect_dns_ttl,
            retry: again(retry)?,
            jitter: duration(&message.dns_jitter, "dns_jitter")?.unwrap_or_default(),
        })
    }

    fn of_extension(message: &DnsCluster) -> Result<Self, Wrong> {
        let retry = message.dns_failure_refresh_rate.as_ref().map(|rate| &rate.base_interval);
        Ok(Self {
            family: match message.dns_lookup_family {
                // This enumeration counts from an unspecified value of its own.
                0 => Family::Auto,
                number => Family::of(number.saturating_sub(1))?,
            },
            refresh: refresh(&message.dns_refresh_rate)?,
            follows_ttl: message.respect_dns_ttl,
            retry: again(retry)?,
            jitter: duration(&message.dns_jitter, "dns_jitter")?.unwrap_or_default(),
        })
    }

    pub(crate) fn of_cache(message: &DnsCacheConfig) -> Result<Self, Wrong> {
        let retry = message.dns_failure_refresh_rate.as_ref().map(|rate| &rate.base_interval);
        let refresh = duration(&message.dns_refresh_rate, "dns_refresh_rate")?;
        Ok(Self {
            family: Family::of(message.dns_lookup_family)?,
            refresh: refresh.unwrap_or(Duration::from_secs(60)),
            retry: again(retry)?,
            ..Self::default()
        })
    }
}

fn refresh(message: &Option<protobuf::Duration>) -> Result<Duration, Wrong> {
    match duration(message, "dns_refresh_rate")? {
        None => Ok(Duration::from_secs(5)),
        Some(rate) if rate <= Duration::from_millis(1) => {
            Err(Wrong::new("dns_refresh_rate", "must be more than 1ms"))
        }
        Some(rate) => Ok(rate),
    }
}

fn again(base: Option<&Option<protobuf::Duration>>) -> Result<Option<Duration>, Wrong> {
    base.map_or(Ok(None), |base| duration(base, "dns_failure_refresh_rate.base_interval"))
}

impl Family {
    fn of(number: i32) -> Result<Self, Wrong> {
        match number {
            0 => Ok(Self::Auto),
            1 => Ok(Self::V4),
            2 => Ok(Self::V6),
            3 => Ok(Self::V4Preferred),
            4 => Ok(Self::All),
            other => Err(Wrong::new("dns_lookup_family", format!("{other} is not known"))),
        }
    }
}
