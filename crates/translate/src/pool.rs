//! Connection pools: how many connections and requests there may be, how long they live, and what they speak.

use std::time::Duration;

use proto::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use proto::envoy::config::cluster::v3::circuit_breakers::thresholds::RetryBudget;
use proto::envoy::config::cluster::v3::{CircuitBreakers, UpstreamConnectionOptions};
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use proto::envoy::r#type::v3::Percent;

use api::connection_pool::{ConnectionPool, HttpPool};
use mesh::{Cluster, Discovery, Upstream};

use crate::{outlier, wire};

pub(crate) const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// How long Istio lets connections to undeclared destinations idle.
const PASSTHROUGH_IDLE: Duration = Duration::from_secs(300);

/// The share of requests that may be retries, and the retries there may always be, where a budget does not say.
const BUDGET_PERCENT: f64 = 20.0;
const BUDGET_LEAST: u32 = 3;

/// Limits of what may go on at a time. Envoy's own would refuse what nobody asked to be limited.
pub(crate) fn breakers(cluster: &Cluster) -> CircuitBreakers {
    let (tcp, http) = (&cluster.pool.tcp, &cluster.pool.http);
    let limit = |written: Option<u32>| wire::u32(written.unwrap_or(u32::MAX));
    let thresholds = Thresholds {
        max_connections: limit(tcp.max_connections),
        max_pending_requests: limit(http.http1_max_pending_requests),
        max_requests: limit(http.http2_max_requests),
        max_retries: limit(http.max_retries),
        track_remaining: true,
        retry_budget: cluster.retry_budget.map(|budget| RetryBudget {
            budget_percent: Some(Percent {
                value: budget.percent.map_or(BUDGET_PERCENT, |percent| percent.value()),
            }),
            min_retry_concurrency: wire::u32(budget.min_retry_concurrency.unwrap_or(BUDGET_LEAST)),
            budget_interval: budget.budget_interval.and_then(wire::duration),
        }),
        ..Default::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }
}

/// Probes of idle connections.
pub(crate) fn connection_options(pool: &ConnectionPool) -> Option<UpstreamConnectionOptions> {
    let keepalive = pool.tcp.tcp_keepalive?;
    let seconds =
        |duration: Duration| wire::u32(u32::try_from(duration.as_secs().max(1)).unwrap_or(u32::MAX));
    Some(UpstreamConnectionOptions {
        tcp_keepalive: Some(core::TcpKeepalive {
            keepalive_probes: keepalive.probes.and_then(wire::u32),
            keepalive_time: keepalive.time.and_then(seconds),
            keepalive_interval: keepalive.interval.and_then(seconds),
        }),
        ..Default::default()
    })
}

/// Options of the upstream protocol; HTTP/1.1 without limits is what Envoy speaks without any.
pub(crate) fn http_options(cluster: &Cluster) -> Option<HttpProtocolOptions> {
    let forwards = matches!(cluster.discovery, Discovery::DynamicForward(_));
    let explicit = |protocol| {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(protocol) })
    };
    let http1 = || explicit(ProtocolConfig::HttpProtocolOptions(core::Http1ProtocolOptions::default()));
    let common = common(cluster);
    let names = names(cluster, forwards);
    let errors = cluster.outliers.as_ref().and_then(outlier::errors);
    let protocol = match cluster.upstream {
        Upstream::Downstream => {
            UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                http_protocol_options: Some(core::Http1ProtocolOptions::default()),
                http2_protocol_options: Some(http2(&cluster.pool.http)),
                ..Default::default()
            })
        }
        Upstream::Http2 => explicit(ProtocolConfig::Http2ProtocolOptions(http2(&cluster.pool.http))),
        // The options need a protocol even where they are about something else.
        Upstream::Http1 | Upstream::Tcp if common.is_some() || names.is_some() || errors.is_some() => http1(),
        Upstream::Http1 | Upstream::Tcp => return None,
    };
    Some(HttpProtocolOptions {
        upstream_protocol_options: Some(protocol),
        common_http_protocol_options: common,
        upstream_http_protocol_options: names,
        outlier_detection: errors,
        ..Default::default()
    })
}

fn common(cluster: &Cluster) -> Option<core::HttpProtocolOptions> {
    let (tcp, http) = (&cluster.pool.tcp, &cluster.pool.http);
    let is_passthrough = cluster.services.is_empty();
    let idle = http.idle_timeout.or(tcp.idle_timeout).or(is_passthrough.then_some(PASSTHROUGH_IDLE));
    let options = core::HttpProtocolOptions {
        idle_timeout: idle.and_then(wire::duration),
        max_connection_duration: tcp.max_connection_duration.and_then(wire::duration),
        max_requests_per_connection: http.max_requests_per_connection.and_then(wire::u32),
        ..Default::default()
    };
    (options != core::HttpProtocolOptions::default()).then_some(options)
}

fn http2(http: &HttpPool) -> core::Http2ProtocolOptions {
    core::Http2ProtocolOptions {
        max_concurrent_streams: http.max_concurrent_streams.and_then(wire::u32),
        connection_keepalive: http.http2_keepalive.map(|keepalive| core::KeepaliveSettings {
            interval: wire::duration(keepalive.interval),
            timeout: wire::duration(keepalive.timeout),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Whether TLS asks for the host of each request, and checks that it is that host's.
fn names(cluster: &Cluster, forwards: bool) -> Option<core::UpstreamHttpProtocolOptions> {
    let (asks, checks) = match &cluster.tls {
        Some(tls) => (tls.sni.is_empty() || forwards, tls.checks_sni),
        // Envoy takes a dynamic forward proxy only where TLS, were it spoken, would name and check the host.
        None => (forwards, forwards),
    };
    (asks || checks).then(|| core::UpstreamHttpProtocolOptions {
        auto_sni: asks,
        auto_san_validation: checks,
        ..Default::default()
    })
}
