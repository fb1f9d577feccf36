//! Output as the official converter wrote it, its losses included.
//!
//! All rules of a host become one `networking.istio.io/v1alpha3` object; every policy becomes a subset, `default` where it has
//! no labels; fields have the names they had then. What it dropped is dropped here too, with a warning.

mod ingress;
mod made;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::document::{Document, Part};
use crate::input::Item;
use crate::json::{is_pseudo, object, text, text_match, texts};
use crate::legacy::{Abort, AbortError, Balancer, EgressRule, Legacy, Old, Policy, RouteRule, Text};
use crate::read::Log;

use made::document;

/// Converts everything: DestinationRules of policies, VirtualServices, ServiceEntries, DestinationRules that routes
/// need, Gateways; then what is of no old kind.
pub(crate) fn convert(items: &[Item], log: &Log) -> Vec<Document> {
    let legacy: Vec<&Legacy> = items.iter().filter_map(Item::legacy).collect();
    let rules = sorted_rules(&legacy);
    let policies = legacy.iter().flat_map(|legacy| match legacy {
        Legacy::Policies(policies) => policies.as_slice(),
        _ => &[],
    });
    // Everything went to the namespace of the first document.
    let namespace = legacy.first().and_then(|legacy| legacy.namespace()).unwrap_or("default");
    let mut destinations: Vec<Drafted> = Vec::new();
    for policy in policies {
        report_policy(policy, log);
        let host = policy.spec.destination.short();
        let draft = draft(&mut destinations, host);
        draft.entries.push(subset(policy));
        draft.parts.push(policy.source.part());
    }
    let (policies_end, mut services) = (destinations.len(), Vec::new());
    for rule in &rules {
        report_rule(rule, log);
        let draft = draft(&mut services, rule.spec.destination.short());
        draft.entries.push(http_route(&rule.spec));
        draft.parts.push(rule.source.part());
        add_subsets(&mut destinations, rule);
    }
    let of_routes = destinations.split_off(policies_end);
    let mut documents = objects("DestinationRule", destinations, namespace);
    documents.extend(objects("VirtualService", services, namespace));
    let egress = legacy.iter().filter_map(|legacy| match legacy {
        Legacy::Egress(old) => Some(old),
        _ => None,
    });
    documents.extend(egress.flat_map(|old| service_entries(old, log)));
    documents.extend(objects("DestinationRule", of_routes, namespace));
    documents.extend(ingress::convert(&legacy, log));
    documents.extend(items.iter().filter_map(|item| match item {
        Item::Other(document) => Some(document.clone()),
        Item::Legacy(_) => None,
    }));
    documents
}

/// The objects of a kind that have anything to say.
fn objects(kind: &str, drafts: Vec<Drafted>, namespace: &str) -> Vec<Document> {
    let full = drafts.into_iter().filter(|draft| !draft.entries.is_empty());
    full.map(|draft| {
        let spec = match kind {
            "DestinationRule" => json!({"host": draft.host, "subsets": draft.entries}),
            _ => json!({"hosts": [draft.host], "http": draft.entries}),
        };
        document(kind, (namespace, &draft.host), spec, draft.parts)
    })
    .collect()
}

/// An object in the making.
struct Drafted {
    host: String,
    entries: Vec<Value>,
    parts: Vec<Part>,
}

fn draft<'d>(drafts: &'d mut Vec<Drafted>, host: &str) -> &'d mut Drafted {
    let at = match drafts.iter().position(|draft| draft.host == host) {
        Some(at) => at,
        None => {
            drafts.push(Drafted { host: host.into(), entries: Vec::new(), parts: Vec::new() });
            drafts.len() - 1
        }
    };
    &mut drafts[at]
}

fn sorted_rules<'l>(legacy: &[&'l Legacy]) -> Vec<&'l Old<RouteRule>> {
    let mut rules: Vec<&Old<RouteRule>> = legacy
        .iter()
        .filter_map(|legacy| match legacy {
            Legacy::Route(rule) => Some(&**rule),
            _ => None,
        })
        .collect();
    crate::legacy::by_precedence(&mut rules);
    rules
}

