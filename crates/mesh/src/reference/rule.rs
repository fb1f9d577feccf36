//! What DestinationRules say about hosts, workloads and Secrets that are not there.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::destination_rule::{DestinationRule, TrafficPolicy};
use api::tls::{ClientTls, ClientTlsMode};
use api::{ResourceSet, Valid, VirtualService};
use base::{Host, Issue};

use super::route::destinations;
use super::warned;
use crate::state::State;

/// Everything to be said about the references of DestinationRules.
pub(super) fn check(state: &State, set: &ResourceSet) -> Vec<Issue> {
    let mut rules: Vec<_> = set.destination_rules().collect();
    rules.sort_by_cached_key(|rule| crate::age(rule.meta()));
    let mut issues = Vec::new();
    let asked = asked_subsets(state, set);
    for rule in rules {
        hosts(state, rule, &asked, &mut issues);
        policies(state, rule, &mut issues);
    }
    issues
}

/// The subsets some route leads to, with their hosts.
fn asked_subsets<'a>(state: &State, set: &'a ResourceSet) -> BTreeSet<(Host, &'a str)> {
    let of = |config: &'a Arc<Valid<VirtualService>>| {
        destinations(config).into_iter().filter_map(|(_, to)| {
            let host = Host::resolve(&to.host, &config.meta().namespace, &state.settings.domain);
            Some((host, to.subset.as_deref()?))
        })
    };
    set.virtual_services().flat_map(of).collect()
}

/// A host that no service has, and subsets that requests are led to and none of its workloads is in.
fn hosts(
    state: &State,
    rule: &Valid<DestinationRule>,
    asked: &BTreeSet<(Host, &str)>,
    issues: &mut Vec<Issue>,
) {
    let host = Host::resolve(&rule.host, &rule.meta().namespace, &state.settings.domain);
    if host.is_wildcard() {
        return;
    }
    let Some(service) = state.services.by_host.get(state.services.behind(&host)) else {
        let message = format!("no service has the host {host}; the rule has no effect");
        issues.push(warned(rule, "unknown-host", "host", message));
        return;
    };
    if service.instances.is_empty() {
        return;
    }
    for (index, subset) in rule.subsets.iter().enumerate() {
        let is_empty = !service.instances.iter().any(|instance| subset.labels.selects(&instance.labels));
        if is_empty && asked.contains(&(host.clone(), subset.name.as_str())) {
            let message = format!(
                "no workload of {host} has the labels of the subset {}; requests to it get 503",
                subset.name
            );
            issues.push(warned(rule, "empty-subset", &format!("subsets[{index}]"), message));
        }
    }
}

fn policies(state: &State, rule: &Valid<DestinationRule>, issues: &mut Vec<Issue>) {
    policy(state, rule, &rule.traffic_policy, "trafficPolicy", issues);
    for (index, subset) in rule.subsets.iter().enumerate() {
        let path = format!("subsets[{index}].trafficPolicy");
        policy(state, rule, &subset.traffic_policy, &path, issues);
    }
}

fn policy(
    state: &State,
    rule: &Valid<DestinationRule>,
    policy: &TrafficPolicy,
    path: &str,
    issues: &mut Vec<Issue>,
) {
    let whole = policy.tls.iter().map(|tls| (tls, format!("{path}.tls.credentialName")));
    let of_ports = policy.port_level_settings.iter().enumerate().filter_map(|(index, port)| {
        Some((port.tls.as_ref()?, format!("{path}.portLevelSettings[{index}].tls.credentialName")))
    });
    for (tls, path) in whole.chain(of_ports) {
        if let Some(name) = missing(state, rule, tls) {
            let message = format!("there is no Secret {name} where callers are; their calls get 503");
            issues.push(warned(rule, "unknown-secret", &path, message));
        }
    }
}

/// The Secret that some TLS needs and nobody has, where callers need it: in the namespace of the workloads that
/// the rule is for, else in any.
fn missing<'a>(state: &State, rule: &Valid<DestinationRule>, tls: &'a ClientTls) -> Option<&'a str> {
    let name = tls.credential_name.as_deref().filter(|_| tls.mode != ClientTlsMode::Disable)?;
    let is_known = match rule.workload_selector {
        Some(_) => state.secrets.has(&rule.meta().namespace, name),
        None => state.secrets.namespaces().any(|namespace| state.secrets.has(namespace, name)),
    };
    (!is_known).then_some(name)
}
