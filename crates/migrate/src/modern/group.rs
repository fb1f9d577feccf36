//! The old rules by the host they are about.

use std::collections::BTreeMap;

use super::host::Host;
use crate::input::Item;
use crate::legacy::{Legacy, Old, Policy, RouteRule, by_precedence};

/// Everything the old rules say about one host.
pub(super) struct Group<'i> {
    pub(super) host: Host,
    /// The namespace its objects go to; None is the default one, unwritten.
    pub(super) home: Option<String>,
    /// In the order they were looked at.
    pub(super) rules: Vec<&'i Old<RouteRule>>,
    pub(super) policies: Vec<&'i Old<Policy>>,
}

impl Group<'_> {
    pub(super) fn namespace(&self) -> &str {
        self.home.as_deref().unwrap_or("default")
    }
}

/// Groups by host, in the order hosts are first named.
pub(super) fn groups(items: &[Item]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for legacy in items.iter().filter_map(Item::legacy) {
        for host in hosts_of(legacy) {
            places.entry(host.full.clone()).or_insert_with(|| {
                let home = host.home(legacy.namespace());
                groups.push(Group { host, home, rules: Vec::new(), policies: Vec::new() });
                groups.len() - 1
            });
        }
        let namespace = legacy.namespace().unwrap_or("default");
        let service = match legacy {
            Legacy::Route(rule) => &rule.spec.destination,
            // One document's policies are all for one destination.
            Legacy::Policies(policies) => match policies.first() {
                Some(policy) => &policy.spec.destination,
                None => continue,
            },
            Legacy::Egress(_) | Legacy::Ingress(_) => continue,
        };
        let full = Host::of(service, namespace).full;
        let Some(group) = places.get(&full).and_then(|place| groups.get_mut(*place)) else { continue };
        match legacy {
            Legacy::Route(rule) => group.rules.push(rule),
            Legacy::Policies(policies) => group.policies.extend(policies),
            Legacy::Egress(_) | Legacy::Ingress(_) => {}
        }
    }
    groups.iter_mut().for_each(|group| by_precedence(&mut group.rules));
    groups
}

/// The hosts a rule needs objects for: those it sends to before its own.
pub(super) fn hosts_of(legacy: &Legacy) -> Vec<Host> {
    let namespace = legacy.namespace().unwrap_or("default");
    match legacy {
        Legacy::Route(rule) => {
            let elsewhere = rule.spec.routes.iter().filter_map(|route| route.destination.as_ref());
            let mirror = rule.spec.mirror.iter();
            let services = elsewhere.chain(mirror).chain([&rule.spec.destination]);
            services.map(|service| Host::of(service, namespace)).collect()
        }
        Legacy::Policies(policies) => {
            policies.iter().take(1).map(|policy| Host::of(&policy.spec.destination, namespace)).collect()
        }
        Legacy::Egress(_) | Legacy::Ingress(_) => Vec::new(),
    }
}
