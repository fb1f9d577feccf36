//! Output that does what the old rules did: `networking.istio.io/v1`, one VirtualService and one DestinationRule per
//! host, where the first rule of the host stood.

mod balance;
mod draft;
mod egress;
mod group;
mod host;
mod ingress;
mod route;
mod world;

use std::collections::BTreeMap;

use base::{Issue, Severity};
use serde_json::Value;

use crate::document::{self, Document, Part};
use crate::input::Item;
use crate::legacy::Legacy;
use crate::read::Log;

pub(crate) use draft::Draft;
use group::{Group, groups, hosts_of};
pub(crate) use host::{Host, legal_name};
pub(crate) use world::World;

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
pub(crate) fn check(document: &Document, log: &Log) {
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
