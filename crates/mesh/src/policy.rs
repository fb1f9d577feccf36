//! What holds for a proxy's calls to a port of a host: its DestinationRule, completed by the mesh's settings.

use api::connection_pool::{ConnectionPool, H2UpgradePolicy, HttpPool, TcpPool};
use api::load_balancer::{Algorithm, HashKey};
use base::{Host, Protocol};

use crate::destination_rule::{Client, HostRule, Policy};
use crate::locality::{self, Spread};
use crate::proxy::Proxy;
use crate::service::{Distribution, Service};
use crate::settings::Traffic;
use crate::slice::{Localities, Upstream};
use crate::state::State;

/// The rule a proxy sees for a service.
pub(crate) fn rule<'a>(state: &'a State, proxy: &Proxy, service: &Service) -> Option<&'a HostRule> {
    let client = Client { namespace: &proxy.namespace, labels: &proxy.labels };
    let rule = state.rules.lookup(&service.host, client, &service.name.namespace, &state.settings);
    rule.map(|rule| &**rule)
}

/// What a proxy's calls to a port of a host, or of one of its subsets, are subject to.
pub(crate) fn of(state: &State, proxy: &Proxy, host: &Host, subset: &str, port: u16) -> Policy {
    let service = state.services.seen(host, &proxy.namespace).or_else(|| state.services.by_host.get(host));
    let rule = service.and_then(|service| rule(state, proxy, service));
    rule.map(|rule| rule.of(subset, port)).unwrap_or_default()
}

impl Policy {
    /// What of a request decides its endpoint.
    pub(crate) fn hash_key(&self) -> Option<&HashKey> {
        match self.load_balancer.as_ref()?.algorithm.as_ref()? {
            Algorithm::ConsistentHash(hash) => hash.key.as_ref(),
            _ => None,
        }
    }

    /// The limits of connections and requests.
    pub(crate) fn limits(&self, traffic: &Traffic) -> ConnectionPool {
        let mut pool = match (&self.pool, &traffic.pool) {
            (Some(own), Some(wide)) => completed(own, wide),
            (Some(only), None) | (None, Some(only)) => only.clone(),
            (None, None) => ConnectionPool::default(),
        };
        pool.tcp.connect_timeout = pool.tcp.connect_timeout.or(Some(traffic.connect_timeout));
        pool.tcp.tcp_keepalive = pool.tcp.tcp_keepalive.or(traffic.tcp_keepalive);
        pool
    }

    /// What is spoken to a port of this protocol.
    pub(crate) fn upstream(&self, protocol: Protocol, proxy: &Proxy, traffic: &Traffic) -> Upstream {
        let own = self.pool.as_ref().map(|pool| &pool.http);
        let wide = traffic.pool.as_ref().map(|pool| &pool.http).filter(|_| protocol.is_http());
        if own.into_iter().chain(wide).any(|http| http.uses_client_protocol) {
            return Upstream::Downstream;
        }
        let declared = match upstream(protocol) {
            // What a browser speaks to a gateway says nothing about a workload.
            Upstream::Downstream if proxy.is_gateway() => Upstream::Http1,
            upstream => upstream,
        };
        let said = |http: &&HttpPool| http.h2_upgrade_policy != H2UpgradePolicy::Default;
        let wanted = match own.filter(said).or(wide.filter(said)) {
            Some(http) => http.h2_upgrade_policy,
            None if protocol.is_http() => traffic.h2_upgrade_policy,
            None => H2UpgradePolicy::Default,
        };
        if wanted == H2UpgradePolicy::Upgrade { Upstream::Http2 } else { declared }
    }

    /// How calls are spread over localities.
    pub(crate) fn spread(&self, service: &Service, traffic: &Traffic) -> (Spread, Localities) {
        let has_outliers = self.outliers.is_some() || traffic.outliers.is_some();
        let own = self.load_balancer.as_ref();
        if let Some(setting) = own.and_then(|balancer| balancer.locality.as_ref()) {
            return locality::by_setting(setting, has_outliers);
        }
        if let Some(zones) = own.and_then(|balancer| balancer.zone_aware.as_ref()) {
            return locality::by_zone(zones, has_outliers);
        }
        let labels: &[&str] = match service.distribution {
            Distribution::Any => &[],
            Distribution::SameZone => &[locality::NETWORK, locality::REGION, locality::ZONE],
            Distribution::SameNode => {
                &[locality::NETWORK, locality::REGION, locality::ZONE, locality::SUBZONE, locality::NODE]
            }
        };
        if !labels.is_empty() {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            let nearest = Spread::Nearest { labels, regions: None, joins_zones: false };
            return (nearest, Localities::Weights);
        }
        match &traffic.zone_aware {
            Some(zones) if zones.is_enabled => locality::by_zone(zones, has_outliers),
            _ => locality::by_setting(&traffic.locality, has_outliers),
        }
    }
}

/// What a protocol says of the upstream.
pub(crate) fn upstream(protocol: Protocol) -> Upstream {
    match protocol {
        Protocol::Auto => Upstream::Downstream,
        protocol if protocol.is_http2() => Upstream::Http2,
        protocol if protocol.is_http() => Upstream::Http1,
        _ => Upstream::Tcp,
    }
}

/// The limits of a host, field by field; what it leaves open the mesh decides.
fn completed(own: &ConnectionPool, wide: &ConnectionPool) -> ConnectionPool {
    let (tcp, http) = (&own.tcp, &own.http);
    ConnectionPool {
        tcp: TcpPool {
            max_connections: tcp.max_connections.or(wide.tcp.max_connections),
            connect_timeout: tcp.connect_timeout.or(wide.tcp.connect_timeout),
            tcp_keepalive: tcp.tcp_keepalive.or(wide.tcp.tcp_keepalive),
            max_connection_duration: tcp.max_connection_duration.or(wide.tcp.max_connection_duration),
            idle_timeout: tcp.idle_timeout.or(wide.tcp.idle_timeout),
        },
        http: HttpPool {
            http1_max_pending_requests: http
                .http1_max_pending_requests
                .or(wide.http.http1_max_pending_requests),
            http2_max_requests: http.http2_max_requests.or(wide.http.http2_max_requests),
            max_requests_per_connection: http
                .max_requests_per_connection
                .or(wide.http.max_requests_per_connection),
            max_retries: http.max_retries.or(wide.http.max_retries),
            idle_timeout: http.idle_timeout.or(wide.http.idle_timeout),
            h2_upgrade_policy: http.h2_upgrade_policy,
            uses_client_protocol: http.uses_client_protocol || wide.http.uses_client_protocol,
            max_concurrent_streams: http.max_concurrent_streams.or(wide.http.max_concurrent_streams),
            http2_keepalive: http.http2_keepalive.or(wide.http.http2_keepalive),
        },
    }
}
