//! DestinationPolicies of one host, and the subsets its routes name, as DestinationRules.

use std::collections::BTreeMap;

use base::duration;
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::group::Group;
use super::world::World;
use crate::document::Document;
use crate::json::object;
use crate::legacy::{Balancer, Breaker, Old, Policy};
use crate::read::Log;

/// The DestinationRule for every caller, and one for each caller that has policies of its own.
pub(super) fn destination_rules(group: &Group<'_>, world: &mut World, log: &Log) -> Vec<Document> {
    let (common, special): (Vec<&Old<Policy>>, Vec<&Old<Policy>>) =
        group.policies.iter().copied().partition(|policy| policy.spec.source.is_none());
    for policy in &group.policies {
        let labels = &policy.spec.destination.labels;
        if !labels.is_empty() {
            world.subset(&group.host, labels, &policy.source);
        }
    }
    let mut documents: Vec<Document> =
        destination_rule(group, &common, None, (world, log)).into_iter().collect();
    let mut callers: Vec<ForCaller<'_>> = Vec::new();
    for policy in special {
        let Some(labels) = caller(group, policy, world, log) else { continue };
        match callers.iter_mut().find(|known| known.labels == labels) {
            Some(known) => known.policies.push(policy),
            None => callers.push(ForCaller { labels, policies: vec![policy] }),
        }
    }
    for ForCaller { labels, policies } in callers {
        // A rule for some callers stands for them in place of the common one, so it repeats what that says.
        let all: Vec<&Old<Policy>> = policies.iter().chain(&common).copied().collect();
        documents.extend(destination_rule(group, &all, Some(&labels), (world, log)));
    }
    documents
}

/// Policies for the callers that have certain labels.
struct ForCaller<'i> {
    labels: BTreeMap<String, String>,
    policies: Vec<&'i Old<Policy>>,
}

/// The labels of the callers a policy is for, if a DestinationRule can be for them.
fn caller(
    group: &Group<'_>,
    policy: &Old<Policy>,
    world: &World,
    log: &Log,
) -> Option<BTreeMap<String, String>> {
    let source = policy.spec.source.as_ref()?;
    let caller = world.caller(source, policy.meta.namespace());
    let is_near = caller.namespace.as_deref().is_none_or(|namespace| namespace == group.namespace());
    if !is_near || caller.labels.is_empty() {
        let message = "a DestinationRule can be for callers of its own namespace only; write one into the namespace of the callers";
        policy.source.error(log, "not-converted", "spec.source", message);
        return None;
    }
    if let Some(label) = caller.assumed {
        let message = format!(
            "callers are told by their labels now: the workloads of this service are taken to have `{label}`; give its Service among the files, or change `workloadSelector`"
        );
        policy.source.warn(log, "assumed", "spec.source", message);
    }
    Some(caller.labels)
}

