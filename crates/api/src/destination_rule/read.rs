//! From a document to a [`DestinationRule`], and what must hold between its fields.

use std::collections::BTreeSet;

use super::policy::check_policy;
use super::{DestinationRule, LoadBalancer, Subset, TrafficPolicy};
use crate::check;
use crate::read::At;

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> DestinationRule {
    let host = spec.text("host").unwrap_or_default();
    if host.is_empty() {
        spec.missing("host", "a DestinationRule needs a host");
    } else if let Some(message) = check::wildcard_host_error(host)
        && let Some(field) = spec.field("host")
    {
        field.error("wrong-value", message);
    }
    let mut seen = BTreeSet::new();
    let mut subsets = Vec::new();
    for item in spec.list("subsets") {
        let subset = subset(&item);
        if !subset.name.is_empty() && !seen.insert(subset.name.clone()) {
            item.error("duplicate-value", format!("the subset {:?} stands twice", subset.name));
        }
        subsets.push(subset);
    }
    DestinationRule { host: host.into(), traffic_policy: traffic_policy(spec), subsets }
}

fn subset(at: &At<'_>) -> Subset {
    let name = at.text("name").unwrap_or_default();
    if name.is_empty() {
        at.missing("name", "a subset needs a name");
    } else if !check::is_label(name) {
        at.error("wrong-value", "a subset's name is made of lower-case letters, digits and dashes");
    }
    if let Some(labels) = at.field("labels") {
        check::labels(&labels);
    }
    Subset { name: name.into(), labels: at.labels("labels"), traffic_policy: traffic_policy(at) }
}

fn traffic_policy(parent: &At<'_>) -> TrafficPolicy {
    let Some(at) = parent.field("trafficPolicy") else { return TrafficPolicy::default() };
    check_policy(&at);
    for item in at.list("portLevelSettings") {
        if item.field("port").and_then(|port| port.port("number")).is_none() {
            item.missing("port", "settings for a port need its number");
        }
        check_policy(&item);
    }
    let simple = at.field("loadBalancer").and_then(|balancer| balancer.text("simple"));
    TrafficPolicy {
        load_balancer: match simple {
            Some("LEAST_CONN" | "LEAST_REQUEST") => Some(LoadBalancer::LeastRequest),
            Some("RANDOM") => Some(LoadBalancer::Random),
            Some("ROUND_ROBIN") => Some(LoadBalancer::RoundRobin),
            _ => None,
        },
        connect_timeout: at
            .field("connectionPool")
            .and_then(|pool| pool.field("tcp"))
            .and_then(|tcp| tcp.duration("connectTimeout")),
    }
}
