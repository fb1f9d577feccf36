//! Clusters.

use std::time::Duration;

use proto::envoy::config::cluster::v3 as envoy;
use proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, CustomClusterType, DiscoveryType, DnsLookupFamily,
    EdsClusterConfig, LbConfig, OriginalDstLbConfig,
};
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::clusters::dynamic_forward_proxy::v3 as forward;
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;

use api::destination_rule::ProxyProtocol;
use mesh::{Cluster, Discovery, Dns, DnsFamily, ServiceName, Upstream};

use crate::{balance, endpoint, origin, outlier, pool, tls, wire};

const PROXY_PROTOCOL: &str = "envoy.transport_sockets.upstream_proxy_protocol";

/// Istio's "never": a workload's own address is not to be forgotten.
const NEVER: Duration = Duration::from_secs(9_223_372_035);

/// By how much Istio lets lookups of names lie apart.
const DNS_JITTER: Duration = Duration::from_millis(100);

/// Envoy asks for a name no more often than this.
const DNS_REFRESH_LEAST: Duration = Duration::from_millis(2);

/// How long a TCP connect may take where nothing is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn cluster(cluster: &Cluster) -> envoy::Cluster {
    let connect_timeout = cluster.pool.tcp.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let mut out = envoy::Cluster {
        name: cluster.name.clone(),
        // Envoy's tags are cut out of names by the semicolon.
        alt_stat_name: format!("{};", cluster.stat_name.as_ref().unwrap_or(&cluster.name)),
        connect_timeout: wire::duration(connect_timeout),
        per_connection_buffer_limit_bytes: cluster.buffer_limit.and_then(wire::u32),
        upstream_bind_config: cluster.source.map(wire::source),
        metadata: origin::with(cluster.origin.as_ref(), istio(cluster)),
        outlier_detection: cluster.outliers.as_ref().map(outlier::detection),
        upstream_connection_options: pool::connection_options(&cluster.pool),
        transport_socket: transport(cluster),
        ..Default::default()
    };
    if !is_black_hole(cluster) {
        out.circuit_breakers = Some(pool::breakers(cluster));
    }
    if let Some(options) = pool::http_options(cluster) {
        out.typed_extension_protocol_options.insert(pool::HTTP_OPTIONS.into(), proto::any::pack(&options));
    }
    discover(cluster, &mut out);
    balance::apply(cluster, &mut out);
    out
}

/// The cache of resolved names that the dynamic forward proxy's clusters and filters share.
pub(crate) fn dns_cache(family: DnsFamily) -> DnsCacheConfig {
    DnsCacheConfig {
        name: "dynamic_forward_proxy".into(),
        dns_lookup_family: lookup_family(family).into(),
        ..Default::default()
    }
}

fn discover(cluster: &Cluster, out: &mut envoy::Cluster) {
    let kind = match &cluster.discovery {
        Discovery::DynamicForward(family) => {
            let dynamic = dynamic_forward(*family, checks_nothing(cluster));
            out.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(dynamic));
            return;
        }
        Discovery::Eds => {
            out.eds_cluster_config =
                Some(EdsClusterConfig { eds_config: wire::ads(), service_name: cluster.name.clone() });
            out.common_lb_config = Some(CommonLbConfig::default());
            DiscoveryType::Eds
        }
        Discovery::OriginalDestination { port } => {
            if !cluster.services.is_empty() && cluster.source.is_some() {
                out.cleanup_interval = wire::duration(NEVER);
            }
            out.lb_config = port.map(|port| {
                LbConfig::OriginalDstLbConfig(OriginalDstLbConfig {
                    upstream_port_override: wire::u32(port.into()),
                    ..Default::default()
                })
            });
            DiscoveryType::OriginalDst
        }
        Discovery::Static(groups) => {
            if !groups.is_empty() {
                out.load_assignment = Some(endpoint::assignment(&cluster.name, groups));
            }
            DiscoveryType::Static
        }
        Discovery::StrictDns(groups, dns) | Discovery::LogicalDns(groups, dns) => {
            out.load_assignment = Some(endpoint::assignment(&cluster.name, groups));
            out.common_lb_config = Some(CommonLbConfig::default());
            resolve(*dns, out);
            match cluster.discovery {
                Discovery::LogicalDns(..) => DiscoveryType::LogicalDns,
                _ => DiscoveryType::StrictDns,
            }
        }
    };
    out.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind.into()));
}

fn lookup_family(family: DnsFamily) -> DnsLookupFamily {
    match family {
        DnsFamily::V4 => DnsLookupFamily::V4Only,
        DnsFamily::V4First => DnsLookupFamily::V4Preferred,
        DnsFamily::V6 => DnsLookupFamily::V6Only,
    }
}

/// Istio's own spelling of how names are resolved.
#[allow(deprecated)]
fn resolve(dns: Dns, out: &mut envoy::Cluster) {
    out.dns_lookup_family = lookup_family(dns.family).into();
    out.dns_refresh_rate = wire::duration(dns.refresh.max(DNS_REFRESH_LEAST));
    out.respect_dns_ttl = true;
    out.dns_jitter = wire::duration(DNS_JITTER);
}

fn dynamic_forward(family: DnsFamily, is_insecure: bool) -> CustomClusterType {
    let config = forward::ClusterConfig {
        cluster_implementation_specifier: Some(
            forward::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(dns_cache(family)),
        ),
        allow_insecure_cluster_options: is_insecure,
        ..Default::default()
    };
    CustomClusterType {
        name: "envoy.clusters.dynamic_forward_proxy".into(),
        typed_config: Some(proto::any::pack(&config)),
    }
}

/// Whether its TLS names a host and yet does not check that it is that host's.
fn checks_nothing(cluster: &Cluster) -> bool {
    cluster.tls.as_ref().is_some_and(|tls| !tls.checks_sni)
}

/// What carries the bytes; None carries them as they are.
fn transport(cluster: &Cluster) -> Option<core::TransportSocket> {
    let secured = cluster.tls.as_ref().map(|tls| tls::client(tls, cluster.upstream == Upstream::Http2));
    let Some(version) = cluster.proxy_protocol else { return secured };
    let version = match version {
        ProxyProtocol::V1 => core::proxy_protocol_config::Version::V1,
        ProxyProtocol::V2 => core::proxy_protocol_config::Version::V2,
    };
    let config = ProxyProtocolUpstreamTransport {
        config: Some(core::ProxyProtocolConfig { version: version.into(), ..Default::default() }),
        transport_socket: Some(secured.unwrap_or_else(tls::raw)),
        ..Default::default()
    };
    Some(tls::socket(PROXY_PROTOCOL, proto::any::pack(&config)))
}

/// Whether nothing can ever be behind it.
pub(crate) fn is_black_hole(cluster: &Cluster) -> bool {
    cluster.services.is_empty()
        && matches!(&cluster.discovery, Discovery::Static(groups) if groups.is_empty())
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
    if cluster.tls.is_some() {
        // TLS that is not the mesh's own offers none of the mesh's protocols.
        fields.push(("alpn_override", origin::text("false")));
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
