//! Workloads: the programs behind services, told by WorkloadEntries, EndpointSlices and Pods.

use std::collections::BTreeMap;

use api::service::TargetPort;
use api::{Pod, ResourceSet, Valid, WorkloadEntry};
use base::Labels;

use crate::labelled::Labelled;
use crate::locality;
use crate::port::Port;

/// A workload behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) address: String,
    /// Its own port, by the service's port.
    pub(crate) ports: BTreeMap<u16, u16>,
    /// Its labels, with those that Istio adds for its locality and network.
    pub(crate) labels: Labels,
    pub(crate) weight: u32,
    pub(crate) locality: String,
    pub(crate) workload: String,
    /// The node it runs on, empty where unknown.
    pub(crate) node: String,
    /// Whether it only keeps the sessions it has.
    pub(crate) drains: bool,
    /// Whether it takes the mesh's own TLS.
    pub(crate) is_secured: bool,
}

/// The Pods of a namespace.
#[derive(Default)]
struct Pods<'a> {
    by_name: BTreeMap<&'a str, &'a Valid<Pod>>,
    labelled: Labelled<'a, &'a Valid<Pod>>,
}

/// Istio's label of what a workload's sidecar takes.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// The workloads of the platform, by namespace.
pub(crate) struct Platform<'a> {
    entries: BTreeMap<&'a str, Labelled<'a, &'a Valid<WorkloadEntry>>>,
    slices: BTreeMap<(&'a str, &'a str), Vec<&'a Valid<api::EndpointSlice>>>,
    pods: BTreeMap<&'a str, Pods<'a>>,
}

impl<'a> Platform<'a> {
    pub(crate) fn new(set: &'a ResourceSet) -> Self {
        let mut platform = Self { entries: BTreeMap::new(), slices: BTreeMap::new(), pods: BTreeMap::new() };
        for entry in set.workload_entries() {
            platform.entries.entry(&entry.meta().namespace).or_default().add(&entry.labels, entry);
        }
        for slice in set.endpoint_slices() {
            if let Some(service) = &slice.service {
                platform.slices.entry((&slice.meta().namespace, service)).or_default().push(slice);
            }
        }
        for pod in set.pods() {
            let meta = pod.meta();
            let pods = platform.pods.entry(&meta.namespace).or_default();
            pods.by_name.insert(&meta.name, pod);
            pods.labelled.add(&meta.labels, pod);
        }
        platform
    }

    /// The WorkloadEntries of a namespace that have these labels.
    pub(crate) fn entries(
        &self,
        namespace: &str,
        selector: &Labels,
        ports: &[Port],
    ) -> impl Iterator<Item = Instance> {
        let entries = self.entries.get(namespace).into_iter().flat_map(|all| all.selected(selector));
        entries.map(|entry| of_entry(entry, &entry.meta().name, namespace, ports))
    }

    /// The Pods of a namespace that have these labels and take traffic.
    pub(crate) fn pods(
        &self,
        namespace: &str,
        selector: &Labels,
        ports: &[Port],
    ) -> impl Iterator<Item = Instance> {
        let pods = self.pods.get(namespace).into_iter().flat_map(|all| all.labelled.selected(selector));
        pods.filter(|pod| pod.ready).filter_map(|pod| {
            let port = |port: &Port| {
                let named = match &port.target {
                    TargetPort::Name(name) => pod.ports.get(name),
                    TargetPort::Number(_) => None,
                };
                named.copied().unwrap_or(port.target_number())
            };
            let numbers = ports.iter().map(|p| (p.number, port(p))).collect();
            Some(of_pod(pod, pod.addresses.first()?, numbers))
        })
    }

    /// The endpoints that slices tell of a Service. A Pod behind one says more of it; without, only those labels
    /// are known by which the Service selects.
    pub(crate) fn endpoints(&self, service: &Valid<api::Service>, ports: &[Port]) -> Vec<Instance> {
        let meta = service.meta();
        let keeps_sessions = crate::session::of_labels(&meta.labels).is_some();
        let mut instances = Vec::new();
        for slice in self.slices.get(&(&*meta.namespace, &*meta.name)).into_iter().flatten() {
            let numbers = numbers(slice, ports);
            for endpoint in &slice.endpoints {
                let drains = !endpoint.ready && endpoint.serving && endpoint.terminating && keeps_sessions;
                let Some(address) = endpoint.addresses.first() else { continue };
                if !(endpoint.ready || drains || service.publishes_not_ready) {
                    continue;
                }
                let target = endpoint.target.as_ref().filter(|target| is_pod_of(target, &meta.namespace));
                let pod = target.and_then(|target| self.pod(&meta.namespace, &target.name));
                let mut instance = match pod {
                    Some(pod) => of_pod(pod, address, numbers.clone()),
                    None => {
                        let name = target.map_or("", |target| target.name.as_str());
                        unknown(address, name, service, numbers.clone())
                    }
                };
                if instance.locality.is_empty() {
                    instance.locality = endpoint.zone.as_ref().map(|z| format!("/{z}")).unwrap_or_default();
                }
                if let Some(node) = &endpoint.node_name {
                    instance.node.clone_from(node);
                }
                instance.drains = drains;
                instances.push(instance.placed());
            }
        }
        instances
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<&'a Valid<Pod>> {
        self.pods.get(namespace)?.by_name.get(name).copied()
    }
}

