//! One object that is generated.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::DomainModel;

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What it is.
    pub value: Value,
    /// Lines above it that say what it is there for, each with its `#`.
    pub comments: Vec<String>,
}

impl Object {
    /// An object without comments.
    pub(crate) fn new(value: Value) -> Self {
        Self { value, comments: Vec::new() }
    }

    /// The same with a line above it.
    pub(crate) fn said(mut self, line: &str) -> Self {
        self.comments.push(format!("# {line}"));
        self
    }

    /// The object as a YAML document that ends with a line break, without a separator.
    pub fn to_yaml(&self) -> String {
        let comments = BTreeMap::from([(String::new(), self.comments.clone())]);
        api::yaml::emit_commented(&self.value, &comments)
    }

    /// `VirtualService/default/order`.
    pub fn key(&self) -> String {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let meta = self.value.get("metadata");
        let of_meta = |field| text(meta.and_then(|meta| meta.get(field)));
        let kind = text(self.value.get("kind")).unwrap_or_default();
        let namespace = of_meta("namespace").unwrap_or_else(|| "default".into());
        format!("{kind}/{namespace}/{}", of_meta("name").unwrap_or_default())
    }
}

/// `metadata` of this name, in the model's namespace.
pub(crate) fn metadata(model: &DomainModel, name: &str) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert("name".into(), name.into());
    if let Some(namespace) = &model.namespace {
        meta.insert("namespace".into(), namespace.as_str().into());
    }
    meta
}
