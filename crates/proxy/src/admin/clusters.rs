//! `/clusters`: every cluster and its endpoints, in Envoy's text or JSON.

use std::fmt::Write;

use balance::{Breakers, Health, Host};
use http::StatusCode;
use plan::{Cluster, Endpoint, Target};
use serde_json::{Value, json};

use super::listeners::wire_address;
use super::server::{Asked, Reply};
use crate::shared::Shared;

pub(super) fn reply(shared: &Shared, asked: &Asked) -> Reply {
    let serving = shared.serving.load();
    let mut clusters: Vec<_> = serving.clusters().collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    if asked.wants_json() {
        let statuses: Vec<Value> = clusters.into_iter().map(|cluster| json_of(cluster)).collect();
        return Reply::json(&json!({ "cluster_statuses": statuses }));
    }
    let mut out = String::new();
    for cluster in clusters {
        text_of(cluster, serving.cold.contains(&cluster.name), &mut out);
    }
    Reply::text(StatusCode::OK, out)
}

fn text_of(cluster: &Cluster, is_cold: bool, out: &mut String) {
    let name = &cluster.name;
    let limit = |limit: Option<u32>| limit.unwrap_or(u32::MAX);
    let breakers = &cluster.breakers;
    // Writing to a string never errs.
    let mut line = |rest: String| {
        let _ = writeln!(out, "{name}::{rest}");
    };
    if is_cold {
        line("warming::endpoints have not come".into());
    }
    line(format!("default_priority::max_connections::{}", limit(breakers.connections)));
    line(format!("default_priority::max_pending_requests::{}", limit(breakers.pending)));
    line(format!("default_priority::max_requests::{}", limit(breakers.requests)));
    line(format!("default_priority::max_retries::{}", limit(breakers.retries)));
    for priority in ["success_rate_average", "success_rate_ejection_threshold"] {
        line(format!("outlier::{priority}::-1"));
        line(format!("outlier::local_origin_{priority}::-1"));
    }
    line("added_via_api::true".into());
    for degraded in &cluster.degraded {
        line(format!("degraded::{}::{}", degraded.path, degraded.instead));
    }
    let hosts = cluster.endpoints.table.hosts();
    for (endpoint, host) in cluster.endpoints.endpoints.iter().zip(hosts) {
        let at = &host.address;
        let state = &host.state;
        let mut fact = |name: &str, value: String| line(format!("{at}::{name}::{value}"));
        fact("cx_active", state.active_connections().to_string());
        fact("cx_connect_fail", state.connect_failures().to_string());
        fact("cx_total", state.connections().to_string());
        fact("rq_active", state.active_requests().to_string());
        fact("rq_error", state.failures().to_string());
        fact("rq_success", state.requests().saturating_sub(state.failures()).to_string());
        fact("rq_total", state.requests().to_string());
        fact("hostname", endpoint.hostname.as_deref().unwrap_or_default().to_owned());
        fact("health_flags", health_flags(endpoint, host));
        fact("success_rate", "-1".into());
        fact("local_origin_success_rate", "-1".into());
        fact("weight", endpoint.weight.to_string());
        let locality = cluster.endpoints.localities.get(endpoint.locality);
        fact("region", locality.map(|l| l.region.to_string()).unwrap_or_default());
        fact("zone", locality.map(|l| l.zone.to_string()).unwrap_or_default());
        fact("sub_zone", locality.map(|l| l.sub_zone.to_string()).unwrap_or_default());
        fact("priority", endpoint.priority.to_string());
    }
}

fn health_flags(endpoint: &Endpoint, host: &Host) -> String {
    let mut flags = String::new();
    if host.state.is_ejected() {
        flags.push_str("/failed_outlier_check");
    }
    match endpoint.health {
        Health::Healthy if flags.is_empty() => flags.push_str("healthy"),
        Health::Healthy => {}
        Health::Degraded => flags.push_str("/eds_degraded"),
        Health::Draining | Health::Unhealthy => flags.push_str("/failed_eds_health"),
    }
    flags
}

fn health_status(endpoint: &Endpoint, host: &Host) -> Value {
    let mut status = json!({ "eds_health_status": eds_health(endpoint) });
    if host.state.is_ejected() {
        status["failed_outlier_check"] = Value::Bool(true);
    }
    status
}

fn json_of(cluster: &Cluster) -> Value {
    let hosts = cluster.endpoints.table.hosts();
    let statuses: Vec<Value> = cluster
        .endpoints
        .endpoints
        .iter()
        .zip(hosts)
        .map(|(endpoint, host)| {
            let state = &host.state;
            let stat = |name: &str, value: u64, kind: &str| json!({ "name": name, "value": value.to_string(), "type": kind });
            let name = match &endpoint.target {
                Target::Name(name, _) => name.to_string(),
                Target::Address(_) => endpoint.hostname.as_deref().unwrap_or_default().to_owned(),
            };
            json!({
                "address": wire_address(&host.address),
                "stats": [
                    stat("cx_active", state.active_connections().into(), "GAUGE"),
                    stat("cx_connect_fail", state.connect_failures(), "COUNTER"),
                    stat("cx_total", state.connections(), "COUNTER"),
                    stat("rq_active", state.active_requests().into(), "GAUGE"),
                    stat("rq_error", state.failures(), "COUNTER"),
                    stat("rq_success", state.requests().saturating_sub(state.failures()), "COUNTER"),
                    stat("rq_total", state.requests(), "COUNTER"),
                ],
                "health_status": health_status(endpoint, host),
                "weight": endpoint.weight,
                "priority": endpoint.priority,
                "hostname": name,
            })
        })
        .collect();
    json!({
        "name": &*cluster.name,
        "added_via_api": true,
        "circuit_breakers": { "thresholds": [thresholds(&cluster.breakers)] },
        "host_statuses": statuses,
    })
}

fn eds_health(endpoint: &Endpoint) -> &'static str {
    match endpoint.health {
        Health::Healthy => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Draining => "DRAINING",
        Health::Unhealthy => "UNHEALTHY",
    }
}

fn thresholds(breakers: &Breakers) -> Value {
    let limit = |limit: Option<u32>| limit.unwrap_or(u32::MAX);
    json!({
        "priority": "DEFAULT",
        "max_connections": limit(breakers.connections),
        "max_pending_requests": limit(breakers.pending),
        "max_requests": limit(breakers.requests),
        "max_retries": limit(breakers.retries),
    })
}
