//! Objects as that converter's JSON had them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::document::{Comments, Document, Part};

/// An object with its keys in alphabetical order, as that converter's JSON had them.
pub(super) fn document(
    kind: &str,
    (namespace, name): (&str, &str),
    spec: Value,
    parts: Vec<Part>,
) -> Document {
    let value = json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": kind,
        "metadata": {"creationTimestamp": null, "name": name, "namespace": namespace},
        "spec": sorted(spec),
    });
    Document::made(value, Comments::new(), parts)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(map) => {
            let map: BTreeMap<String, Value> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(map.into_iter().collect())
        }
        other => other,
    }
}
