//! Clusters: how their endpoints are found, chosen and spoken to.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use balance::{Hosts, Policy};
use base::Origin;
use proto::Any;
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, LbConfig};
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::extensions::clusters::dns::v3::DnsCluster;
use proto::envoy::extensions::upstreams::http::v3 as upstream;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use proto::google::protobuf::Struct;

use crate::endpoints::Assignment;
use crate::read::{At, Within, Wrong, config, duration, each, limit, named, number, origin, port, refuse};
use crate::transport::TlsChoice;

/// The key under which a cluster says what HTTP it speaks.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster and its endpoints; see [`ClusterSpec`] for the rest.
#[derive(Debug)]
pub struct Cluster {
    spec: Arc<ClusterSpec>,
    /// Its endpoints.
    pub endpoints: Arc<Assignment>,
    /// Whether discovery has said anything about its endpoints.
    pub is_warm: bool,
}

impl Deref for Cluster {
    type Target = ClusterSpec;

    fn deref(&self) -> &ClusterSpec {
        &self.spec
    }
}

/// What a cluster is, apart from its endpoints.
#[derive(Debug)]
pub struct ClusterSpec {
    /// Its name, e.g. `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub name: Arc<str>,
    /// How its endpoints are found.
    pub kind: ClusterKind,
    /// Which HTTP its endpoints are spoken to with.
    pub http: UpstreamHttp,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How an endpoint is chosen.
    pub policy: Policy,
    /// Below this share of usable endpoints, in percent, health is disregarded.
    pub panic_percent: u32,
    /// Whether localities have a say in the choice.
    pub by_locality: bool,
    /// Its limits.
    pub breakers: Breakers,
    /// Which endpoints need TLS.
    pub tls: TlsChoice,
    /// The address connections are made from.
    pub bind: Option<SocketAddr>,
    /// Closes a connection without a request after this time.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection that is this old.
    pub max_connection_duration: Option<Duration>,
    /// How many requests a connection carries.
    pub max_requests_per_connection: Option<u32>,
    /// What was asked for and is not done, in words.
    pub degraded: Vec<Degraded>,
    /// The object that decided it.
    pub origin: Option<Origin>,
    /// The object's path in the API, as `istio.config` gives it.
    pub config: Option<Arc<str>>,
    /// What Istio says of the cluster: its services, its subset.
    pub istio: Option<Arc<Struct>>,
    inline: Option<ClusterLoadAssignment>,
}

/// How a cluster's endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterKind {
    /// Each host is resolved when a request asks for it.
    DynamicForward,
    /// By discovery, under this name.
    Eds(Arc<str>),
    /// One endpoint: the first address its name resolves to.
    LogicalDns(Dns),
    /// Wherever the client's connection was going; on this port, if one is set.
    OriginalDst(Option<u16>),
    /// As configured.
    Static,
    /// Every address its names resolve to.
    StrictDns(Dns),
}

/// How names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Which addresses are wanted.
    pub family: Family,
    /// How often names are resolved again.
    pub refresh: Duration,
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

/// Which HTTP endpoints are spoken to with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamHttp {
    /// The one the client speaks.
    AsDownstream,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, on plain connections by prior knowledge.
    Http2,
}

/// A cluster's limits; none where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakers {
    /// Connections.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests under way.
    pub requests: Option<u32>,
    /// Retries under way.
    pub retries: Option<u32>,
}

/// Something a cluster asks for that is not done, though it can be left out without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// The field.
    pub path: &'static str,
    /// What happens instead.
    pub instead: &'static str,
}

