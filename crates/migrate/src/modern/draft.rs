//! One object in the making.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::document::{Comments, Document, Part};
use crate::legacy::{Meta, Source};
use crate::read::Log;

const API_VERSION: &str = "networking.istio.io/v1";

/// An object in the making: what it is made of, its comments and what its metadata collects.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) parts: Vec<Part>,
    pub(crate) comments: Comments,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Draft {
    /// Takes a rule in: its labels and annotations, and its comments. Those about the rule go above `path`; those that
    /// led its file lead the document.
    pub(crate) fn take(&mut self, (meta, source): (&Meta, &Source), path: &str, log: &Log) {
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

    pub(crate) fn finish(self, kind: &str, (home, name): (Option<&str>, &str), spec: Value) -> Document {
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
