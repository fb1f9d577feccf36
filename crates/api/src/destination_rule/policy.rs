//! `trafficPolicy` and its parts that no other object has.

use std::collections::BTreeSet;

use super::{PortPolicy, ProxyProtocol, RetryBudget, TrafficPolicy, Tunnel, TunnelProtocol};
use crate::read::At;
use crate::schema::{DURATION_OR_ZERO, Field, PORT, Shape, U32, ok};
use crate::{check, connection_pool, load_balancer, outlier, tls};

pub(crate) const FIELDS: &[Field] = &[
    ok("loadBalancer", Shape::Object(load_balancer::FIELDS)),
    ok("connectionPool", Shape::Object(connection_pool::FIELDS)),
    ok("outlierDetection", Shape::Object(outlier::FIELDS)),
    ok("tls", Shape::Object(tls::CLIENT_FIELDS)),
    ok("portLevelSettings", Shape::List(&Shape::Object(PORT_POLICY))),
    ok("tunnel", Shape::Object(TUNNEL)),
    ok("proxyProtocol", Shape::Object(&[ok("version", Shape::Word(&["V1", "V2"]))])),
    ok("retryBudget", Shape::Object(RETRY_BUDGET)),
];

const PORT_POLICY: &[Field] = &[
    ok("port", Shape::Object(&[ok("number", PORT)])),
    ok("loadBalancer", Shape::Object(load_balancer::FIELDS)),
    ok("connectionPool", Shape::Object(connection_pool::FIELDS)),
    ok("outlierDetection", Shape::Object(outlier::FIELDS)),
    ok("tls", Shape::Object(tls::CLIENT_FIELDS)),
];

const TUNNEL: &[Field] =
    &[ok("protocol", Shape::Text), ok("targetHost", Shape::Text), ok("targetPort", PORT)];

const RETRY_BUDGET: &[Field] = &[
    ok("percent", Shape::Number(0.0, 100.0)),
    ok("minRetryConcurrency", U32),
    ok("budgetInterval", DURATION_OR_ZERO),
];

/// Reads a `trafficPolicy`.
pub(crate) fn read(at: &At<'_>) -> TrafficPolicy {
    let base = parts(at);
    let mut ports = BTreeSet::new();
    let mut port_level_settings = Vec::new();
    for item in at.list("portLevelSettings") {
        let Some(port) = item.field("port").and_then(|port| port.port("number")) else {
            item.missing("port", "settings for a port need its number");
            continue;
        };
        if !ports.insert(port) {
            item.error("duplicate-value", format!("the port {port} stands twice"));
        }
        port_level_settings.push(PortPolicy { port, ..parts(&item) });
    }
    TrafficPolicy {
        load_balancer: base.load_balancer,
        connection_pool: base.connection_pool,
        outlier_detection: base.outlier_detection,
        tls: base.tls,
        port_level_settings,
        tunnel: at.field("tunnel").and_then(|field| tunnel(&field)),
        proxy_protocol: at.field("proxyProtocol").map(|field| match field.text("version") {
            Some("V2") => ProxyProtocol::V2,
            _ => ProxyProtocol::V1,
        }),
        retry_budget: at.field("retryBudget").map(|field| RetryBudget {
            percent: field.decimal("percent"),
            min_retry_concurrency: field.whole("minRetryConcurrency"),
            budget_interval: field.duration("budgetInterval"),
        }),
    }
}

/// What a policy and the settings of a port have in common.
fn parts(at: &At<'_>) -> PortPolicy {
    if at.node.entries().iter().all(|entry| entry.node.is_null() || entry.key == "port") {
        at.error("missing-field", "a traffic policy that says nothing is a mistake; take it away");
    }
    let outliers = at.field("outlierDetection");
    PortPolicy {
        port: 0,
        load_balancer: at.field("loadBalancer").map(|field| load_balancer::read(&field, outliers.is_some())),
        connection_pool: at.field("connectionPool").map(|field| connection_pool::read(&field)),
        outlier_detection: outliers.map(|field| outlier::read(&field)),
        tls: at.field("tls").map(|field| tls::read_client(&field)),
    }
}

fn tunnel(at: &At<'_>) -> Option<Tunnel> {
    let protocol = match at.text("protocol") {
        None | Some("CONNECT") => TunnelProtocol::Connect,
        Some("POST") => TunnelProtocol::Post,
        Some(other) => {
            at.error("wrong-value", format!("{other:?} has no meaning here; it is one of CONNECT, POST"));
            return None;
        }
    };
    let Some(target_host) = at.text("targetHost") else {
        at.missing("targetHost", "a tunnel needs the host it leads to");
        return None;
    };
    if !check::is_fqdn(target_host) && target_host.parse::<std::net::IpAddr>().is_err() {
        at.error("wrong-value", format!("{target_host:?} is neither an address nor a host name"));
    }
    let Some(target_port) = at.port("targetPort") else {
        if at.field("targetPort").is_none() {
            at.missing("targetPort", "a tunnel needs the port it leads to");
        }
        return None;
    };
    Some(Tunnel { protocol, target_host: target_host.into(), target_port })
}
