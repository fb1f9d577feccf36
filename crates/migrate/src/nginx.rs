//! Ingresses written for ingress-nginx as Gateway, VirtualServices and DestinationRules: what its annotations make
//! nginx do is said in fields.
//!
//! An annotation that keeps someone out and has no field to say it in is an error, and its Ingress is not converted: it
//! would stand open otherwise.

mod annotation;
mod entrance;
mod location;
mod pattern;
mod policy;
mod route;
mod settings;

use std::collections::BTreeMap;

use crate::document::Document;
use crate::input::Item;
use crate::legacy::Legacy;
use crate::modern::{World, check};
use crate::read::Log;

pub use annotation::{Annotation, Handling, annotations};
use location::Location;
use settings::Read;

/// Converts everything.
pub(crate) fn convert(items: &[Item], log: &Log) -> Vec<Document> {
    let mut world = World::of(items);
    let read = items.iter().filter_map(|item| match item {
        Item::Legacy(Legacy::Ingress(old)) => settings::read(old, log),
        _ => None,
    });
    let (canaries, mains): (Vec<Read<'_>>, Vec<Read<'_>>) =
        read.partition(|read| read.settings.canary.is_some());
    let mut made = objects(&mains, &canaries, (&mut world, log));
    let mut documents = Vec::new();
    for item in items {
        match item {
            Item::Other(document) => documents.push(document.clone()),
            // All are made at the place of the first.
            Item::Legacy(_) => documents.append(&mut made),
        }
    }
    for document in documents.iter().filter(|document| !document.is_passed_through()) {
        check(document, log);
    }
    documents
}

fn objects(mains: &[Read<'_>], canaries: &[Read<'_>], (world, log): (&mut World, &Log)) -> Vec<Document> {
    let sites = location::sites(mains, canaries, log);
    let Some(first) = mains.first() else { return Vec::new() };
    let home = first.old.meta.namespace();
    let gateway = world.name("Gateway", home, "ingress");
    let mut documents = vec![entrance::gateway(mains, &gateway, log)];
    let mut services: BTreeMap<(&str, &str), Vec<&Location<'_>>> = BTreeMap::new();
    for site in &sites {
        let own = if site.namespace == home { gateway.clone() } else { format!("{home}/{gateway}") };
        documents.extend(entrance::virtual_services(site, &own, (world, log)));
        for location in site.locations.iter().filter(|location| !location.read.settings.is_passed_through) {
            services.entry((site.namespace, &location.backend.service)).or_default().push(location);
        }
    }
    for (service, locations) in &services {
        documents.extend(policy::destination_rule(*service, locations, (world, log)));
    }
    documents
}
