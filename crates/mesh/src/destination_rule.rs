//! DestinationRules: which policy and which subsets a client's proxy sees for a host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::connection_pool::ConnectionPool;
use api::destination_rule::{DestinationRule, PortPolicy, ProxyProtocol, RetryBudget, TrafficPolicy, Tunnel};
use api::load_balancer::LoadBalancer;
use api::outlier::OutlierDetection;
use api::tls::ClientTls;
use api::{ExportTo, ResourceSet, Valid};
use base::{Host, Issue, Labels, Origin, Severity};

use crate::locality;
use crate::settings::{self, Settings};

/// Everything that the DestinationRules of one namespace say about one host to those who see them alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRule {
    /// Who sees it.
    export_to: ExportTo,
    /// The workloads whose calls it is for; None is everyone's.
    pub(crate) selector: Option<Labels>,
    policy: TrafficPolicy,
    pub(crate) subsets: Vec<Subset>,
    origin: Origin,
}

/// A part of a host's workloads, with what differs for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subset {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    policy: TrafficPolicy,
    pub(crate) origin: Origin,
}

/// What holds for one port of a host or of a subset; what is not written is left open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) load_balancer: Option<LoadBalancer>,
    pub(crate) pool: Option<ConnectionPool>,
    pub(crate) outliers: Option<OutlierDetection>,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    pub(crate) retry_budget: Option<RetryBudget>,
    pub(crate) origin: Option<Origin>,
    /// Whether the rule names the workloads it is for.
    pub(crate) is_selective: bool,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) labels: &'a Labels,
}

/// All DestinationRules, by namespace and host.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostRules {
    by_namespace: BTreeMap<String, BTreeMap<Host, Vec<Arc<HostRule>>>>,
}

impl HostRules {
    /// Gathers the rules, the oldest first; those of one namespace for one host are merged where the same callers
    /// see them.
    pub(crate) fn gather(set: &ResourceSet, settings: &Settings, issues: &mut Vec<Issue>) -> Self {
        let mut rules = Self::default();
        let mut all: Vec<_> = set.destination_rules().collect();
        all.sort_by_key(|rule| crate::age(rule.meta()));
        for rule in all {
            let meta = rule.meta();
            let host = Host::resolve(&rule.host, &meta.namespace, &settings.domain);
            let hosts = rules.by_namespace.entry(meta.namespace.to_string()).or_default();
            add(hosts.entry(host).or_default(), rule, settings, issues);
        }
        rules
    }

    /// Adds the labels of a caller's workload that decide which rule it sees, or which endpoints come first.
    pub(crate) fn telling_labels(&self, labels: &mut BTreeSet<String>) {
        for rule in self.by_namespace.values().flat_map(BTreeMap::values).flatten() {
            labels.extend(rule.selector.iter().flat_map(|selector| selector.0.keys().cloned()));
            let policies = std::iter::once(&rule.policy).chain(rule.subsets.iter().map(|s| &s.policy));
            let balancers = policies.flat_map(|policy| {
                let of_ports = policy.port_level_settings.iter().map(|port| &port.load_balancer);
                std::iter::once(&policy.load_balancer).chain(of_ports)
            });
            for balancer in balancers.flatten() {
                let by_locality = balancer.locality.iter().flat_map(|setting| &setting.failover_priority);
                let by_zone = balancer.zone_aware.iter().flat_map(|setting| &setting.failover_priority);
                labels.extend(by_locality.chain(by_zone).map(|label| locality::key(label).to_owned()));
            }
        }
    }

    /// The rule a client sees for a host of a service in `service`: that of its own namespace, else of the
    /// service's, else of the root namespace. A client of the root namespace sees of its own only what no other
    /// may: the rest is meant for everyone who says nothing more exact.
    pub(crate) fn lookup(
        &self,
        host: &Host,
        client: Client<'_>,
        service: &str,
        settings: &Settings,
    ) -> Option<&Arc<HostRule>> {
        let is_root = client.namespace == settings.root_namespace;
        let local = |rule: &HostRule| match is_root {
            true => rule.is_private(),
            false => rule.export_to.includes(client.namespace),
        };
        let exported = |rule: &HostRule| rule.export_to.includes(client.namespace) && !rule.is_private();
        self.of_namespace(client.namespace, host, &local)
            .or_else(|| self.of_namespace(service, host, &exported))
            .or_else(|| self.of_namespace(&settings.root_namespace, host, &exported))
            .and_then(|rules| chosen(&rules, client))
    }