/// Whether an endpoint is said to be a Pod of this namespace, which goes without saying.
fn is_pod_of(target: &api::endpoint_slice::Target, namespace: &str) -> bool {
    matches!(&*target.kind, "" | "Pod") && (target.namespace.is_empty() || target.namespace == namespace)
}

impl Instance {
    /// A host outside, found by DNS.
    pub(crate) fn elsewhere(host: &str, ports: &[Port]) -> Self {
        Self {
            address: host.to_owned(),
            ports: ports.iter().map(|port| (port.number, port.target_number())).collect(),
            labels: Labels::default(),
            weight: 1,
            locality: String::new(),
            workload: String::new(),
            node: String::new(),
            drains: false,
            is_secured: false,
        }
    }

    /// Whether it is reached by a Unix socket, which has no port.
    pub(crate) fn is_pipe(&self) -> bool {
        is_pipe(&self.address)
    }

    /// Adds the labels that tell where it is, as Istio does, so that rules can name them.
    fn placed(mut self) -> Self {
        let keys = [locality::REGION, locality::ZONE, locality::SUBZONE];
        for (key, part) in keys.into_iter().zip(self.locality.split('/')) {
            if !part.is_empty() {
                self.labels.0.entry(key.to_owned()).or_insert_with(|| part.to_owned());
            }
        }
        if !self.node.is_empty() {
            self.labels.0.entry(locality::NODE.to_owned()).or_insert_with(|| self.node.clone());
        }
        self
    }
}

fn is_pipe(address: &str) -> bool {
    address.starts_with("unix://")
}

/// A workload outside the platform, or an endpoint of a ServiceEntry.
pub(crate) fn of_entry(entry: &WorkloadEntry, name: &str, namespace: &str, ports: &[Port]) -> Instance {
    let port = |port: &Port| {
        let named = match &port.target {
            TargetPort::Name(name) => entry.ports.get(name),
            TargetPort::Number(_) => None,
        };
        entry.ports.get(&port.name).or(named).copied().unwrap_or(port.target_number())
    };
    let mut labels = entry.labels.clone();
    if !entry.network.is_empty() {
        labels.0.entry(locality::NETWORK.to_owned()).or_insert_with(|| entry.network.clone());
    }
    let written = Some(&entry.locality).filter(|locality| !locality.is_empty()).cloned();
    Instance {
        address: entry.address.clone(),
        ports: ports.iter().map(|p| (p.number, if is_pipe(&entry.address) { 0 } else { port(p) })).collect(),
        weight: entry.weight.max(1),
        locality: written.or_else(|| locality::of_labels(&entry.labels)).unwrap_or_default(),
        workload: workload_name(name, namespace, &entry.labels),
        is_secured: match entry.labels.value(TLS_MODE) {
            Some(mode) => mode == "istio",
            None => !entry.service_account.is_empty(),
        },
        labels,
        node: String::new(),
        drains: false,
    }
    .placed()
}

fn of_pod(pod: &Valid<Pod>, address: &str, ports: BTreeMap<u16, u16>) -> Instance {
    let meta = pod.meta();
    Instance {
        address: address.to_owned(),
        ports,
        weight: 1,
        locality: locality::of_labels(&meta.labels).unwrap_or_default(),
        workload: workload_name(owner(&meta.name, &meta.labels), &meta.namespace, &meta.labels),
        labels: meta.labels.clone(),
        node: pod.node_name.clone().unwrap_or_default(),
        drains: false,
        is_secured: meta.labels.value(TLS_MODE) == Some("istio"),
    }
    .placed()
}

/// The Deployment of a Pod, told by the hash that stands in the Pod's name; else the Pod itself.
fn owner<'a>(pod: &'a str, labels: &Labels) -> &'a str {
    let hash = labels.value("pod-template-hash").filter(|hash| !hash.is_empty());
    let split = hash.and_then(|hash| pod.rsplit_once('-')?.0.strip_suffix(hash)?.strip_suffix('-'));
    split.unwrap_or(pod)
}

/// An endpoint of which a slice alone tells.
fn unknown(address: &str, name: &str, service: &Valid<api::Service>, ports: BTreeMap<u16, u16>) -> Instance {
    let workload = if name.is_empty() {
        String::new()
    } else {
        workload_name(name, &service.meta().namespace, &service.selector)
    };
    Instance { labels: service.selector.clone(), workload, ports, ..Instance::elsewhere(address, &[]) }
}

/// The workloads' ports by the Service's.
fn numbers(slice: &api::EndpointSlice, ports: &[Port]) -> BTreeMap<u16, u16> {
    let number = |port: &Port| {
        let found = slice.ports.iter().find(|candidate| candidate.name == port.name)?;
        Some((port.number, found.number.unwrap_or(port.target_number())))
    };
    ports.iter().filter_map(number).collect()
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