fn report_rule(rule: &Old<RouteRule>, log: &Log) {
    let source = &rule.source;
    let lost = |path: &str, message: &str| source.warn(log, "not-kept", path, message);
    if rule.spec.matching.source.is_some() {
        lost(
            "spec.match.source",
            "compatible output has no sources: the route is for every caller; convert without --compat",
        );
    }
    if rule.spec.matching.tcp.is_some() {
        lost(
            "spec.match.tcp",
            "compatible output has no conditions on connections; convert without --compat",
        );
    }
    if rule.spec.matching.udp {
        lost(
            "spec.match.udp",
            "no proxy routes datagrams: the condition is gone and the route is for every request",
        );
    }
    let faults = [
        ("delay", rule.spec.delay.map(|d| d.percent)),
        ("abort", rule.spec.abort.as_ref().map(|a| a.percent)),
    ];
    for (name, percent) in faults {
        if percent.is_some_and(|percent| percent.fract() != 0.0) {
            let path = format!("spec.httpFault.{name}.percent");
            lost(
                &path,
                "compatible output has whole percentages: the fraction is cut off; convert without --compat",
            );
        }
    }
    let is_elsewhere = |route: &crate::legacy::Route| route.destination.is_some() && !route.labels.is_empty();
    if rule.spec.routes.iter().any(is_elsewhere) {
        lost(
            "spec.route",
            "compatible output puts the subsets of other services into the DestinationRule of this one; convert without --compat",
        );
    }
    if rule.spec.mirror.as_ref().is_some_and(|mirror| !mirror.labels.is_empty()) {
        lost(
            "spec.mirror.labels",
            "compatible output names a subset for the mirror that it does not define; convert without --compat",
        );
    }
    if !source.head.is_empty() || !source.body.is_empty() {
        lost("", "compatible output has no comments; convert without --compat");
    }
}

fn report_policy(policy: &Old<Policy>, log: &Log) {
    if policy.spec.source.is_some() {
        let message =
            "compatible output has no sources: the policy is for every caller; convert without --compat";
        policy.source.warn(log, "not-kept", "spec.source", message);
    }
    if policy.spec.destination.labels.is_empty() {
        let message = "compatible output puts this into a subset `default` that no route names; convert without --compat";
        policy.source.warn(log, "not-kept", &policy.spec.path, message);
    }
}

/// Labels as that converter made a name of them: `k=v` in order, joined by commas, `=` and `.` made dashes.
fn subset_name(labels: &BTreeMap<String, String>) -> String {
    let mut pairs: Vec<String> =
        labels.iter().map(|(k, v)| if v.is_empty() { k.clone() } else { format!("{k}={v}") }).collect();
    pairs.sort();
    pairs.join(",").replace(['=', '.'], "-")
}

fn subset(policy: &Old<Policy>) -> Value {
    let labels = &policy.spec.destination.labels;
    let mut subset = Map::new();
    let name = Some(subset_name(labels)).filter(|name| !name.is_empty());
    subset.insert("name".into(), name.unwrap_or_else(|| "default".into()).into());
    if !labels.is_empty() {
        subset.insert("labels".into(), json!(labels));
    }
    let mut traffic = Map::new();
    if let Some(balancer) = policy.spec.balancer {
        let simple = match balancer {
            Balancer::LeastConn => "LEAST_CONN",
            Balancer::Random => "RANDOM",
            Balancer::RoundRobin => "ROUND_ROBIN",
        };
        traffic.insert("loadBalancer".into(), json!({"simple": simple}));
    }
    if let Some(breaker) = &policy.spec.breaker {
        let http = object([
            ("http2MaxRequests", count(breaker.max_requests)),
            ("http1MaxPendingRequests", count(breaker.max_pending_requests)),
            ("maxRequestsPerConnection", count(breaker.max_requests_per_connection)),
            ("maxRetries", count(breaker.max_retries)),
        ]);
        let tcp = object([("maxConnections", count(breaker.max_connections))]);
        traffic.insert("connectionPool".into(), json!({"http": http, "tcp": tcp}));
        let outliers = object([
            ("interval", breaker.detection_interval.map(duration)),
            ("consecutiveErrors", count(breaker.consecutive_errors)),
            ("baseEjectionTime", breaker.sleep_window.map(duration)),
            ("maxEjectionPercent", count(breaker.max_ejection_percent)),
        ]);
        traffic.insert("outlierDetection".into(), outliers);
    }
    subset.insert("trafficPolicy".into(), Value::Object(traffic));
    Value::Object(subset)
}

fn count(n: u32) -> Option<Value> {
    (n != 0).then(|| n.into())
}

/// Seconds with three, six or nine digits behind the point.
fn duration(d: Duration) -> Value {
    let text = format!("{}.{:09}", d.as_secs(), d.subsec_nanos());
    let text = text.strip_suffix("000").unwrap_or(&text);
    let text = text.strip_suffix("000").unwrap_or(text);
    format!("{text}s").into()
}

/// Adds the subsets a rule's routes name to the DestinationRule of the rule's host.
fn add_subsets(drafts: &mut Vec<Drafted>, rule: &Old<RouteRule>) {
    let draft = draft(drafts, rule.spec.destination.short());
    for route in &rule.spec.routes {
        let name = subset_name(&route.labels);
        let known =
            draft.entries.iter().any(|subset| subset.get("name").and_then(Value::as_str) == Some(&name));
        if !known && !name.is_empty() {
            draft.entries.push(json!({"name": name, "labels": route.labels}));
            draft.parts.push(rule.source.part());
        }
    }
}