    /// The rules of a namespace for the most specific host there that covers this one.
    fn of_namespace<'a>(
        &'a self,
        namespace: &str,
        host: &Host,
        is_visible: &dyn Fn(&HostRule) -> bool,
    ) -> Option<Vec<&'a Arc<HostRule>>> {
        let rules = most_specific(self.by_namespace.get(namespace)?, host)?;
        let visible: Vec<_> = rules.iter().filter(|rule| is_visible(rule)).collect();
        (!visible.is_empty()).then_some(visible)
    }
}

/// The rule for this workload; else, of those for everyone, the youngest.
fn chosen<'a>(rules: &[&'a Arc<HostRule>], client: Client<'_>) -> Option<&'a Arc<HostRule>> {
    let mut general = None;
    for rule in rules {
        match &rule.selector {
            None => general = Some(*rule),
            Some(selector)
                if rule.origin.namespace == client.namespace && selector.selects(client.labels) =>
            {
                return Some(rule);
            }
            Some(_) => {}
        }
    }
    general
}

/// Merges a rule into those for its host. One that other workloads or other namespaces see stands on its own too.
fn add(
    rules: &mut Vec<Arc<HostRule>>,
    rule: &Valid<DestinationRule>,
    settings: &Settings,
    issues: &mut Vec<Issue>,
) {
    let meta = rule.meta();
    let default = &settings.exports.destination_rules;
    let export_to = settings::visible(rule.export_to.as_ref(), default, &meta.namespace);
    let mut stands_alone = true;
    for known in rules.iter_mut() {
        let has_same_callers = known.selector == rule.workload_selector;
        if !covers(&export_to, &known.export_to)
            || known.selector.is_some() && rule.workload_selector.is_some() && !has_same_callers
        {
            continue;
        }
        if has_same_callers && known.export_to == export_to {
            stands_alone = false;
            issues.extend(repeated(rule, known));
        }
        merge(Arc::make_mut(known), rule);
    }
    if stands_alone {
        let mut alone = HostRule {
            export_to,
            selector: rule.workload_selector.clone(),
            policy: TrafficPolicy::default(),
            subsets: Vec::new(),
            origin: rule.origin(),
        };
        merge(&mut alone, rule);
        rules.push(Arc::new(alone));
    }
}

/// Whether everyone who sees one sees the other, in so many words.
fn covers(wider: &ExportTo, narrower: &ExportTo) -> bool {
    match (wider, narrower) {
        (ExportTo::Namespaces(wider), ExportTo::Namespaces(narrower)) => wider.is_superset(narrower),
        (wider, narrower) => wider == narrower,
    }
}

/// Adds the subsets not known yet, and the policy where there is none.
fn merge(into: &mut HostRule, rule: &Valid<DestinationRule>) {
    for (index, subset) in rule.subsets.iter().enumerate() {
        if into.subsets.iter().any(|known| known.name == subset.name) {
            continue;
        }
        into.subsets.push(Subset {
            name: subset.name.clone(),
            labels: subset.labels.clone(),
            policy: subset.traffic_policy.clone(),
            origin: rule.origin().at(format!("subsets[{index}]")),
        });
    }
    if into.policy.is_empty() && !rule.traffic_policy.is_empty() {
        into.policy = rule.traffic_policy.clone();
        into.origin = rule.origin();
    }
}

