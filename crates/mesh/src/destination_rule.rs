//! DestinationRules: which policy and which subsets a client's proxy sees for a host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::ResourceSet;
use api::destination_rule::{LoadBalancer, TrafficPolicy};
use base::{Host, Labels, Origin};

use crate::settings::Settings;

/// Everything the DestinationRules of one namespace say about one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRule {
    pub(crate) policy: Policy,
    pub(crate) subsets: Vec<Subset>,
}

/// A policy with what is not written left open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) load_balancer: Option<LoadBalancer>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) origin: Option<Origin>,
}

impl Policy {
    fn is_open(&self) -> bool {
        self.load_balancer.is_none() && self.connect_timeout.is_none()
    }
}

/// A subset with its policy completed from the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subset {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) policy: Policy,
}

/// All DestinationRules, by namespace and host.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostRules {
    by_namespace: BTreeMap<String, BTreeMap<Host, Arc<HostRule>>>,
}

impl HostRules {
    /// Gathers the rules; those of one namespace for one host are merged, the oldest first.
    pub(crate) fn gather(set: &ResourceSet, settings: &Settings) -> Self {
        let mut rules = Self::default();
        let mut all: Vec<_> = set.destination_rules().collect();
        all.sort_by_key(|rule| crate::age(rule.meta()));
        for rule in all {
            let meta = rule.meta();
            let host = Host::resolve(&rule.host, &meta.namespace, &settings.domain);
            let hosts = rules.by_namespace.entry(meta.namespace.to_string()).or_default();
            let merged = hosts.entry(host).or_insert_with(|| {
                let policy = policy(&rule.traffic_policy, &Policy::default(), rule.origin());
                Arc::new(HostRule { policy, subsets: Vec::new() })
            });
            let merged = Arc::make_mut(merged);
            if merged.policy.is_open() {
                merged.policy = policy(&rule.traffic_policy, &Policy::default(), rule.origin());
            }
            for (index, subset) in rule.subsets.iter().enumerate() {
                if merged.subsets.iter().any(|known| known.name == subset.name) {
                    continue;
                }
                let origin = rule.origin().at(format!("subsets[{index}]"));
                merged.subsets.push(Subset {
                    name: subset.name.clone(),
                    labels: subset.labels.clone(),
                    policy: policy(&subset.traffic_policy, &merged.policy, origin),
                });
            }
        }
        rules
    }

    /// The rule a client in `client` sees for a host of a service in `service`: that of its own namespace, else
    /// of the service's, else of the root namespace.
    pub(crate) fn lookup(
        &self,
        host: &Host,
        client: &str,
        service: &str,
        settings: &Settings,
    ) -> Option<&Arc<HostRule>> {
        [client, service, &settings.root_namespace]
            .into_iter()
            .find_map(|namespace| most_specific(self.by_namespace.get(namespace)?, host))
    }
}

fn policy(written: &TrafficPolicy, inherited: &Policy, origin: Origin) -> Policy {
    Policy {
        load_balancer: written.load_balancer.or(inherited.load_balancer),
        connect_timeout: written.connect_timeout.or(inherited.connect_timeout),
        origin: Some(origin),
    }
}

/// The value of the exact host, else of the longest wildcard that covers it.
pub(crate) fn most_specific<'a, V>(hosts: &'a BTreeMap<Host, V>, host: &Host) -> Option<&'a V> {
    hosts.get(host).or_else(|| {
        wildcards(hosts)
            .filter(|(candidate, _)| candidate.covers(host))
            .max_by_key(|(candidate, _)| candidate.as_str().len())
            .map(|(_, value)| value)
    })
}

/// The entries of wildcard hosts: `*` sorts before every letter and digit, so they stand together.
pub(crate) fn wildcards<V>(hosts: &BTreeMap<Host, V>) -> impl Iterator<Item = (&Host, &V)> {
    hosts.range(Host::new("*")..Host::new("+"))
}

#[cfg(test)]
mod tests;
