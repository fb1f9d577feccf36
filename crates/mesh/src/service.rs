//! Services: what clients may ask for, gathered from Services and ServiceEntries, with the workloads behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{ExportTo, ResourceSet, Valid};
use base::{Host, Issue, Labels, Origin, Severity};

use crate::Age;
use crate::port::Port;
use crate::service::entry::of_entry;
use crate::service::kubernetes::{host_of, of_service};
use crate::settings::Settings;
use crate::slice::{Network, ServiceName, Session};
use crate::virtual_ip::{self, VirtualIp};
use crate::workload::{Instance, Platform};

mod entry;
mod kubernetes;

/// A service as every proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) host: Host,
    pub(crate) name: ServiceName,
    pub(crate) ports: Vec<Port>,
    pub(crate) resolution: Resolution,
    pub(crate) is_external: bool,
    /// Its virtual addresses; a single address is a network of full length.
    pub(crate) addresses: Vec<Network>,
    /// The addresses it has for proxies that answer DNS, where it has none of its own.
    pub(crate) automatic: Option<VirtualIp>,
    /// The labels of its own object.
    pub(crate) labels: Labels,
    /// The labels of its workloads; None where it selects none.
    pub(crate) selector: Option<Labels>,
    pub(crate) instances: Vec<Instance>,
    /// The names one of which its certificate has; empty where nothing is said.
    pub(crate) subject_alt_names: Vec<String>,
    /// Which endpoints come first, whatever DestinationRules say of localities.
    pub(crate) distribution: Distribution,
    /// How it keeps a client with one endpoint.
    pub(crate) session: Option<Session>,
    /// Whether clients only reach endpoints on their own node.
    pub(crate) is_node_local: bool,
    /// Other hosts that are this service.
    pub(crate) aliases: Vec<Host>,
    /// The namespaces whose proxies see it.
    pub(crate) export_to: ExportTo,
    /// Its object's place in the order of age.
    pub(crate) age: Age,
    pub(crate) origin: Origin,
}

impl Service {
    pub(crate) fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether the platform runs it.
    pub(crate) fn is_of_platform(&self) -> bool {
        self.origin.kind == "Service"
    }

    /// Whether it names a host elsewhere and has nothing of its own.
    fn is_alias(&self) -> bool {
        self.is_external && self.resolution == Resolution::Dns && self.is_of_platform()
    }

    /// Its virtual addresses, networks left out.
    pub(crate) fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|network| network.is_single()).map(|network| network.address)
    }
}

/// How the endpoints of a service are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// By DNS; every address is an endpoint.
    Dns,
    /// By DNS; one address at a time.
    DnsRoundRobin,
    /// By DNS, of the name each client asks for.
    DnsOfClient,
    /// They are known, and clients connect to them themselves.
    Headless,
    /// They are known.
    Known,
    /// Only the client knows.
    OfClient,
}

/// Which endpoints of a service come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// None of them.
    #[default]
    Any,
    /// Those on the client's node, then those of its zone.
    SameNode,
    /// Those of the client's zone.
    SameZone,
}

impl Distribution {
    /// What `trafficDistribution` or Istio's annotation says.
    fn named(word: &str) -> Self {
        match word {
            "PreferClose" | "PreferSameZone" => Self::SameZone,
            "PreferSameNode" => Self::SameNode,
            _ => Self::Any,
        }
    }
}

/// Istio's annotation for what a ServiceEntry has no field for.
const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// Every service by host, and the ways to find one.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// Who decides a host where its services are not told apart by who asks.
    pub(crate) by_host: BTreeMap<Host, Arc<Service>>,
    /// Those of a host another service has too, which are seen where that one is not.
    others: BTreeMap<Host, Vec<Arc<Service>>>,
    /// The host behind every other name of one.
    pub(crate) aliases: BTreeMap<Host, Host>,
    by_address: BTreeMap<IpAddr, BTreeSet<Host>>,
    selecting: BTreeMap<String, BTreeSet<Host>>,
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
        for address in service.instances.iter().filter_map(|instance| instance.address.parse().ok()) {
            self.by_address.entry(address).or_default().insert(service.host.clone());
        }
        if service.selector.is_some() {
            let namespace = service.name.namespace.clone();
            self.selecting.entry(namespace).or_default().insert(service.host.clone());
        }
    }

    /// Every service with a host, the one that decides first.
    fn with_host(&self, host: &Host) -> impl Iterator<Item = &Arc<Service>> {
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

    /// The services that may lead to a workload: those with one of its addresses, and those that select
    /// workloads of its namespace.
    pub(crate) fn around(&self, addresses: &[IpAddr], namespace: &str) -> Vec<&Arc<Service>> {
        let mut hosts: BTreeSet<&Host> = self.selecting.get(namespace).into_iter().flatten().collect();
        hosts.extend(addresses.iter().filter_map(|address| self.by_address.get(address)).flatten());
        hosts.into_iter().flat_map(|host| self.with_host(host)).collect()
    }

    /// The host a name stands for.
    pub(crate) fn behind<'a>(&'a self, host: &'a Host) -> &'a Host {
        self.aliases.get(host).unwrap_or(host)
    }
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

impl Service {
    /// Whether another service of its host is the same, spread over several entries.
    fn takes_in(&self, other: &Service) -> bool {
        !self.is_of_platform()
            && self.name == other.name
            && self.resolution == other.resolution
            && self.labels == other.labels
            && self.selector == other.selector
            && self.export_to == other.export_to
            && other.ports.iter().any(|port| self.port(port.number).is_none())
    }

    fn take_in(&mut self, mut other: Service) {
        other.ports.retain(|port| self.port(port.number).is_none());
        for instance in &mut other.instances {
            instance.ports.retain(|number, _| other.ports.iter().any(|port| port.number == *number));
        }
        self.ports.extend(other.ports);
        self.instances.extend(other.instances.into_iter().filter(|instance| !instance.ports.is_empty()));
        for address in other.addresses {
            if !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
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

impl Network {
    /// The network of one address.
    pub fn single(address: IpAddr) -> Self {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Self { address, length }
    }

    /// Reads `10.0.0.1` or `10.0.0.0/8`; bits beyond the length are cleared. None where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((address, length)) = text.split_once('/') else {
            return text.parse().ok().map(Self::single);
        };
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let cleared = match address {
            IpAddr::V4(v4) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
            _ => return None,
        };
        Some(Self { address: cleared, length })
    }

    /// Whether it is one address.
    pub fn is_single(&self) -> bool {
        self.length == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

#[cfg(test)]
mod tests;