/// What a rule says that an older one has said before.
fn repeated(rule: &Valid<DestinationRule>, known: &HostRule) -> Vec<Issue> {
    let issue = |path: String, message: String| Issue {
        severity: Severity::Warning,
        code: "duplicate-rule".into(),
        place: rule.place(&path),
        object: rule.key().to_string(),
        path: format!("spec.{path}"),
        message,
    };
    let older = known.origin.object();
    let mut issues = Vec::new();
    for (index, subset) in rule.subsets.iter().enumerate() {
        if known.subsets.iter().any(|other| other.name == subset.name) {
            let message = format!("an older rule defines the subset {:?} of this host already", subset.name);
            issues.push(issue(format!("subsets[{index}]"), message));
        }
    }
    if !rule.traffic_policy.is_empty() && !known.policy.is_empty() {
        let message = format!("{older} has a policy for the same host, which holds; this one has no effect");
        issues.push(issue("trafficPolicy".into(), message));
    }
    issues
}

impl HostRule {
    /// Whether no other namespace sees it.
    fn is_private(&self) -> bool {
        match &self.export_to {
            ExportTo::All => false,
            ExportTo::Namespaces(all) => all.iter().all(|namespace| *namespace == self.origin.namespace),
        }
    }

    /// What holds for a port of the whole host.
    pub(crate) fn policy(&self, port: u16) -> Policy {
        let (policy, _) = at_port(&self.policy, port);
        Policy { origin: Some(self.origin.clone()), is_selective: self.selector.is_some(), ..policy }
    }

    /// What holds for a port of a subset: what it says, else what the host does. What is said for the port of a
    /// subset leaves nothing of the host's.
    pub(crate) fn subset_policy(&self, subset: &Subset, port: u16) -> Policy {
        let wide = self.policy(port);
        if subset.policy.is_empty() {
            return Policy { origin: Some(subset.origin.clone()), ..wide };
        }
        let (narrow, is_for_port) = at_port(&subset.policy, port);
        if self.policy.is_empty() {
            return Policy { origin: Some(subset.origin.clone()), is_selective: wide.is_selective, ..narrow };
        }
        let keeps = !is_for_port;
        Policy {
            load_balancer: narrow.load_balancer.or(wide.load_balancer.filter(|_| keeps)),
            pool: narrow.pool.or(wide.pool.filter(|_| keeps)),
            outliers: narrow.outliers.or(wide.outliers.filter(|_| keeps)),
            tls: narrow.tls.or(wide.tls.filter(|_| keeps)),
            tunnel: narrow.tunnel.or(wide.tunnel),
            proxy_protocol: narrow.proxy_protocol.or(wide.proxy_protocol),
            retry_budget: narrow.retry_budget.or(wide.retry_budget),
            origin: Some(subset.origin.clone()),
            is_selective: wide.is_selective,
        }
    }

    /// What holds for a port of the host (the empty name) or of one of its subsets.
    pub(crate) fn of(&self, subset: &str, port: u16) -> Policy {
        match self.subsets.iter().find(|known| known.name == subset) {
            Some(subset) => self.subset_policy(subset, port),
            None => self.policy(port),
        }
    }
}

/// What a policy says of a port, and whether it says so of this port alone. What is said of a port alone takes
/// nothing from around it.
fn at_port(policy: &TrafficPolicy, port: u16) -> (Policy, bool) {
    match policy.port_level_settings.iter().find(|settings| settings.port == port) {
        Some(settings) => (of_port(settings), true),
        None => (of_whole(policy), false),
    }
}

fn of_port(settings: &PortPolicy) -> Policy {
    Policy {
        load_balancer: settings.load_balancer.clone(),
        pool: settings.connection_pool.clone(),
        outliers: settings.outlier_detection.clone(),
        tls: settings.tls.clone(),
        ..Policy::default()
    }
}

fn of_whole(policy: &TrafficPolicy) -> Policy {
    Policy {
        load_balancer: policy.load_balancer.clone(),
        pool: policy.connection_pool.clone(),
        outliers: policy.outlier_detection.clone(),
        tls: policy.tls.clone(),
        tunnel: policy.tunnel.clone(),
        proxy_protocol: policy.proxy_protocol,
        retry_budget: policy.retry_budget,
        ..Policy::default()
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
