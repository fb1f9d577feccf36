//! What VirtualServices refer to: services, their ports and subsets, and other VirtualServices.

use api::virtual_service::{Delegate, Destination, HttpAction};
use api::{ResourceSet, Valid, VirtualService};
use base::{Host, Issue, Labels};

use super::warned;
use crate::delegate::Delegates;
use crate::destination_rule::Client;
use crate::state::State;
use crate::virtual_service::Bound;

/// Everything to be said about what VirtualServices refer to.
pub(super) fn check(state: &State, set: &ResourceSet) -> Vec<Issue> {
    let delegates = Delegates::new(set.virtual_services(), &state.settings.exports.virtual_services);
    let mut issues = Vec::new();
    for (index, bound) in state.virtual_services.iter().enumerate() {
        shadows(state, index, bound, &mut issues);
    }
    for config in set.virtual_services() {
        for (path, to) in destinations(config) {
            issues.extend(destination(state, config, to, &path));
        }
        for (index, route) in config.http.iter().enumerate() {
            if let HttpAction::Delegate(to) = &route.action {
                issues.extend(delegate(&delegates, config, index, to));
            }
        }
    }
    issues
}

/// Every destination of a VirtualService with its path.
pub(super) fn destinations(config: &VirtualService) -> Vec<(String, &Destination)> {
    let mut all = Vec::new();
    for (at, route) in config.http.iter().enumerate() {
        if let HttpAction::Forward(routes) = &route.action {
            let routes = routes.iter().enumerate();
            all.extend(routes.map(|(i, to)| (format!("http[{at}].route[{i}].destination"), &to.destination)));
        }
        let mirrors = route.mirrors.iter().enumerate();
        all.extend(mirrors.map(|(i, to)| (format!("http[{at}].mirrors[{i}].destination"), &to.destination)));
    }
    for (at, route) in config.tls.iter().enumerate() {
        let routes = route.route.iter().enumerate();
        all.extend(routes.map(|(i, to)| (format!("tls[{at}].route[{i}].destination"), &to.destination)));
    }
    for (at, route) in config.tcp.iter().enumerate() {
        let routes = route.route.iter().enumerate();
        all.extend(routes.map(|(i, to)| (format!("tcp[{at}].route[{i}].destination"), &to.destination)));
    }
    all
}

/// Hosts for sidecars that an older VirtualService already decides for whoever sees both.
fn shadows(state: &State, index: usize, bound: &Bound, issues: &mut Vec<Issue>) {
    if !bound.is_for_mesh() {
        return;
    }
    for (position, host) in bound.hosts.iter().enumerate() {
        let first = state.claims.of(host).and_then(|(_, claimants)| claimants.first().copied());
        let Some(first) = first.filter(|first| *first < index) else { continue };
        // What is shown to some namespaces only may well decide there.
        let older = state.virtual_services.get(first);
        let Some(older) =
            older.filter(|older| older.hosts.contains(host) && older.export_to == bound.export_to)
        else {
            continue;
        };
        let message =
            format!("{host} is decided by the older {}; this one has no effect there", older.config.key());
        issues.push(warned(&bound.config, "shadowed-host", &format!("hosts[{position}]"), message));
    }
}

/// A delegate that is nowhere, is hidden, or asks for what the delegating route excludes.
fn delegate(
    delegates: &Delegates<'_>,
    config: &Valid<VirtualService>,
    index: usize,
    to: &Delegate,
) -> Option<Issue> {
    let path = format!("http[{index}].delegate");
    let meta = config.meta();
    let Some(found) = delegates.find(&to.namespace, &to.name, &meta.namespace) else {
        let message = format!(
            "no VirtualService without hosts is called {}/{} and exported to {}; this route has no effect",
            to.namespace, to.name, meta.namespace
        );
        return Some(warned(config, "unknown-delegate", &path, message));
    };
    let written = config.http.get(index)?;
    let left_out = found.http.iter().position(|route| !crate::delegate::fits(written, route))?;
    let message = format!(
        "{} http[{left_out}] asks for what this route excludes, so it has no effect under it",
        found.key()
    );
    Some(warned(config, "conflicting-delegate", &path, message))
}

fn destination(state: &State, config: &Valid<VirtualService>, to: &Destination, path: &str) -> Option<Issue> {
    let fate = if path.starts_with("http") { "requests get 503" } else { "connections are closed" };
    let namespace = &config.meta().namespace;
    let host = Host::resolve(&to.host, namespace, &state.settings.domain);
    let host = state.services.behind(&host);
    let Some(service) = state.services.seen(host, namespace).or_else(|| state.services.by_host.get(host))
    else {
        let message = format!("no service has the host {host}; {fate}");
        return Some(warned(config, "unknown-host", &format!("{path}.host"), message));
    };
    if let Some(port) = to.port.filter(|port| service.port(*port).is_none()) {
        let message = format!("{host} has no port {port}; {fate}");
        return Some(warned(config, "unknown-port", &format!("{path}.port.number"), message));
    }
    let subset = to.subset.as_ref()?;
    let labels = Labels::default();
    let anyone = Client { namespace, labels: &labels };
    let rule = state.rules.lookup(host, anyone, &service.name.namespace, &state.settings);
    if rule.is_some_and(|rule| rule.subsets.iter().any(|known| known.name == *subset)) {
        return None;
    }
    let message = format!("no DestinationRule defines the subset {subset} of {host}; {fate}");
    Some(warned(config, "unknown-subset", &format!("{path}.subset"), message))
}