/// One DestinationRule; none where there is nothing to say. Of two policies for the same workloads the first counts.
fn destination_rule(
    group: &Group<'_>,
    policies: &[&Old<Policy>],
    callers: Option<&BTreeMap<String, String>>,
    (world, log): (&mut World, &Log),
) -> Option<Document> {
    let mut draft = Draft::default();
    let mut seen: Vec<&BTreeMap<String, String>> = Vec::new();
    let mut traffic = None;
    let mut by_subset: BTreeMap<String, Value> = BTreeMap::new();
    // What another DestinationRule among the files defines need not be defined again.
    let mut subsets: Vec<_> = world.subsets(&group.host).to_vec();
    let with_policy =
        |labels: &BTreeMap<String, String>| policies.iter().any(|p| p.spec.destination.labels == *labels);
    subsets.retain(|subset| !subset.is_present || with_policy(&subset.labels));
    subsets.sort_by(|a, b| a.name.cmp(&b.name));
    for policy in policies {
        let labels = &policy.spec.destination.labels;
        let is_common = callers.is_some() && policy.spec.source.is_none();
        if seen.contains(&labels) && is_common {
            continue;
        }
        if seen.contains(&labels) {
            let message = "an earlier policy for the same workloads counts; this one is not kept";
            policy.source.warn(log, "not-kept", &policy.spec.path, message);
            continue;
        }
        seen.push(labels);
        let at = subsets.iter().position(|subset| subset.labels == *labels && !labels.is_empty());
        let path = at.map_or("spec.trafficPolicy".to_owned(), |at| format!("spec.subsets[{at}]"));
        // The rule for everyone has the comments already.
        let source = if is_common { policy.source.uncommented() } else { policy.source.clone() };
        draft.take((&policy.meta, &source), &path, log);
        let value = traffic_policy(&policy.spec);
        match at.and_then(|at| subsets.get(at)) {
            Some(subset) => by_subset.extend(value.map(|value| (subset.name.clone(), value))),
            None => traffic = value,
        }
    }
    if subsets.is_empty() && traffic.is_none() {
        return None;
    }
    if let (Some(present), None) = (world.present("DestinationRule", &group.host), callers) {
        let message = format!("{present} is about the same host; put these subsets and policies into it");
        let rules = group.rules.iter().map(|rule| &rule.source);
        if let Some(source) = policies.iter().map(|policy| &policy.source).chain(rules).next() {
            source.warn(log, "merge", "spec.destination", message);
        }
    }
    for part in subsets.iter().flat_map(|subset| &subset.parts) {
        if callers.is_none() {
            draft.parts.push(part.clone());
        }
    }
    let subsets: Vec<Value> = subsets
        .into_iter()
        .map(|subset| {
            let traffic = by_subset.remove(&subset.name);
            object([
                ("name", Some(subset.name.into())),
                ("labels", Some(json!(subset.labels))),
                ("trafficPolicy", traffic),
            ])
        })
        .collect();
    let spec = object([
        ("host", Some(group.host.text_in(group.namespace()).into())),
        ("workloadSelector", callers.map(|labels| json!({"matchLabels": labels}))),
        ("trafficPolicy", traffic),
        ("subsets", (!subsets.is_empty()).then(|| subsets.into())),
    ]);
    let wanted = match callers.and_then(|labels| labels.get("app").or_else(|| labels.values().next())) {
        Some(caller) => super::host::legal_name(&format!("{}-from-{caller}", group.host.object_name())),
        None => group.host.object_name(),
    };
    let name = world.name("DestinationRule", group.namespace(), &wanted);
    Some(draft.finish("DestinationRule", (group.home.as_deref(), &name), spec))
}

/// What a policy says; none where nothing of it was kept.
fn traffic_policy(policy: &Policy) -> Option<Value> {
    let balancer = policy.balancer.map(|balancer| {
        let simple = match balancer {
            Balancer::LeastConn => "LEAST_REQUEST",
            Balancer::Random => "RANDOM",
            Balancer::RoundRobin => "ROUND_ROBIN",
        };
        json!({"simple": simple})
    });
    let breaker = policy.breaker.as_ref();
    let fields = object([
        ("loadBalancer", balancer),
        ("connectionPool", breaker.and_then(connection_pool)),
        ("outlierDetection", breaker.and_then(outlier_detection)),
    ]);
    is_full(&fields).then_some(fields)
}

fn connection_pool(breaker: &Breaker) -> Option<Value> {
    let tcp = object([("maxConnections", count(breaker.max_connections))]);
    let http = object([
        ("http1MaxPendingRequests", count(breaker.max_pending_requests)),
        ("http2MaxRequests", count(breaker.max_requests)),
        ("maxRequestsPerConnection", count(breaker.max_requests_per_connection)),
        ("maxRetries", count(breaker.max_retries)),
    ]);
    let pool = object([("tcp", is_full(&tcp).then_some(tcp)), ("http", is_full(&http).then_some(http))]);
    is_full(&pool).then_some(pool)
}

fn outlier_detection(breaker: &Breaker) -> Option<Value> {
    let time = |time: Option<std::time::Duration>| time.map(|time| duration::render(time).into());
    let outliers = object([
        ("consecutive5xxErrors", count(breaker.consecutive_errors)),
        ("interval", time(breaker.detection_interval)),
        ("baseEjectionTime", time(breaker.sleep_window)),
        ("maxEjectionPercent", count(breaker.max_ejection_percent)),
    ]);
    is_full(&outliers).then_some(outliers)
}

fn count(n: u32) -> Option<Value> {
    (n != 0).then(|| n.into())
}

fn is_full(value: &Value) -> bool {
    value.as_object().is_some_and(|map: &Map<String, Value>| !map.is_empty())
}
