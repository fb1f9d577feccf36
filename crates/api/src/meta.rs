//! What every object says about itself under `metadata`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Labels;

use crate::check;
use crate::identity::Identity;
use crate::read::At;
use crate::schema::{self, Field, LABELS, Shape, ok};

/// An object's `metadata`, as far as a mesh reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The namespace; `default` where none is written.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// The labels.
    pub labels: Labels,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
    /// When the object was made (RFC 3339), where a server has written it.
    pub created: Option<String>,
}

const FIELDS: &[Field] = &[
    ok("name", Shape::Text),
    ok("namespace", Shape::Text),
    ok("labels", LABELS),
    ok("annotations", LABELS),
    ok("creationTimestamp", Shape::Any),
    ok("deletionGracePeriodSeconds", Shape::Any),
    ok("deletionTimestamp", Shape::Any),
    ok("finalizers", Shape::Any),
    ok("generateName", Shape::Any),
    ok("generation", Shape::Any),
    ok("managedFields", Shape::Any),
    ok("ownerReferences", Shape::Any),
    ok("resourceVersion", Shape::Any),
    ok("selfLink", Shape::Any),
    ok("uid", Shape::Any),
];

/// What kubectl notes for itself; it says nothing about the object.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Reads `metadata`; what is wrong goes to the log.
pub(crate) fn read(root: &At<'_>, identity: &Identity) -> Meta {
    let Some(at) = root.field("metadata") else {
        root.missing("metadata", "an object needs `metadata` with its name");
        return meta(identity);
    };
    schema::walk(&at, FIELDS);
    if identity.name.is_empty() {
        at.missing("name", "an object needs a name");
    } else if !check::is_subdomain(&identity.name) {
        let message = format!("{:?} is not a name: lower-case letters, digits, `-` and `.`", identity.name);
        at.field("name").unwrap_or(at.clone()).error("wrong-value", message);
    }
    if !check::is_label(&identity.namespace) {
        let message =
            format!("{:?} is not a namespace: lower-case letters, digits and `-`", identity.namespace);
        at.field("namespace").unwrap_or(at.clone()).error("wrong-value", message);
    }
    if let Some(labels) = at.field("labels") {
        check::labels(&labels);
    }
    if let Some(annotations) = at.field("annotations") {
        for entry in annotations.entries().filter(|e| !check::is_qualified_name(&e.name().to_lowercase())) {
            entry.error_at_key("wrong-value", format!("{:?} is not an annotation's name", entry.name()));
        }
    }
    let mut annotations = at.map("annotations");
    annotations.remove(LAST_APPLIED);
    Meta {
        labels: at.labels("labels"),
        annotations,
        created: at.text("creationTimestamp").map(str::to_owned),
        ..meta(identity)
    }
}

fn meta(identity: &Identity) -> Meta {
    Meta {
        namespace: identity.namespace.as_str().into(),
        name: identity.name.as_str().into(),
        labels: Labels::default(),
        annotations: BTreeMap::new(),
        created: None,
    }
}
