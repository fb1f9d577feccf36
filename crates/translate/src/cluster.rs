//! Clusters.

use std::time::Duration;

use proto::envoy::config::cluster::v3 as envoy;
use proto::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, CustomClusterType, DiscoveryType, DnsLookupFamily,
    EdsClusterConfig, LbPolicy,
};
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::clusters::dynamic_forward_proxy::v3 as forward;
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use proto::envoy::r#type::v3::Percent;

use api::destination_rule::LoadBalancer;
use mesh::{Cluster, Discovery, ServiceName, Upstream};

use crate::{endpoint, origin, wire};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// How long Istio lets connections to undeclared destinations idle.
const PASSTHROUGH_IDLE: Duration = Duration::from_secs(300);

/// Istio's "never": a workload's own address is not to be forgotten.
const NEVER: Duration = Duration::from_secs(9_223_372_035);

pub(crate) fn cluster(cluster: &Cluster) -> envoy::Cluster {
    let mut out = envoy::Cluster {
        name: cluster.name.clone(),
        alt_stat_name: format!("{};", cluster.name),
        connect_timeout: wire::duration(cluster.connect_timeout),
        lb_policy: lb_policy(cluster).into(),
        upstream_bind_config: cluster.source.map(wire::source),
        metadata: origin::with(cluster.origin.as_ref(), istio(cluster)),
        ..Default::default()
    };
    if !is_black_hole(cluster) {
        out.circuit_breakers = Some(unlimited());
    }
    if let Some(options) = http_options(cluster) {
        out.typed_extension_protocol_options.insert(HTTP_OPTIONS.into(), proto::any::pack(&options));
    }
    discover(cluster, &mut out);
    out
}

/// The cache of resolved names that the dynamic forward proxy's cluster and filter share.
pub(crate) fn dns_cache() -> DnsCacheConfig {
    DnsCacheConfig {
        name: "dynamic_forward_proxy".into(),
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        ..Default::default()
    }
}

fn discover(cluster: &Cluster, out: &mut envoy::Cluster) {
    let kind = match &cluster.discovery {
        Discovery::DynamicForward => {
            out.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(dynamic_forward()));
            return;
        }
        Discovery::Eds => {
            out.eds_cluster_config =
                Some(EdsClusterConfig { eds_config: wire::ads(), service_name: cluster.name.clone() });
            out.common_lb_config = Some(never_panics());
            DiscoveryType::Eds
        }
        Discovery::OriginalDestination => {
            if !cluster.services.is_empty() && cluster.source.is_some() {
                out.cleanup_interval = wire::duration(NEVER);
            }
            DiscoveryType::OriginalDst
        }
        Discovery::Static(endpoints) => {
            if !endpoints.is_empty() {
                out.load_assignment = Some(endpoint::assignment(&cluster.name, endpoints));
            }
            DiscoveryType::Static
        }
        Discovery::StrictDns(endpoints) | Discovery::LogicalDns(endpoints) => {
            out.load_assignment = Some(endpoint::assignment(&cluster.name, endpoints));
            out.dns_lookup_family = DnsLookupFamily::V4Preferred.into();
            out.common_lb_config = Some(never_panics());
            match cluster.discovery {
                Discovery::LogicalDns(_) => DiscoveryType::LogicalDns,
                _ => DiscoveryType::StrictDns,
            }
        }
    };
    out.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind.into()));
}

fn dynamic_forward() -> CustomClusterType {
    let config = forward::ClusterConfig {
        cluster_implementation_specifier: Some(
            forward::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(dns_cache()),
        ),
        ..Default::default()
    };
    CustomClusterType {
        name: "envoy.clusters.dynamic_forward_proxy".into(),
        typed_config: Some(proto::any::pack(&config)),
    }
}

fn never_panics() -> CommonLbConfig {
    CommonLbConfig { healthy_panic_threshold: Some(Percent::default()), ..Default::default() }
}

fn lb_policy(cluster: &Cluster) -> LbPolicy {
    match (&cluster.discovery, cluster.load_balancer) {
        (Discovery::DynamicForward | Discovery::OriginalDestination, _) => LbPolicy::ClusterProvided,
        (_, Some(LoadBalancer::LeastRequest)) => LbPolicy::LeastRequest,
        (_, Some(LoadBalancer::Random)) => LbPolicy::Random,
        (_, Some(LoadBalancer::RoundRobin) | None) => LbPolicy::RoundRobin,
    }
}

fn is_black_hole(cluster: &Cluster) -> bool {
    matches!(&cluster.discovery, Discovery::Static(endpoints) if endpoints.is_empty())
}

/// Envoy's own limits would refuse what nobody asked to be limited.
fn unlimited() -> envoy::CircuitBreakers {
    let thresholds = Thresholds {
        max_connections: wire::u32(u32::MAX),
        max_pending_requests: wire::u32(u32::MAX),
        max_requests: wire::u32(u32::MAX),
        max_retries: wire::u32(u32::MAX),
        track_remaining: true,
        ..Default::default()
    };
    envoy::CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }
}

/// Options of the upstream protocol; HTTP/1.1 is what Envoy speaks without any.
fn http_options(cluster: &Cluster) -> Option<HttpProtocolOptions> {
    let forwards = cluster.discovery == Discovery::DynamicForward;
    let explicit = |protocol| {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(protocol) })
    };
    let protocol = match cluster.upstream {
        Upstream::Downstream => {
            UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                http_protocol_options: Some(core::Http1ProtocolOptions::default()),
                http2_protocol_options: Some(core::Http2ProtocolOptions::default()),
                ..Default::default()
            })
        }
        Upstream::Http2 => {
            explicit(ProtocolConfig::Http2ProtocolOptions(core::Http2ProtocolOptions::default()))
        }
        Upstream::Http1 if forwards => {
            explicit(ProtocolConfig::HttpProtocolOptions(core::Http1ProtocolOptions::default()))
        }
        Upstream::Http1 | Upstream::Tcp => return None,
    };
    let is_passthrough = cluster.services.is_empty();
    Some(HttpProtocolOptions {
        upstream_protocol_options: Some(protocol),
        common_http_protocol_options: is_passthrough.then(|| core::HttpProtocolOptions {
            idle_timeout: wire::duration(PASSTHROUGH_IDLE),
            ..Default::default()
        }),
        // Envoy takes a dynamic forward proxy only where TLS, were it spoken, would name and check the host.
        upstream_http_protocol_options: forwards.then(|| core::UpstreamHttpProtocolOptions {
            auto_sni: true,
            auto_san_validation: true,
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn istio(cluster: &Cluster) -> Vec<(&str, proto::google::protobuf::Value)> {
    let mut fields = Vec::new();
    if !cluster.services.is_empty() {
        fields.push(("services", origin::list(cluster.services.iter().map(service))));
    }
    if !cluster.subset.is_empty() {
        fields.push(("subset", origin::text(cluster.subset.clone())));
    }
    if cluster.is_external {
        fields.push(("external", origin::flag(true)));
    }
    fields
}

fn service(service: &ServiceName) -> proto::google::protobuf::Struct {
    origin::fields(vec![
        ("host", origin::text(service.host.clone())),
        ("name", origin::text(service.name.clone())),
        ("namespace", origin::text(service.namespace.clone())),
    ])
}
