//! The fields of a DestinationRule, and from a document to a [`DestinationRule`].

use std::collections::BTreeSet;

use base::Labels;

use super::policy::{self, FIELDS as POLICY};
use super::{DestinationRule, Subset, TrafficPolicy};
use crate::read::At;
use crate::schema::{Field, LABELS, Shape, TEXTS, ok};
use crate::{check, export};

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("host", Shape::Text),
    ok("trafficPolicy", Shape::Object(POLICY)),
    ok(
        "subsets",
        Shape::List(&Shape::Object(&[
            ok("name", Shape::Text),
            ok("labels", LABELS),
            ok("trafficPolicy", Shape::Object(POLICY)),
        ])),
    ),
    ok("exportTo", TEXTS),
    ok("workloadSelector", Shape::Object(&[ok("matchLabels", LABELS)])),
];

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> DestinationRule {
    let host = spec.text("host").unwrap_or_default();
    if host.is_empty() {
        spec.missing("host", "a DestinationRule needs a host");
    } else if let Some(message) = check::wildcard_host_error(host)
        && let Some(field) = spec.field("host")
    {
        field.error("wrong-value", message);
    }
    let mut seen = BTreeSet::new();
    let mut subsets = Vec::new();
    for item in spec.list("subsets") {
        let subset = subset(&item);
        if !subset.name.is_empty() && !seen.insert(subset.name.clone()) {
            item.error("duplicate-value", format!("the subset {:?} stands twice", subset.name));
        }
        subsets.push(subset);
    }
    DestinationRule {
        host: host.into(),
        traffic_policy: traffic_policy(spec),
        subsets,
        workload_selector: workload_selector(spec),
        export_to: export::read(spec, false),
    }
}

/// A rule for chosen workloads is of one namespace: labels mean nothing in another.
fn workload_selector(spec: &At<'_>) -> Option<Labels> {
    let selector = spec.field("workloadSelector")?;
    if let Some(labels) = selector.field("matchLabels") {
        check::selector(&labels);
    }
    if let Some(export) = spec.field("exportTo") {
        let own = spec.context.namespace;
        let words: Vec<String> = spec.texts("exportTo");
        if words.iter().any(|word| word != "." && word != own) {
            export.error("conflict", "with `workloadSelector` a rule is for its own namespace: write `.`");
        }
    }
    Some(selector.labels("matchLabels")).filter(|labels| !labels.0.is_empty())
}

fn subset(at: &At<'_>) -> Subset {
    let name = at.text("name").unwrap_or_default();
    if name.is_empty() {
        at.missing("name", "a subset needs a name");
    } else if !check::is_label(name) {
        at.error("wrong-value", "a subset's name is made of lower-case letters, digits and dashes");
    }
    if let Some(labels) = at.field("labels") {
        check::labels(&labels);
    }
    Subset { name: name.into(), labels: at.labels("labels"), traffic_policy: traffic_policy(at) }
}

fn traffic_policy(parent: &At<'_>) -> TrafficPolicy {
    parent.field("trafficPolicy").map(|field| policy::read(&field)).unwrap_or_default()
}
