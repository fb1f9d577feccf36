//! Services: what clients may ask for, gathered from Services and ServiceEntries, with the workloads behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::service::{Exposure, TargetPort};
use api::service_entry::{EntryPort, Location};
use api::{ResourceSet, Valid, WorkloadEntry};
use base::{Host, Issue, Labels, Origin, Protocol, Severity};

use crate::settings::Settings;
use crate::slice::{Network, ServiceName};

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
    /// The labels of its own object.
    pub(crate) labels: Labels,
    /// The labels of its workloads; None where it selects none.
    pub(crate) selector: Option<Labels>,
    pub(crate) instances: Vec<Instance>,
    /// Other hosts that are this service.
    pub(crate) aliases: Vec<Host>,
    pub(crate) origin: Origin,
}

impl Service {
    pub(crate) fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether it names a host elsewhere and has nothing of its own.
    fn is_alias(&self) -> bool {
        self.is_external && self.resolution == Resolution::Dns && self.origin.kind == "Service"
    }

    /// Its virtual addresses, networks left out.
    pub(crate) fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|network| network.is_single()).map(|network| network.address)
    }
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) target: TargetPort,
}

impl Port {
    /// The workload's port where the workload says nothing of its own.
    pub(crate) fn target_number(&self) -> u16 {
        match self.target {
            TargetPort::Number(number) => number,
            TargetPort::Name(_) => self.number,
        }
    }
}

/// How the endpoints of a service are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// By DNS; every address is an endpoint.
    Dns,
    /// By DNS; one address at a time.
    DnsRoundRobin,
    /// They are known, and clients connect to them themselves.
    Headless,
    /// They are known.
    Known,
    /// Only the client knows.
    OfClient,
}

/// A workload behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) address: String,
    /// Its own port, by the service's port.
    pub(crate) ports: BTreeMap<u16, u16>,
    pub(crate) labels: Labels,
    pub(crate) weight: u32,
    pub(crate) locality: String,
    pub(crate) workload: String,
}

/// Every service by host, and the ways to find one.
#[derive(Debug, Default)]
pub(crate) struct Services {
    pub(crate) by_host: BTreeMap<Host, Arc<Service>>,
    /// The host behind every other name of one.
    pub(crate) aliases: BTreeMap<Host, Host>,
    by_address: BTreeMap<IpAddr, BTreeSet<Host>>,
    selecting: BTreeMap<String, BTreeSet<Host>>,
}

impl Services {
    fn new(by_host: BTreeMap<Host, Arc<Service>>, aliases: BTreeMap<Host, Host>) -> Self {
        let mut services = Self { aliases, ..Self::default() };
        for (host, service) in &by_host {
            for address in service.instances.iter().filter_map(|instance| instance.address.parse().ok()) {
                services.by_address.entry(address).or_default().insert(host.clone());
            }
            if service.selector.is_some() {
                let namespace = service.name.namespace.clone();
                services.selecting.entry(namespace).or_default().insert(host.clone());
            }
        }
        services.by_host = by_host;
        services
    }

    /// The services that may lead to a workload: those with one of its addresses, and those that select
    /// workloads of its namespace.
    pub(crate) fn around(&self, addresses: &[IpAddr], namespace: &str) -> Vec<&Arc<Service>> {
        let mut hosts: BTreeSet<&Host> = self.selecting.get(namespace).into_iter().flatten().collect();
        hosts.extend(addresses.iter().filter_map(|address| self.by_address.get(address)).flatten());
        hosts.into_iter().filter_map(|host| self.by_host.get(host)).collect()
    }

    /// The host a name stands for.
    pub(crate) fn behind<'a>(&'a self, host: &'a Host) -> &'a Host {
        self.aliases.get(host).unwrap_or(host)
    }
}

/// Gathers every service. Of two that claim one host a Service comes before a ServiceEntry and the older
/// ServiceEntry before the younger.
pub(crate) fn gather(set: &ResourceSet, settings: &Settings, issues: &mut Vec<Issue>) -> Services {
    let mut services = BTreeMap::new();
    let platform = Platform::new(set);
    for service in set.services() {
        let service = of_service(service, &platform, settings);
        services.insert(service.host.clone(), Arc::new(service));
    }
    let mut entries: Vec<_> = set.service_entries().collect();
    entries.sort_by_key(|entry| crate::age(entry.meta()));
    for entry in entries {
        for (index, host) in entry.hosts.iter().enumerate() {
            if let Some(first) = services.get(host) {
                issues.push(taken(entry, index, host, first));
            } else {
                services.insert(host.clone(), Arc::new(of_entry(entry, host)));
            }
        }
    }
    let aliases = aliases(set, settings, &mut services);
    Services::new(services, aliases)
}