impl ClusterSpec {
    pub(crate) fn compile(message: &wire::Cluster) -> Result<Self, Wrong> {
        refuse_fields(message)?;
        let mut degraded = Vec::new();
        let http = Http::compile(message)?;
        let common = message.common_lb_config.clone().unwrap_or_default();
        let spec = Self {
            name: named(&message.name, "name")?,
            kind: kind(message)?,
            http: http.version,
            connect_timeout: duration(&message.connect_timeout, "connect_timeout")?
                .unwrap_or(Duration::from_secs(5)),
            policy: policy(message, &mut degraded)?,
            panic_percent: match common.healthy_panic_threshold {
                None => 50,
                Some(percent) if (0.0..=100.0).contains(&percent.value) => percent.value.round() as u32,
                Some(_) => {
                    return Err(Wrong::new(
                        "common_lb_config.healthy_panic_threshold",
                        "is not a percentage",
                    ));
                }
            },
            by_locality: matches!(
                common.locality_config_specifier,
                Some(wire::cluster::common_lb_config::LocalityConfigSpecifier::LocalityWeightedLbConfig(_))
            ),
            breakers: breakers(message, &mut degraded),
            tls: TlsChoice::compile(message)?,
            bind: bind(message)?,
            idle_timeout: http.idle_timeout,
            max_connection_duration: http.max_duration,
            max_requests_per_connection: http.max_requests,
            degraded: {
                let mut note = |is_set: bool, path, instead| {
                    if is_set {
                        degraded.push(Degraded { path, instead });
                    }
                };
                note(
                    !message.health_checks.is_empty(),
                    "health_checks",
                    "endpoints count as healthy as discovery says",
                );
                note(message.outlier_detection.is_some(), "outlier_detection", "no endpoint is ejected");
                degraded
            },
            origin: origin(&message.metadata),
            config: config(&message.metadata),
            istio: message
                .metadata
                .as_ref()
                .and_then(|m| m.filter_metadata.get("istio"))
                .cloned()
                .map(Arc::new),
            inline: message.load_assignment.clone(),
        };
        // What is wrong with endpoints of its own must be said when the cluster comes, not when it is used.
        if let Some(own) = &spec.inline {
            Assignment::compile(own, &spec, &mut Hosts::default()).within("load_assignment")?;
        }
        Ok(spec)
    }

    /// The name under which discovery knows its endpoints.
    pub fn discovery_name(&self) -> Option<&Arc<str>> {
        match &self.kind {
            ClusterKind::Eds(name) => Some(name),
            _ => None,
        }
    }

    /// The name, namespace and host of the first service it stands for, as Istio says.
    pub fn service(&self) -> Option<Service<'_>> {
        use proto::google::protobuf::value::Kind;
        let services = self.istio.as_ref()?.fields.get("services")?;
        let Some(Kind::ListValue(list)) = &services.kind else { return None };
        let Some(Kind::StructValue(first)) = &list.values.first()?.kind else { return None };
        let text = |field| first.fields.get(field).and_then(crate::read::text).unwrap_or_default();
        Some(Service { name: text("name"), namespace: text("namespace"), host: text("host") })
    }
}

/// A service as Istio names it in a cluster's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its full host name.
    pub host: &'a str,
}

impl Cluster {
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
        Ok(Self { spec, endpoints: Arc::new(endpoints), is_warm })
    }

    /// What the cluster is, apart from its endpoints.
    pub fn spec(&self) -> &Arc<ClusterSpec> {
        &self.spec
    }

    /// The same cluster with other endpoints, as when its names were resolved.
    pub fn with(&self, endpoints: Assignment) -> Self {
        Self { spec: Arc::clone(&self.spec), endpoints: Arc::new(endpoints), is_warm: true }
    }
}

/// What would send requests elsewhere than was asked, or say other things to the endpoints.
fn refuse_fields(message: &wire::Cluster) -> Result<(), Wrong> {
    refuse(message.lb_subset_config.is_some(), "lb_subset_config")?;
    refuse(message.transport_socket_matcher.is_some(), "transport_socket_matcher")?;
    refuse(message.upstream_config.is_some(), "upstream_config")?;
    each(&message.filters, "filters", |upstream_filter| {
        let Some(any) = &upstream_filter.typed_config else {
            return Err(Wrong::new("typed_config", "is missing"));
        };
        match &*filter::kind(any).at("typed_config")? {
            // Its preamble is only spoken where istio-peer-exchange was negotiated, which is never offered.
            "envoy.tcp.metadataexchange.config.MetadataExchange" => Ok(()),
            other => Err(Wrong::new("typed_config", format!("{other} is not supported"))),
        }
    })?;
    Ok(())
}

