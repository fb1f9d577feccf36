//! What annotations say of a service, as its DestinationRule.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::location::Location;
use crate::document::Document;
use crate::legacy::Meta;
use crate::modern::{Draft, World};
use crate::read::Log;

/// The DestinationRule of a service; none where nothing is said of it.
pub(super) fn destination_rule(
    (namespace, service): (&str, &str),
    locations: &[&Location<'_>],
    (world, log): (&mut World, &Log),
) -> Option<Document> {
    let mut policy: BTreeMap<&str, Value> = BTreeMap::new();
    let mut draft = Draft::default();
    for location in locations {
        let source = &location.read.old.source;
        for (part, value) in &location.read.settings.policy {
            draft.take((&Meta::default(), &source.uncommented()), "", log);
            if policy.entry(part).or_insert_with(|| value.clone()) != value {
                let message = format!(
                    "another Ingress says something else of {service}'s {part}, which is kept; this one is not"
                );
                source.warn(log, "not-kept", "metadata.annotations", message);
            }
        }
    }
    for (part, value) in &policy {
        let lacks = |location: &&&Location<'_>| !location.read.settings.policy.contains_key(part);
        if let Some(other) = locations.iter().find(lacks) {
            let message = format!(
                "{service}'s {part} becomes {value}: another path to it says so, and it holds for all of them"
            );
            other.read.old.source.warn(log, "changed", &other.backend.field, message);
        }
    }
    let first = locations.first().filter(|_| !policy.is_empty())?;
    let name = world.name("DestinationRule", namespace, service);
    let spec = json!({"host": service, "trafficPolicy": policy});
    Some(draft.finish("DestinationRule", (first.read.old.meta.namespace.as_deref(), &name), spec))
}
