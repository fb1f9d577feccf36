//! Routes that take tunnels (CONNECT): the bytes in one are passed on as those of a connection are.

use std::net::Ipv6Addr;
use std::time::Duration;

use proto::envoy::config::route::v3::route::Action;
use proto::envoy::config::route::v3::route_action::upgrade_config::ConnectConfig;
use proto::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HostRewriteSpecifier, MaxStreamDuration, UpgradeConfig,
};
use proto::envoy::config::route::v3::route_match::{ConnectMatcher, PathSpecifier};
use proto::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use proto::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteAction, RouteMatch, WeightedCluster,
};

use api::destination_rule::{Tunnel, TunnelProtocol};
use api::load_balancer::HashKey;
use base::Origin;
use mesh::Tcp;

use crate::{balance, origin, wire};

/// What Envoy calls a tunnel among the things a connection may turn into.
pub(crate) const UPGRADE: &str = "CONNECT";

/// The route of tunnels whose bytes go this way; None refuses them.
pub(crate) fn route(tcp: Option<&Tcp>, written: Option<&Origin>) -> Route {
    let tunnels = PathSpecifier::ConnectMatcher(ConnectMatcher::default());
    // A tunnel in a tunnel is one more CONNECT; as a POST it would not be one.
    let passed =
        tcp.filter(|tcp| tcp.tunnel.as_ref().is_none_or(|to| to.protocol == TunnelProtocol::Connect));
    Route {
        name: if passed.is_some() { "connect".into() } else { "block_all".into() },
        r#match: Some(RouteMatch { path_specifier: Some(tunnels), ..Default::default() }),
        metadata: origin::metadata(written),
        action: Some(match passed {
            None => Action::DirectResponse(DirectResponseAction { status: 502, ..Default::default() }),
            Some(tcp) => Action::Route(through(tcp)),
        }),
        ..Default::default()
    }
}

fn through(tcp: &Tcp) -> RouteAction {
    RouteAction {
        cluster_specifier: Some(match tcp.shares.as_slice() {
            [only] => ClusterSpecifier::Cluster(only.cluster.clone()),
            many => ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: many
                    .iter()
                    .map(|share| ClusterWeight {
                        name: share.cluster.clone(),
                        weight: wire::u32(share.weight),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }),
        }),
        timeout: wire::duration(Duration::ZERO),
        idle_timeout: tcp.idle_timeout.and_then(wire::duration),
        max_stream_duration: tcp.max_duration.map(|longest| MaxStreamDuration {
            max_stream_duration: wire::duration(longest),
            ..Default::default()
        }),
        hash_policy: tcp
            .hashes_source
            .then(|| balance::hash_policy(&HashKey::SourceIp))
            .into_iter()
            .collect(),
        host_rewrite_specifier: tcp
            .tunnel
            .as_ref()
            .map(|to| HostRewriteSpecifier::HostRewriteLiteral(target(to))),
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: UPGRADE.into(),
            // Without it the CONNECT itself is passed on.
            connect_config: tcp.tunnel.is_none().then(ConnectConfig::default),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Where a tunnel is to lead, `HOST:PORT`.
pub(crate) fn target(tunnel: &Tunnel) -> String {
    match tunnel.target_host.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{}", tunnel.target_port),
        Err(_) => format!("{}:{}", tunnel.target_host, tunnel.target_port),
    }
}