#[allow(deprecated, reason = "these are the fields istiod writes")]
fn kind(message: &wire::Cluster) -> Result<ClusterKind, Wrong> {
    let dns = || -> Result<Dns, Wrong> {
        let refresh = limit(&message.dns_refresh_rate, "dns_refresh_rate")?.unwrap_or(Duration::from_secs(5));
        Ok(Dns { family: family(message.dns_lookup_family)?, refresh })
    };
    match &message.cluster_discovery_type {
        None | Some(ClusterDiscoveryType::Type(0)) => Ok(ClusterKind::Static),
        Some(ClusterDiscoveryType::Type(1)) => Ok(ClusterKind::StrictDns(dns()?)),
        Some(ClusterDiscoveryType::Type(2)) => Ok(ClusterKind::LogicalDns(dns()?)),
        Some(ClusterDiscoveryType::Type(3)) => {
            let service = message.eds_cluster_config.as_ref().map_or("", |eds| &eds.service_name);
            let name = if service.is_empty() { &message.name } else { service };
            Ok(ClusterKind::Eds(named(name, "name")?))
        }
        Some(ClusterDiscoveryType::Type(4)) => match &message.lb_config {
            Some(LbConfig::OriginalDstLbConfig(original)) => {
                refuse(original.use_http_header, "original_dst_lb_config.use_http_header")?;
                refuse(original.metadata_key.is_some(), "original_dst_lb_config.metadata_key")?;
                let path = "original_dst_lb_config.upstream_port_override";
                let other = number(&original.upstream_port_override).map(|number| port(number, path));
                Ok(ClusterKind::OriginalDst(other.transpose()?))
            }
            _ => Ok(ClusterKind::OriginalDst(None)),
        },
        Some(ClusterDiscoveryType::Type(other)) => Err(Wrong::new("type", format!("{other} is not known"))),
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            custom_kind(custom.typed_config.as_ref()).within("cluster_type")
        }
    }
}

fn custom_kind(any: Option<&Any>) -> Result<ClusterKind, Wrong> {
    let Some(any) = any else { return Err(Wrong::new("typed_config", "is missing")) };
    match proto::any::type_name(&any.type_url) {
        "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig" => Ok(ClusterKind::DynamicForward),
        "envoy.extensions.clusters.dns.v3.DnsCluster" => {
            let message: DnsCluster = proto::any::unpack(any).at("typed_config")?;
            let refresh = limit(&message.dns_refresh_rate, "typed_config.dns_refresh_rate")?;
            let family = match message.dns_lookup_family {
                // This enumeration counts from an unspecified value of its own.
                0 => Family::Auto,
                number => family(number - 1).within("typed_config")?,
            };
            let dns = Dns { family, refresh: refresh.unwrap_or(Duration::from_secs(5)) };
            match message.all_addresses_in_single_endpoint {
                true => Ok(ClusterKind::LogicalDns(dns)),
                false => Ok(ClusterKind::StrictDns(dns)),
            }
        }
        other => Err(Wrong::new("typed_config", format!("{other} is not supported"))),
    }
}

fn family(number: i32) -> Result<Family, Wrong> {
    match number {
        0 => Ok(Family::Auto),
        1 => Ok(Family::V4),
        2 => Ok(Family::V6),
        3 => Ok(Family::V4Preferred),
        4 => Ok(Family::All),
        other => Err(Wrong::new("dns_lookup_family", format!("{other} is not known"))),
    }
}

fn policy(message: &wire::Cluster, degraded: &mut Vec<Degraded>) -> Result<Policy, Wrong> {
    if let Some(typed) = &message.load_balancing_policy {
        let known = typed
            .policies
            .iter()
            .find_map(|p| typed_policy(p.typed_extension_config.as_ref()?.typed_config.as_ref()?));
        return known.ok_or_else(|| Wrong::new("load_balancing_policy", "none of its policies is supported"));
    }
    let consistent = "requests are balanced by least requests, not kept together";
    match message.lb_policy {
        0 | 6 => Ok(Policy::RoundRobin),
        1 => match &message.lb_config {
            Some(LbConfig::LeastRequestLbConfig(least)) => {
                Ok(Policy::LeastRequest { choices: number(&least.choice_count).unwrap_or(2).clamp(2, 16) })
            }
            _ => Ok(Policy::LeastRequest { choices: 2 }),
        },
        3 => Ok(Policy::Random),
        2 | 5 => {
            degraded.push(Degraded { path: "lb_policy", instead: consistent });
            Ok(Policy::LeastRequest { choices: 2 })
        }
        other => Err(Wrong::new("lb_policy", format!("{other} is not supported"))),
    }
}