/// Makes services that only name another one into names of it.
fn aliases(
    set: &ResourceSet,
    settings: &Settings,
    services: &mut BTreeMap<Host, Arc<Service>>,
) -> BTreeMap<Host, Host> {
    let mut aliases = BTreeMap::new();
    for service in set.services() {
        let Some(name) = &service.external_name else { continue };
        let alias = host_of(service, settings);
        let named = Host::new(name);
        if services.get(&named).is_none_or(|behind| behind.is_alias()) {
            continue;
        }
        services.remove(&alias);
        if let Some(behind) = services.get_mut(&named) {
            Arc::make_mut(behind).aliases.push(alias.clone());
            aliases.insert(alias, named);
        }
    }
    aliases
}

fn host_of(service: &Valid<api::Service>, settings: &Settings) -> Host {
    let meta = service.meta();
    Host::new(&format!("{}.{}.svc.{}", meta.name, meta.namespace, settings.domain))
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
            "{host} already belongs to {}; this entry has no effect for it",
            first.origin.object()
        ),
    }
}

/// The workloads of the platform, by namespace.
struct Platform<'a> {
    entries: BTreeMap<&'a str, Vec<&'a Valid<WorkloadEntry>>>,
    slices: BTreeMap<(&'a str, &'a str), Vec<&'a Valid<api::EndpointSlice>>>,
}

impl<'a> Platform<'a> {
    fn new(set: &'a ResourceSet) -> Self {
        let mut platform = Self { entries: BTreeMap::new(), slices: BTreeMap::new() };
        for entry in set.workload_entries() {
            platform.entries.entry(&entry.meta().namespace).or_default().push(entry);
        }
        for slice in set.endpoint_slices() {
            if let Some(service) = &slice.service {
                platform.slices.entry((&slice.meta().namespace, service)).or_default().push(slice);
            }
        }
        platform
    }
}

fn of_service(service: &Valid<api::Service>, platform: &Platform<'_>, settings: &Settings) -> Service {
    let meta = service.meta();
    let host = host_of(service, settings);
    let ports: Vec<Port> = service
        .ports
        .iter()
        .map(|port| Port {
            number: port.number,
            name: port.name.clone(),
            protocol: port.protocol,
            target: port.target_port.clone(),
        })
        .collect();
    let selector = (!service.selector.0.is_empty()).then(|| service.selector.clone());
    let mut instances = Vec::new();
    // WorkloadEntries first: they carry labels, and of two instances with one address the first counts.
    if let Some(selector) = &selector {
        let entries = platform.entries.get(&*meta.namespace).into_iter().flatten();
        for entry in entries.filter(|entry| selector.selects(&entry.labels)) {
            instances.push(of_workload(entry, &entry.meta().name, &meta.namespace, &ports));
        }
    }
    for slice in platform.slices.get(&(&*meta.namespace, &*meta.name)).into_iter().flatten() {
        instances.extend(of_slice(slice, service, &ports));
    }
    let mut resolution = if service.headless { Resolution::Headless } else { Resolution::Known };
    if let (Exposure::ExternalName, Some(name)) = (service.exposure, &service.external_name) {
        resolution = Resolution::Dns;
        instances = vec![elsewhere(name, &ports)];
    }
    Service {
        name: ServiceName {
            host: host.as_str().to_owned(),
            name: meta.name.to_string(),
            namespace: meta.namespace.to_string(),
        },
        ports,
        resolution,
        is_external: service.exposure == Exposure::ExternalName,
        addresses: service.cluster_ips.iter().map(|ip| Network::single(*ip)).collect(),
        labels: meta.labels.clone(),
        selector,
        instances,
        aliases: Vec::new(),
        origin: service.origin(),
        host,
    }
}

