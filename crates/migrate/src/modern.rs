//! Output that does what the old rules did: `networking.istio.io/v1`, one VirtualService and one DestinationRule per
//! host, where the first rule of the host stood.

mod balance;
mod egress;
mod host;
mod ingress;
mod route;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use base::{Issue, Severity};
use serde_json::{Map, Value, json};

use crate::document::{self, Comments, Document, Part};
use crate::input::Item;
use crate::legacy::{Legacy, Meta, Old, Policy, RouteRule, Source, by_precedence};
use crate::read::Log;

pub(crate) use host::Host;
use world::World;

const API_VERSION: &str = "networking.istio.io/v1";

/// Converts everything.
pub(crate) fn convert(items: &[Item], log: &Log) -> Vec<Document> {
    let mut world = World::of(items);
    let groups = groups(items);
    let ingresses: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Legacy(Legacy::Ingress(old)) => Some(old),
            _ => None,
        })
        .collect();
    // Routes are made first: they say which subsets there must be.
    let services: BTreeMap<&str, Option<Document>> = groups
        .iter()
        .map(|group| (group.host.full.as_str(), route::virtual_service(group, &mut world, log)))
        .collect();
    let mut unwritten: BTreeMap<&str, &Group<'_>> =
        groups.iter().map(|group| (group.host.full.as_str(), group)).collect();
    let mut documents = Vec::new();
    let mut has_ingress = false;
    for item in items {
        match item {
            Item::Other(document) => documents.push(document.clone()),
            Item::Legacy(Legacy::Egress(old)) => documents.extend(egress::convert(old, &mut world, log)),
            Item::Legacy(Legacy::Ingress(_)) => {
                if !std::mem::replace(&mut has_ingress, true) {
                    documents.extend(ingress::convert(&ingresses, &groups, &mut world, log));
                }
            }
            Item::Legacy(legacy) => {
                for host in hosts_of(legacy) {
                    let Some(group) = unwritten.remove(host.full.as_str()) else { continue };
                    // Subsets before the routes that name them, so that applying in order never breaks a call.
                    let mut own = balance::destination_rules(group, &mut world, log);
                    own.extend(services.get(host.full.as_str()).into_iter().flatten().cloned());
                    document::lead(&mut own);
                    documents.append(&mut own);
                }
            }
        }
    }
    for document in documents.iter().filter(|document| !document.is_passed_through()) {
        check(document, log);
    }
    documents
}

/// Says of an object what today's rules have against it, where the rule stands that it was made of.
fn check(document: &Document, log: &Log) {
    let value = document.to_json();
    for issue in api::parse("", document.to_yaml().as_bytes()).issues {
        if issue.severity == Severity::Error {
            // A field this version refuses on purpose is right all the same, and may be accepted by another.
            let is_refused = issue.code == "refused-field";
            let Some(part) = culprit(document, &value, &issue.path) else { continue };
            log.note(Issue {
                severity: if is_refused { Severity::Warning } else { Severity::Error },
                code: issue.code,
                place: part.place.clone(),
                object: part.object.clone(),
                path: String::new(),
                message: format!("it becomes {}, whose {}: {}", document.object(), issue.path, issue.message),
            });
        }
    }
}

/// The rule that a path of an object was made of: routes bear its name.
fn culprit<'d>(document: &'d Document, value: &Value, path: &str) -> Option<&'d Part> {
    let route = path.strip_prefix("spec.http[").and_then(|rest| rest.split_once(']'));
    let route = route.and_then(|(index, _)| value["spec"]["http"].get(index.parse::<usize>().ok()?));
    let name = route.and_then(|route| route["name"].as_str());
    let is_named = |part: &&Part| name.is_some_and(|name| part.object.rsplit('/').next() == Some(name));
    document.parts.iter().find(is_named).or_else(|| document.parts.first())
}

/// Everything the old rules say about one host.
struct Group<'i> {
    host: Host,
    /// The namespace its objects go to; None is the default one, unwritten.
    home: Option<String>,
    /// In the order they were looked at.
    rules: Vec<&'i Old<RouteRule>>,
    policies: Vec<&'i Old<Policy>>,
}

impl Group<'_> {
    fn namespace(&self) -> &str {
        self.home.as_deref().unwrap_or("default")
    }
}

/// Groups by host, in the order hosts are first named.
fn groups(items: &[Item]) -> Vec<Group<'_>> {
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
fn hosts_of(legacy: &Legacy) -> Vec<Host> {
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

/// An object in the making: what it is made of, its comments and what its metadata collects.
#[derive(Default)]
struct Draft {
    parts: Vec<Part>,
    comments: Comments,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Draft {
    /// Takes a rule in: its labels and annotations, and its comments. Those about the rule go above `path`; those that
    /// led its file lead the document.
    fn take(&mut self, (meta, source): (&Meta, &Source), path: &str, log: &Log) {
        self.parts.push(source.part());
        let kinds = [
            ("labels", &mut self.labels, &meta.labels),
            ("annotations", &mut self.annotations, &meta.annotations),
        ];
        for (field, all, own) in kinds {
            for (key, value) in own {
                if all.entry(key.clone()).or_insert_with(|| value.clone()) != value {
                    let path = format!("metadata.{field}");
                    let message = format!(
                        "another rule of this host gives {key:?} another value, which is kept; this one is not"
                    );
                    source.warn(log, "not-kept", &path, message);
                }
            }
        }
        for (path, lines) in [("", &source.head), (path, &source.body)] {
            if !lines.is_empty() {
                self.comments.entry(path.to_owned()).or_default().extend(lines.iter().cloned());
            }
        }
    }

    fn finish(self, kind: &str, (home, name): (Option<&str>, &str), spec: Value) -> Document {
        let mut meta = Map::new();
        meta.insert("name".into(), name.into());
        if let Some(namespace) = home {
            meta.insert("namespace".into(), namespace.into());
        }
        for (field, map) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !map.is_empty() {
                meta.insert(field.into(), json!(map));
            }
        }
        let value = json!({"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec});
        let (mut parts, mut seen) = (self.parts, BTreeSet::new());
        parts.retain(|part| seen.insert(part.object.clone()));
        Document::made(value, self.comments, parts)
    }
}
