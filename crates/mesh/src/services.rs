//! Every service there is, gathered from Services and ServiceEntries, with the workloads behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{ExportTo, ResourceSet, Valid};
use base::{Host, Issue, Labels, Severity};

use crate::labelled::Selecting;
use crate::proxy::Proxy;
use crate::service::Service;
use crate::services::entry::of_entry;
use crate::services::kubernetes::{host_of, of_service};

pub(crate) use crate::services::kubernetes::{host, of_service as of_platform};
use crate::settings::Settings;
use crate::virtual_ip;
use crate::workload::Platform;

mod entry;
mod kubernetes;

/// Every service by host, and the ways to find one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services {
    /// Who decides a host where its services are not told apart by who asks.
    pub(crate) by_host: BTreeMap<Host, Arc<Service>>,
    /// Those of a host another service has too, which are seen where that one is not.
    others: BTreeMap<Host, Vec<Arc<Service>>>,
    /// The host behind every other name of one.
    pub(crate) aliases: BTreeMap<Host, Host>,
    by_address: BTreeMap<IpAddr, BTreeSet<Host>>,
    selecting: Arc<BTreeMap<String, Selecting>>,
}

impl Services {
    fn new(claims: BTreeMap<Host, Vec<Arc<Service>>>, aliases: BTreeMap<Host, Host>) -> Self {
        let mut services = Self { aliases, ..Self::default() };
        for (host, all) in claims {
            for service in &all {
                services.index(service);
            }
            let mut all = all.into_iter();
            if let Some(first) = all.next() {
                services.by_host.insert(host.clone(), first);
            }
            let others: Vec<_> = all.collect();
            if !others.is_empty() {
                services.others.insert(host, others);
            }
        }
        services
    }

    fn index(&mut self, service: &Service) {
        for address in addresses(service) {
            self.by_address.entry(address).or_default().insert(service.host.clone());
        }
        if let Some(selector) = &service.selector {
            let namespace = service.name.namespace.clone();
            Arc::make_mut(&mut self.selecting).entry(namespace).or_default().add(selector, &service.host);
        }
    }

    /// The same services, some of them with other workloads: those that are alone in having their host.
    pub(crate) fn with(&self, moved: &BTreeMap<Host, Arc<Service>>) -> Self {
        let mut services = self.clone();
        for (host, new) in moved {
            let old = services.by_host.insert(host.clone(), new.clone());
            for address in old.iter().flat_map(|old| addresses(old)) {
                if let Some(hosts) = services.by_address.get_mut(&address) {
                    hosts.remove(host);
                }
            }
            for address in addresses(new) {
                services.by_address.entry(address).or_default().insert(host.clone());
            }
        }
        services.by_address.retain(|_, hosts| !hosts.is_empty());
        services
    }

    /// Every service with a host, the one that decides first.
    pub(crate) fn with_host(&self, host: &Host) -> impl Iterator<Item = &Arc<Service>> {
        self.by_host.get(host).into_iter().chain(self.others.get(host).into_iter().flatten())
    }

    /// The service that proxies of a namespace reach by a host.
    pub(crate) fn seen(&self, host: &Host, namespace: &str) -> Option<&Arc<Service>> {
        let mut all = self.with_host(host).filter(|service| service.export_to.includes(namespace));
        let first = all.next()?;
        if first.is_of_platform() {
            return Some(first);
        }
        // A namespace's own entry comes before another's.
        let is_own = |service: &&Arc<Service>| service.name.namespace == namespace;
        Some(std::iter::once(first).chain(all).find(is_own).unwrap_or(first))
    }

    /// Every service that proxies of a namespace may reach, ordered by host, and those of one host by who decides.
    pub(crate) fn seen_from(&self, namespace: &str) -> impl Iterator<Item = &Arc<Service>> {
        let all = self.by_host.keys().flat_map(|host| self.with_host(host));
        all.filter(move |service| service.export_to.includes(namespace))
    }

    /// The services that may lead to a proxy's workload: those with one of its addresses, and those that select
    /// workloads of its namespace by its labels.
    pub(crate) fn around(&self, proxy: &Proxy) -> Vec<&Arc<Service>> {
        let addresses = proxy.addresses.iter().filter_map(|address| self.by_address.get(address));
        let mut hosts: BTreeSet<&Host> = addresses.flatten().collect();
        hosts.extend(self.selecting(&proxy.namespace, &proxy.labels));
        hosts.into_iter().flat_map(|host| self.with_host(host)).collect()
    }

    /// The hosts whose services may select workloads of a namespace by these labels.
    pub(crate) fn selecting<'a>(
        &'a self,
        namespace: &str,
        labels: &'a Labels,
    ) -> impl Iterator<Item = &'a Host> {
        self.selecting.get(namespace).into_iter().flat_map(|all| all.of(labels))
    }

    /// The host a name stands for.
    pub(crate) fn behind<'a>(&'a self, host: &'a Host) -> &'a Host {
        self.aliases.get(host).unwrap_or(host)
    }
}

fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    service.instances.iter().filter_map(|instance| instance.address.parse().ok())
}

/// Gathers every service. Of those that claim one host a Service comes before a ServiceEntry, and an older
/// ServiceEntry before a younger one; entries of one namespace that say alike what they are become one service.
pub(crate) fn gather(set: &ResourceSet, settings: &Settings, issues: &mut Vec<Issue>) -> Services {
    let mut claims: BTreeMap<Host, Vec<Arc<Service>>> = BTreeMap::new();
    let platform = Platform::new(set);
    for service in set.services() {
        let service = of_service(service, &platform, settings);
        claims.insert(service.host.clone(), vec![Arc::new(service)]);
    }
    let mut entries: Vec<_> = set.service_entries().collect();
    entries.sort_by_key(|entry| crate::age(entry.meta()));
    for entry in &entries {
        for (index, host) in entry.hosts.iter().enumerate() {
            let service = of_entry(entry, host, &platform, settings);
            let known = claims.entry(host.clone()).or_default();
            if let Some(same) = known.iter_mut().find(|same| same.takes_in(&service)) {
                Arc::make_mut(same).take_in(service);
                continue;
            }
            if let Some(first) = known.iter().find(|first| overlap(first, &service)) {
                issues.push(taken(entry, index, host, first));
            }
            known.push(Arc::new(service));
        }
    }
    give_addresses(&entries, &mut claims);
    let aliases = aliases(set, settings, &mut claims);
    Services::new(claims, aliases)
}

/// Whether some namespace sees both, and so gets only the first.
fn overlap(first: &Service, second: &Service) -> bool {
    // A namespace's own entry comes before another's.
    if !first.is_of_platform() && first.name.namespace != second.name.namespace {
        return second.export_to != ExportTo::Namespaces([second.name.namespace.clone()].into())
            && first.export_to.includes(&second.name.namespace);
    }
    match (&first.export_to, &second.export_to) {
        (ExportTo::Namespaces(first), ExportTo::Namespaces(second)) => !first.is_disjoint(second),
        (ExportTo::Namespaces(none), _) | (_, ExportTo::Namespaces(none)) => !none.is_empty(),
        (ExportTo::All, ExportTo::All) => true,
    }
}

/// Gives addresses to the entries' services that have none and need one.
fn give_addresses(
    entries: &[&Arc<Valid<api::ServiceEntry>>],
    claims: &mut BTreeMap<Host, Vec<Arc<Service>>>,
) {
    let key = |namespace: &str, host: &Host| format!("{namespace}/{host}");
    let needy = entries.iter().filter(|entry| {
        let is_resolved = entry.resolution != api::service_entry::Resolution::None;
        entry.addresses.is_empty() && is_resolved
    });
    let names: Vec<String> = needy
        .flat_map(|entry| entry.hosts.iter().map(|host| (&entry.meta().namespace, host)))
        .filter(|(_, host)| !host.is_wildcard())
        .map(|(namespace, host)| key(namespace, host))
        .collect();
    let ips = virtual_ip::allocate(names.iter().map(String::as_str));
    for service in claims.values_mut().flatten() {
        let is_needy = service.addresses.is_empty() && !service.is_of_platform();
        if let Some(ip) = ips.get(&*key(&service.name.namespace, &service.host)).filter(|_| is_needy) {
            Arc::make_mut(service).automatic = Some(*ip);
        }
    }
}

/// Makes services that only name another one into names of it.
fn aliases(
    set: &ResourceSet,
    settings: &Settings,
    claims: &mut BTreeMap<Host, Vec<Arc<Service>>>,
) -> BTreeMap<Host, Host> {
    let mut aliases = BTreeMap::new();
    for service in set.services() {
        let Some(name) = &service.external_name else { continue };
        let alias = host_of(service, settings);
        let named = Host::new(name);
        let first = |host: &Host| claims.get(host).and_then(|all| all.first());
        if first(&named).is_none_or(|behind| behind.is_alias()) {
            continue;
        }
        claims.remove(&alias);
        if let Some(behind) = claims.get_mut(&named).and_then(|all| all.first_mut()) {
            Arc::make_mut(behind).aliases.push(alias.clone());
            aliases.insert(alias, named);
        }
    }
    aliases
}

fn taken(entry: &Valid<api::ServiceEntry>, index: usize, host: &Host, first: &Service) -> Issue {
    let path = format!("hosts[{index}]");
    Issue {
        severity: Severity::Warning,
        code: "duplicate-host".into(),
        place: entry.place(&path),
        object: entry.key().to_string(),
        path: format!("spec.{path}"),
        message: format!(
            "{host} already belongs to {}; this entry has no effect for whoever sees that one",
            first.origin.object()
        ),
    }
}

#[cfg(test)]
mod tests;
