//! DestinationPolicy: how calls to a service are balanced and limited.

use std::time::Duration;

use super::common::{Service, destination, service};
use crate::read::At;

/// One policy for one service, or for the part of it that has certain labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) destination: Service,
    /// The callers it is for; none means all.
    pub(crate) source: Option<Service>,
    pub(crate) balancer: Option<Balancer>,
    pub(crate) breaker: Option<Breaker>,
    /// The path of the policy, for reports.
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balancer {
    LeastConn,
    Random,
    RoundRobin,
}

/// `circuitBreaker.simpleCb`; zero is unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    pub(crate) max_connections: u32,
    pub(crate) max_pending_requests: u32,
    pub(crate) max_requests: u32,
    pub(crate) sleep_window: Option<Duration>,
    pub(crate) consecutive_errors: u32,
    pub(crate) detection_interval: Option<Duration>,
    pub(crate) max_requests_per_connection: u32,
    pub(crate) max_ejection_percent: u32,
    pub(crate) max_retries: u32,
}

const CUSTOM: &str =
    "custom policies named types of a proxy that is no longer there; write the settings themselves";

/// Reads `spec`: one policy, or the list under `policy` that v1alpha1 had.
pub(super) fn read(spec: &At<'_>) -> Vec<Policy> {
    spec.only(&["destination", "source", "loadBalancing", "circuitBreaker", "custom", "policy"]);
    let destination = destination(spec);
    let source = spec.field("source").map(|field| service(&field));
    if let (Some(field), Some(service)) = (spec.field("source"), &source)
        && service.is_nameless()
        && service.labels.is_empty()
    {
        field.error("missing-field", "a source needs `name`, `service` or `labels`");
    }
    let parts = spec.list("policy");
    if parts.is_empty() {
        return vec![policy(spec, destination, source)];
    }
    parts
        .iter()
        .map(|part| {
            part.only(&["tags", "labels", "loadBalancing", "circuitBreaker", "custom"]);
            let labels = if part.field("labels").is_some() { part.map("labels") } else { part.map("tags") };
            policy(part, Service { labels, ..destination.clone() }, source.clone())
        })
        .collect()
}

fn policy(at: &At<'_>, destination: Service, source: Option<Service>) -> Policy {
    at.drop_field("custom", CUSTOM);
    let balancer = at.map_field("loadBalancing").and_then(|field| balancer(&field));
    let breaker = at.map_field("circuitBreaker").and_then(|field| breaker(&field));
    if balancer.is_none() && breaker.as_ref().is_none_or(|breaker| *breaker == Breaker::default()) {
        at.warn("needless", "the policy sets nothing, and nothing is written for it");
    }
    Policy { destination, source, balancer, breaker, path: at.path.clone() }
}

fn balancer(at: &At<'_>) -> Option<Balancer> {
    at.only(&["name", "custom"]);
    at.drop_field("custom", CUSTOM);
    let name = at.field("name")?;
    match name.own_text().as_str() {
        "LEAST_CONN" => Some(Balancer::LeastConn),
        "RANDOM" => Some(Balancer::Random),
        "ROUND_ROBIN" => Some(Balancer::RoundRobin),
        _ => {
            name.error("wrong-value", "write ROUND_ROBIN, LEAST_CONN or RANDOM");
            None
        }
    }
}

fn breaker(at: &At<'_>) -> Option<Breaker> {
    at.only(&["simpleCb", "custom"]);
    at.drop_field("custom", CUSTOM);
    let simple = at.map_field("simpleCb")?;
    simple.only(&[
        "maxConnections",
        "httpMaxPendingRequests",
        "httpMaxRequests",
        "sleepWindow",
        "httpConsecutiveErrors",
        "httpDetectionInterval",
        "httpMaxRequestsPerConnection",
        "httpMaxEjectionPercent",
        "httpMaxRetries",
    ]);
    // The new API counts in signed 32-bit integers.
    let count = |name| simple.whole::<i32>(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    Some(Breaker {
        max_connections: count("maxConnections"),
        max_pending_requests: count("httpMaxPendingRequests"),
        max_requests: count("httpMaxRequests"),
        sleep_window: simple.duration("sleepWindow"),
        consecutive_errors: count("httpConsecutiveErrors"),
        detection_interval: simple.duration("httpDetectionInterval"),
        max_requests_per_connection: count("httpMaxRequestsPerConnection"),
        max_ejection_percent: simple
            .percent("httpMaxEjectionPercent")
            .map_or(0, |_| count("httpMaxEjectionPercent")),
        max_retries: count("httpMaxRetries"),
    })
}
