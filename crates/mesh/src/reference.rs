//! References between objects that lead nowhere, reported as warnings: an object may be applied before another.

use std::collections::BTreeSet;

use api::virtual_service::{Destination, GatewayRef, HttpAction};
use base::{Host, Issue, Severity};

use crate::snapshot::State;
use crate::virtual_service::Bound;

/// Everything to be said about references.
pub(crate) fn check(state: &State) -> Vec<Issue> {
    let gateways: BTreeSet<(&str, &str)> =
        state.gateways.iter().map(|gateway| (&*gateway.meta().namespace, &*gateway.meta().name)).collect();
    let mut issues = Vec::new();
    for (index, bound) in state.virtual_services.iter().enumerate() {
        for (gateway, reference) in bound.config.gateways.iter().enumerate() {
            if let GatewayRef::Named { namespace, name } = reference
                && !gateways.contains(&(namespace, name))
            {
                let message = format!("there is no Gateway {namespace}/{name}; nothing is routed there");
                issues.push(warning(bound, "unknown-gateway", &format!("gateways[{gateway}]"), message));
            }
        }
        shadows(state, index, bound, &mut issues);
        for (http, route) in bound.config.http.iter().enumerate() {
            if let HttpAction::Forward(destinations) = &route.action {
                for (index, to) in destinations.iter().enumerate() {
                    let path = format!("http[{http}].route[{index}].destination");
                    issues.extend(destination(state, bound, &to.destination, &path));
                }
            }
            for (index, mirror) in route.mirrors.iter().enumerate() {
                let path = format!("http[{http}].mirrors[{index}].destination");
                issues.extend(destination(state, bound, &mirror.destination, &path));
            }
        }
    }
    issues
}

/// Hosts for sidecars that an older VirtualService already decides.
fn shadows(state: &State, index: usize, bound: &Bound, issues: &mut Vec<Issue>) {
    if !bound.is_for_mesh() {
        return;
    }
    for (position, host) in bound.hosts.iter().enumerate() {
        let first = state.claims.of(host).and_then(|(_, claimants)| claimants.first().copied());
        let Some(first) = first.filter(|first| *first < index) else { continue };
        let Some(older) = state.virtual_services.get(first).filter(|older| older.hosts.contains(host)) else {
            continue;
        };
        let message =
            format!("{host} is decided by the older {}; this one has no effect there", older.config.key());
        issues.push(warning(bound, "shadowed-host", &format!("hosts[{position}]"), message));
    }
}

fn destination(state: &State, bound: &Bound, to: &Destination, path: &str) -> Option<Issue> {
    let namespace = &bound.config.meta().namespace;
    let host = Host::resolve(&to.host, namespace, &state.settings.domain);
    let host = state.services.behind(&host);
    let Some(service) = state.services.by_host.get(host) else {
        let message = format!("no service has the host {host}; requests get 503");
        return Some(warning(bound, "unknown-host", &format!("{path}.host"), message));
    };
    if let Some(port) = to.port.filter(|port| service.port(*port).is_none()) {
        let message = format!("{host} has no port {port}; requests get 503");
        return Some(warning(bound, "unknown-port", &format!("{path}.port.number"), message));
    }
    let subset = to.subset.as_ref()?;
    let rule = state.rules.lookup(host, namespace, &service.name.namespace, &state.settings);
    if rule.is_some_and(|rule| rule.subsets.iter().any(|known| known.name == *subset)) {
        return None;
    }
    let message = format!("no DestinationRule defines the subset {subset} of {host}; requests get 503");
    Some(warning(bound, "unknown-subset", &format!("{path}.subset"), message))
}

fn warning(bound: &Bound, code: &str, path: &str, message: String) -> Issue {
    Issue {
        severity: Severity::Warning,
        code: code.into(),
        place: bound.config.place(path),
        object: bound.config.key().to_string(),
        path: format!("spec.{path}"),
        message,
    }
}