fn http_route(rule: &RouteRule) -> Value {
    let routes = routes(rule);
    let target = |target: &crate::legacy::Target| {
        object([("uri", text(&target.uri)), ("authority", text(&target.authority))])
    };
    let fault = object([("abort", rule.abort.as_ref().map(abort)), ("delay", rule.delay.and_then(delay))]);
    let mirror = rule.mirror.as_ref().map(|mirror| {
        object([("host", text(mirror.short())), ("subset", text(&subset_name(&mirror.labels)))])
    });
    let cors = rule.cors.as_ref().map(|cors| {
        object([
            ("allowOrigin", texts(&cors.allow_origin)),
            ("allowMethods", texts(&cors.allow_methods)),
            ("allowHeaders", texts(&cors.allow_headers)),
            ("exposeHeaders", texts(&cors.expose_headers)),
            ("maxAge", cors.max_age.map(duration)),
            ("allowCredentials", cors.allow_credentials.map(Value::from)),
        ])
    });
    let retries = rule.retries.map(|retries| {
        object([("attempts", count(retries.attempts)), ("perTryTimeout", retries.per_try.map(duration))])
    });
    object([
        ("match", rule.matching.is_written.then(|| json!([matching(&rule.matching.headers)]))),
        ("route", (!routes.is_empty()).then(|| routes.into())),
        ("redirect", rule.redirect.as_ref().map(target)),
        ("rewrite", rule.rewrite.as_ref().map(target)),
        ("websocketUpgrade", rule.websocket_upgrade.then(|| true.into())),
        ("timeout", rule.timeout.map(duration)),
        ("retries", retries),
        ("fault", (rule.abort.is_some() || rule.delay.is_some()).then_some(fault)),
        ("mirror", mirror),
        ("corsPolicy", cors),
        ("appendHeaders", (!rule.append_headers.is_empty()).then(|| json!(rule.append_headers))),
    ])
}

fn routes(rule: &RouteRule) -> Vec<Value> {
    let host = rule.destination.short();
    if rule.redirect.is_none() && rule.routes.is_empty() {
        return vec![json!({"destination": {"host": host}, "weight": 100})];
    }
    let route = |route: &crate::legacy::Route| {
        let name = route.destination.as_ref().map_or(host, |service| service.short());
        let destination = object([("host", text(name)), ("subset", text(&subset_name(&route.labels)))]);
        object([("destination", Some(destination)), ("weight", count(route.weight))])
    };
    rule.routes.iter().map(route).collect()
}

/// The conditions of a rule; what the old rules wrote as headers with certain names are fields of their own.
fn matching(headers: &[(String, Text)]) -> Value {
    let mut condition = Map::new();
    let mut others = Map::new();
    for (name, text) in headers {
        let holder = if is_pseudo(name) { &mut condition } else { &mut others };
        holder.insert(name.clone(), text_match(text));
    }
    if !others.is_empty() {
        condition.insert("headers".into(), others.into());
    }
    condition.into()
}

/// A percentage without its fraction; zero was not written.
fn percent(percent: f64) -> Option<Value> {
    // Reading it kept it between 0 and 100.
    let whole = percent.trunc();
    (whole > 0.0).then(|| (whole as u8).into())
}

fn abort(abort: &Abort) -> Value {
    let (http, grpc, http2) = match &abort.error {
        Some(AbortError::Http(status)) => (Some((*status).into()), None, None),
        Some(AbortError::Grpc(status)) => (None, text(status), None),
        Some(AbortError::Http2(error)) => (None, None, text(error)),
        None => (None, None, None),
    };
    object([
        ("percent", percent(abort.percent)),
        ("httpStatus", http),
        ("grpcStatus", grpc),
        ("http2Error", http2),
    ])
}

fn delay(delay: crate::legacy::Delay) -> Option<Value> {
    let fixed = delay.fixed?;
    Some(object([("percent", percent(delay.percent)), ("fixedDelay", Some(duration(fixed)))]))
}

fn service_entries(old: &Old<EgressRule>, log: &Log) -> Vec<Document> {
    if old.spec.use_egress_proxy {
        let message =
            "compatible output knows no egress gateway: calls go straight out; convert without --compat";
        old.source.warn(log, "not-kept", "spec.useEgressProxy", message);
    }
    let (name, namespace) = (old.meta.name.as_str(), old.meta.namespace());
    let ports: Vec<Value> = old
        .spec
        .ports
        .iter()
        .map(|port| {
            json!({"name": format!("{}-{}", port.protocol, port.port), "number": port.port, "protocol": port.protocol})
        })
        .collect();
    let spec = |host: &String| {
        if host.contains('/') {
            let made_up = format!("{name}.{namespace}.svc.cluster.local");
            json!({"addresses": [host], "hosts": [made_up], "ports": ports})
        } else {
            json!({"hosts": [host], "ports": ports})
        }
    };
    let all = old.spec.hosts.iter().map(spec);
    all.map(|spec| document("ServiceEntry", (namespace, name), spec, vec![old.source.part()])).collect()
}