fn of_entry(entry: &Valid<api::ServiceEntry>, host: &Host) -> Service {
    use api::service_entry::Resolution as Written;
    let meta = entry.meta();
    let ports: Vec<Port> = entry.ports.iter().map(port_of_entry).collect();
    let mut instances: Vec<Instance> = entry
        .endpoints
        .iter()
        .filter(|endpoint| !endpoint.address.is_empty())
        .map(|endpoint| of_workload(endpoint, &meta.name, &meta.namespace, &ports))
        .collect();
    let resolution = match entry.resolution {
        Written::Dns => Resolution::Dns,
        Written::DnsRoundRobin => Resolution::DnsRoundRobin,
        Written::None => Resolution::OfClient,
        Written::Static => Resolution::Known,
    };
    // Without endpoints it is the host itself that is resolved.
    if matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin)
        && instances.is_empty()
        && !host.is_wildcard()
    {
        instances.push(elsewhere(host.as_str(), &ports));
    }
    Service {
        host: host.clone(),
        name: ServiceName {
            host: host.as_str().to_owned(),
            name: host.as_str().to_owned(),
            namespace: meta.namespace.to_string(),
        },
        ports,
        resolution,
        is_external: entry.location == Location::External,
        addresses: entry.addresses.iter().filter_map(|address| Network::parse(address)).collect(),
        labels: meta.labels.clone(),
        selector: None,
        instances,
        aliases: Vec::new(),
        origin: entry.origin(),
    }
}

fn port_of_entry(port: &EntryPort) -> Port {
    Port {
        number: port.number,
        name: port.name.clone(),
        protocol: port.protocol,
        target: TargetPort::Number(port.target_port),
    }
}

/// A host outside, found by DNS.
fn elsewhere(host: &str, ports: &[Port]) -> Instance {
    Instance {
        address: host.to_owned(),
        ports: ports.iter().map(|port| (port.number, port.target_number())).collect(),
        labels: Labels::default(),
        weight: 1,
        locality: String::new(),
        workload: String::new(),
    }
}

fn of_workload(entry: &WorkloadEntry, name: &str, namespace: &str, ports: &[Port]) -> Instance {
    let port = |port: &Port| {
        let named = match &port.target {
            TargetPort::Name(name) => entry.ports.get(name),
            TargetPort::Number(_) => None,
        };
        entry.ports.get(&port.name).or(named).copied().unwrap_or(port.target_number())
    };
    Instance {
        address: entry.address.clone(),
        ports: ports.iter().map(|p| (p.number, port(p))).collect(),
        weight: entry.weight.max(1),
        locality: entry.locality.clone(),
        workload: workload_name(name, namespace, &entry.labels),
        labels: entry.labels.clone(),
    }
}

/// The endpoints of a slice. Of their labels only those are known by which the service selects them.
fn of_slice<'a>(
    slice: &'a api::EndpointSlice,
    service: &'a api::Service,
    ports: &'a [Port],
) -> impl Iterator<Item = Instance> + 'a {
    let numbers: BTreeMap<u16, u16> = ports
        .iter()
        .filter_map(|port| {
            let found = slice.ports.iter().find(|candidate| candidate.name == port.name)?;
            Some((port.number, found.number.unwrap_or(port.target_number())))
        })
        .collect();
    slice.endpoints.iter().filter(move |e| e.ready || service.publishes_not_ready).filter_map(
        move |endpoint| {
            let workload = endpoint
                .target
                .as_ref()
                .map(|target| workload_name(&target.name, &target.namespace, &service.selector));
            Some(Instance {
                address: endpoint.addresses.first()?.clone(),
                ports: numbers.clone(),
                labels: service.selector.clone(),
                weight: 1,
                locality: endpoint.zone.as_ref().map(|zone| format!("/{zone}")).unwrap_or_default(),
                workload: workload.unwrap_or_default(),
            })
        },
    )
}

/// Istio's `name;namespace;canonical name;canonical revision;cluster`.
fn workload_name(name: &str, namespace: &str, labels: &Labels) -> String {
    let first = |keys: [&str; 3]| keys.into_iter().find_map(|key| labels.value(key));
    let canonical =
        first(["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]).unwrap_or(name);
    let revision = first(["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"])
        .unwrap_or("latest");
    format!("{name};{namespace};{canonical};{revision};Kubernetes")
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
