#![allow(clippy::unwrap_used)]

use std::time::Duration;

use base::Labels;

use super::*;
use crate::load_balancer::{Algorithm, ConsistentHash, CookieAttribute, HashCookie, HashKey, HashTable};
use crate::sample::{errors, found, one, warnings};
use crate::tls::ClientTlsMode;
use crate::{Kind, Resource};

fn read(body: &str) -> DestinationRule {
    let Resource::DestinationRule(rule) = one(Kind::DestinationRule, body) else {
        panic!("a DestinationRule")
    };
    rule.spec().clone()
}

fn policy(body: &str) -> TrafficPolicy {
    read(&format!("host: b\ntrafficPolicy: {{{body}}}")).traffic_policy
}

fn policy_errors(body: &str) -> Vec<(String, String)> {
    errors(Kind::DestinationRule, &format!("host: b\ntrafficPolicy: {{{body}}}"))
}

#[test]
fn a_hash_has_its_key_and_its_table() {
    let hash =
        |body: &str| match policy(&format!("loadBalancer: {{consistentHash: {{{body}}}}}")).load_balancer {
            Some(LoadBalancer { algorithm: Some(Algorithm::ConsistentHash(hash)), .. }) => hash,
            other => panic!("{other:?}"),
        };

    let cookie = HashCookie {
        name: "u".into(),
        path: Some("/x".into()),
        ttl: Some(Duration::ZERO),
        attributes: vec![CookieAttribute { name: "SameSite".into(), value: "Lax".into() }],
    };
    let expected = ConsistentHash {
        key: Some(HashKey::Cookie(cookie)),
        table: HashTable::Maglev { table_size: Some(65537) },
    };
    let written = "httpCookie: {name: u, path: /x, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}, maglev: {tableSize: 65537}";
    assert_eq!(hash(written), expected);
    assert_eq!(hash("useSourceIp: true").table, HashTable::RingHash { minimum_ring_size: Some(1024) });
    assert_eq!(
        hash("httpHeaderName: x, ringHash: {}").table,
        HashTable::RingHash { minimum_ring_size: None }
    );
    assert_eq!(hash("useSourceIp: false").key, None);
}

#[test]
fn a_maglev_table_that_is_no_prime_is_an_error() {
    let body =
        "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 9223372036854775807}}}";

    let wrong = found("wrong-value", "spec.trafficPolicy.loadBalancer.consistentHash.maglev");
    assert_eq!(policy_errors(body), [wrong]);
}

#[test]
fn limits_that_are_zero_are_no_limits() {
    let pool = policy(
        "connectionPool: {tcp: {maxConnections: 0, idleTimeout: 0s, tcpKeepalive: {time: 1s}}, \
         http: {http1MaxPendingRequests: 1, maxRetries: 0, http2KeepAlive: {interval: 1s, timeout: 2s}}}",
    );

    let pool = pool.connection_pool.unwrap();
    assert_eq!(pool.tcp.max_connections, None);
    assert_eq!(pool.tcp.idle_timeout, Some(Duration::ZERO));
    assert_eq!(pool.tcp.tcp_keepalive.unwrap().time, Some(Duration::from_secs(1)));
    assert_eq!((pool.http.http1_max_pending_requests, pool.http.max_retries), (Some(1), None));
    assert_eq!(pool.http.http2_keepalive.unwrap().timeout, Duration::from_secs(2));
}

#[test]
fn an_error_count_of_zero_is_not_the_same_as_none() {
    let outliers = policy("outlierDetection: {consecutive5xxErrors: 0, maxEjectionPercent: 0}");

    let outliers = outliers.outlier_detection.unwrap();
    assert_eq!(outliers.consecutive_5xx_errors, Some(0));
    assert_eq!(outliers.consecutive_gateway_errors, None);
    assert_eq!(outliers.max_ejection_percent, None);
}

#[test]
fn settings_of_ports_stand_once_each() {
    let found_policy = policy("portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE, sni: x}}]");

    let [port] = &found_policy.port_level_settings[..] else { panic!("one port") };
    assert_eq!((port.port, port.tls.as_ref().unwrap().mode), (80, ClientTlsMode::Simple));
    assert_eq!(port.load_balancer, None);
    let twice = "portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}, {port: {number: 80}, tls: {mode: DISABLE}}]";
    let wrong = found("duplicate-value", "spec.trafficPolicy.portLevelSettings[1]");
    assert_eq!(policy_errors(twice), [wrong]);
}

#[test]
fn mutual_tls_needs_a_certificate_of_the_client() {
    let tls = policy("tls: {mode: MUTUAL, credentialName: c, subjectAltNames: [x]}").tls.unwrap();

    assert_eq!((tls.mode, tls.credential_name.as_deref()), (ClientTlsMode::Mutual, Some("c")));
    let missing = ["clientCertificate", "privateKey"]
        .map(|name| found("missing-field", &format!("spec.trafficPolicy.tls.{name}")));
    assert_eq!(policy_errors("tls: {mode: MUTUAL}"), missing);
    let refused = found("refused-field", "spec.trafficPolicy.tls.mode");
    assert_eq!(policy_errors("tls: {mode: ISTIO_MUTUAL}"), [refused]);
}

#[test]
fn a_tunnel_a_header_and_a_budget_are_read() {
    let found_policy = policy(
        "tunnel: {protocol: POST, targetHost: x.example, targetPort: 443}, proxyProtocol: {version: V2}, \
         retryBudget: {percent: 12.5, minRetryConcurrency: 0, budgetInterval: 1s}",
    );

    let tunnel = Tunnel { protocol: TunnelProtocol::Post, target_host: "x.example".into(), target_port: 443 };
    assert_eq!(found_policy.tunnel, Some(tunnel));
    assert_eq!(found_policy.proxy_protocol, Some(ProxyProtocol::V2));
    let budget = found_policy.retry_budget.unwrap();
    assert_eq!(budget.percent.map(Decimal::value), Some(12.5));
    assert_eq!(budget.min_retry_concurrency, Some(0));
    assert_eq!(budget.budget_interval, Some(Duration::from_secs(1)));
}

#[test]
fn a_rule_for_chosen_workloads_stays_in_its_namespace() {
    let rule = read("host: b\nworkloadSelector: {matchLabels: {app: x}}\nexportTo: [.]");

    assert_eq!(rule.workload_selector, Some(Labels::from([("app", "x")])));
    let body = "host: b\nworkloadSelector: {matchLabels: {app: x}}\nexportTo: ['*']";
    assert_eq!(errors(Kind::DestinationRule, body), [found("conflict", "spec.exportTo")]);
}

#[test]
fn failover_without_outlier_detection_is_warned_of() {
    let body = "host: b\ntrafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: x, to: y}]}}}";

    let path = "spec.trafficPolicy.loadBalancer.localityLbSetting";
    assert_eq!(warnings(Kind::DestinationRule, body), [found("no-effect", path)]);
}