fn typed_policy(any: &Any) -> Option<Policy> {
    let name =
        proto::any::type_name(&any.type_url).strip_prefix("envoy.extensions.load_balancing_policies.")?;
    match name.split('.').next()? {
        "cluster_provided" | "round_robin" => Some(Policy::RoundRobin),
        "least_request" => Some(Policy::LeastRequest { choices: 2 }),
        "random" => Some(Policy::Random),
        _ => None,
    }
}

fn breakers(message: &wire::Cluster, degraded: &mut Vec<Degraded>) -> Breakers {
    let Some(breakers) = &message.circuit_breakers else { return Breakers::default() };
    if !breakers.per_host_thresholds.is_empty() {
        degraded.push(Degraded {
            path: "circuit_breakers.per_host_thresholds",
            instead: "single endpoints have no limit",
        });
    }
    let Some(usual) = breakers.thresholds.iter().find(|threshold| threshold.priority == 0) else {
        return Breakers::default();
    };
    // istiod writes the largest number for "no limit".
    let below = |limit| number(limit).filter(|limit| *limit < u32::MAX);
    Breakers {
        connections: below(&usual.max_connections),
        pending: below(&usual.max_pending_requests),
        requests: below(&usual.max_requests),
        retries: below(&usual.max_retries),
    }
}

fn bind(message: &wire::Cluster) -> Result<Option<SocketAddr>, Wrong> {
    let source = message.upstream_bind_config.as_ref().and_then(|bind| bind.source_address.clone());
    let Some(source) = source else { return Ok(None) };
    let address = proto::envoy::config::core::v3::address::Address::SocketAddress(source);
    let address = proto::envoy::config::core::v3::Address { address: Some(address) };
    crate::read::socket_address(&Some(address)).within("upstream_bind_config").map(Some)
}

/// What HTTP a cluster speaks, from its options in the new place and in the old ones.
struct Http {
    version: UpstreamHttp,
    idle_timeout: Option<Duration>,
    max_duration: Option<Duration>,
    max_requests: Option<u32>,
}

impl Http {
    #[allow(deprecated, reason = "old control planes still write the old fields")]
    fn compile(message: &wire::Cluster) -> Result<Self, Wrong> {
        let (common, version, old_max) = match message.typed_extension_protocol_options.get(HTTP_OPTIONS) {
            Some(any) => {
                let options: upstream::HttpProtocolOptions = proto::any::unpack(any).at(HTTP_OPTIONS)?;
                let version = Self::version(&options).within(HTTP_OPTIONS)?;
                (options.common_http_protocol_options, version, None)
            }
            None => {
                let version = match (message.http2_protocol_options.is_some(), message.protocol_selection) {
                    (_, 1) => UpstreamHttp::AsDownstream,
                    (true, _) => UpstreamHttp::Http2,
                    (false, _) => UpstreamHttp::Http1,
                };
                (message.common_http_protocol_options, version, number(&message.max_requests_per_connection))
            }
        };
        let common = common.unwrap_or_default();
        let idle = duration(&common.idle_timeout, "common_http_protocol_options.idle_timeout")?;
        Ok(Self {
            version,
            idle_timeout: idle.or(Some(Duration::from_secs(3600))).filter(|idle| !idle.is_zero()),
            max_duration: limit(
                &common.max_connection_duration,
                "common_http_protocol_options.max_connection_duration",
            )?,
            max_requests: number(&common.max_requests_per_connection).or(old_max).filter(|most| *most > 0),
        })
    }

    fn version(options: &upstream::HttpProtocolOptions) -> Result<UpstreamHttp, Wrong> {
        refuse(!options.http_filters.is_empty(), "http_filters")?;
        refuse(options.retry_policy.is_some(), "retry_policy")?;
        refuse(!options.request_mirror_policies.is_empty(), "request_mirror_policies")?;
        match &options.upstream_protocol_options {
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => match explicit.protocol_config {
                Some(ProtocolConfig::Http2ProtocolOptions(_)) => Ok(UpstreamHttp::Http2),
                Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                    Err(Wrong::new("explicit_http_config.http3_protocol_options", "is not supported"))
                }
                Some(ProtocolConfig::HttpProtocolOptions(_)) | None => Ok(UpstreamHttp::Http1),
            },
            Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_)) => Ok(UpstreamHttp::AsDownstream),
            // Without TLS there is nothing to negotiate by.
            Some(UpstreamProtocolOptions::AutoConfig(_)) | None => Ok(UpstreamHttp::Http1),
        }
    }
}
