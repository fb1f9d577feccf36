//! What stands beside the rules: services that tell what a caller's labels are, objects of today for the same hosts,
//! and the names that are taken.

use std::collections::{BTreeMap, BTreeSet};

use api::Resource;

use super::host::Host;
use crate::document::{Document, Part};
use crate::input::Item;
use crate::legacy::{Service, Source};

/// What is known besides the rules, and the subsets that routes have asked for.
pub(crate) struct World {
    /// Selectors and named ports of the services given, by namespace and name.
    services: BTreeMap<(String, String), KnownService>,
    /// Objects given that are about a host already, by kind and full name.
    present: BTreeMap<(&'static str, String), String>,
    taken: BTreeSet<(String, String, String)>,
    subsets: BTreeMap<String, Vec<Subset>>,
}

struct KnownService {
    selector: BTreeMap<String, String>,
    ports: BTreeMap<String, u16>,
}

/// A part of a host's workloads.
#[derive(Clone, Debug)]
pub(super) struct Subset {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Whether a DestinationRule among the input defines it.
    pub(super) is_present: bool,
    /// The rules that name it.
    pub(super) parts: Vec<Part>,
}

/// The labels and the namespace that tell a caller.
pub(super) struct Caller {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) namespace: Option<String>,
    /// The label that stands for the service's name, where no Service says what its selector is.
    pub(super) assumed: Option<String>,
}

impl World {
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut world = Self {
            services: BTreeMap::new(),
            present: BTreeMap::new(),
            taken: BTreeSet::new(),
            subsets: BTreeMap::new(),
        };
        for item in items {
            if let Item::Other(document) = item {
                world.add(document);
            }
        }
        world
    }

    fn add(&mut self, document: &Document) {
        let namespace = document.namespace.as_deref().unwrap_or("default");
        self.taken.insert((document.kind.clone(), namespace.into(), document.name.clone()));
        let is_told = matches!(document.kind.as_str(), "DestinationRule" | "Service" | "VirtualService");
        if !is_told {
            return;
        }
        for resource in api::parse("", document.to_yaml().as_bytes()).resources {
            let full = |host: &str| base::Host::resolve(host, namespace, "cluster.local").as_str().to_owned();
            match resource {
                Resource::DestinationRule(rule) => {
                    let host = full(&rule.host);
                    let subsets = rule.subsets.iter().map(|subset| Subset {
                        name: subset.name.clone(),
                        labels: subset.labels.0.clone(),
                        is_present: true,
                        parts: Vec::new(),
                    });
                    self.subsets.entry(host.clone()).or_default().extend(subsets);
                    self.present.insert(("DestinationRule", host), rule.key().to_string());
                }
                Resource::VirtualService(service) => {
                    for host in &service.hosts {
                        self.present.insert(("VirtualService", full(host)), service.key().to_string());
                    }
                }
                Resource::Service(service) => {
                    let ports = service.ports.iter().map(|port| (port.name.clone(), port.number)).collect();
                    let known = KnownService { selector: service.selector.0.clone(), ports };
                    self.services.insert((namespace.into(), document.name.clone()), known);
                }
                _ => {}
            }
        }
    }

    /// The object given that is about this host already.
    pub(super) fn present(&self, kind: &'static str, host: &Host) -> Option<&str> {
        self.present.get(&(kind, host.full.clone())).map(String::as_str)
    }

    /// A name no object of this kind has yet in this namespace.
    pub(crate) fn name(&mut self, kind: &str, namespace: &str, wanted: &str) -> String {
        let mut number = 1u32;
        loop {
            let name = if number == 1 { wanted.to_owned() } else { format!("{wanted}-{number}") };
            if self.taken.insert((kind.into(), namespace.into(), name.clone())) {
                return name;
            }
            number = number.saturating_add(1);
        }
    }

    /// The name of the subset of a host that has these labels, which a rule asks for.
    pub(super) fn subset(
        &mut self,
        host: &Host,
        labels: &BTreeMap<String, String>,
        asker: &Source,
    ) -> String {
        let part = asker.part();
        let subsets = self.subsets.entry(host.full.clone()).or_default();
        if let Some(known) = subsets.iter_mut().find(|subset| subset.labels == *labels) {
            if known.parts.last() != Some(&part) {
                known.parts.push(part);
            }
            return known.name.clone();
        }
        let wanted = subset_name(labels);
        let names = |number: usize| if number == 1 { wanted.clone() } else { format!("{wanted}-{number}") };
        let is_free = |name: &String| subsets.iter().all(|subset| subset.name != *name);
        // One more name than there are subsets is always enough.
        let name = (1..=subsets.len().saturating_add(1)).map(names).find(is_free).unwrap_or(wanted.clone());
        subsets.push(Subset {
            name: name.clone(),
            labels: labels.clone(),
            is_present: false,
            parts: vec![part],
        });
        name
    }

    /// All subsets of a host so far.
    pub(super) fn subsets(&self, host: &Host) -> &[Subset] {
        self.subsets.get(&host.full).map(Vec::as_slice).unwrap_or_default()
    }

    /// The number of a service's named port.
    pub(crate) fn port(&self, namespace: &str, service: &str, port: &str) -> Option<u16> {
        self.services.get(&(namespace.into(), service.into()))?.ports.get(port).copied()
    }

    /// The labels and the namespace of a service's workloads.
    pub(super) fn caller(&self, source: &Service, namespace: &str) -> Caller {
        let mut caller = Caller { labels: source.labels.clone(), namespace: None, assumed: None };
        if source.is_nameless() {
            caller.namespace = Some(source.namespace.clone()).filter(|namespace| !namespace.is_empty());
            return caller;
        }
        let host = Host::of(source, namespace);
        let name = host.full.split('.').next().unwrap_or_default().to_owned();
        caller.namespace.clone_from(&host.namespace);
        let known = host.namespace.and_then(|namespace| self.services.get(&(namespace, name.clone())));
        let by_name = BTreeMap::from([("app".to_owned(), name.clone())]);
        let selector = match known.filter(|service| !service.selector.is_empty()) {
            Some(service) => &service.selector,
            None => {
                caller.assumed = (!caller.labels.contains_key("app")).then(|| format!("app: {name}"));
                &by_name
            }
        };
        for (key, value) in selector {
            caller.labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        caller
    }
}

/// `v1` for `version: v1`; else keys and values joined by dashes.
fn subset_name(labels: &BTreeMap<String, String>) -> String {
    let version = labels.get("version").filter(|_| labels.len() == 1);
    let text = match version {
        Some(version) => version.clone(),
        None => labels.iter().map(|(key, value)| format!("{key}-{value}")).collect::<Vec<_>>().join("-"),
    };
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(keep).take(55).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "subset".into() } else { name.into() }
}
