//! One object of a conversion's output.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::yaml::emit_commented;
use base::Place;
use serde_json::Value;

/// A rule, or another document, that an object was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `RouteRule/default/reviews-default`.
    pub object: String,
    /// Where it begins.
    pub place: Place,
    /// The document as the user wrote it; of an item of a list, the list.
    pub text: Arc<str>,
}

/// One object: made of rules, or passed through as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The kind; empty where none can be told.
    pub kind: String,
    /// The namespace as written; None is the default one.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// What it was made of; empty where it was passed through.
    pub parts: Vec<Part>,
    body: Body,
}

#[derive(Clone, Debug, PartialEq)]
enum Body {
    Made { value: Value, comments: Comments },
    Passed(String),
}

/// Puts the comments that lead any of these documents at the head of the first.
pub(crate) fn lead(documents: &mut [Document]) {
    let mut lines = Vec::new();
    for document in documents.iter_mut() {
        if let Body::Made { comments, .. } = &mut document.body {
            lines.extend(comments.remove("").unwrap_or_default());
        }
    }
    if let Some(first) = documents.first_mut().filter(|_| !lines.is_empty()) {
        first.add_comments(&lines);
    }
}

/// Comment lines by the path of what they stand above; the empty path is the document's head.
pub(crate) type Comments = BTreeMap<String, Vec<String>>;

impl Document {
    /// A document whose value has `kind` and `metadata`.
    pub(crate) fn made(value: Value, comments: Comments, parts: Vec<Part>) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let meta = value.get("metadata");
        Self {
            kind: text(value.get("kind")).unwrap_or_default(),
            namespace: text(meta.and_then(|meta| meta.get("namespace"))),
            name: text(meta.and_then(|meta| meta.get("name"))).unwrap_or_default(),
            parts,
            body: Body::Made { value, comments },
        }
    }

    /// A document that stays as it is.
    pub(crate) fn passed(kind: String, namespace: Option<String>, name: String, text: String) -> Self {
        Self { kind, namespace, name, parts: Vec::new(), body: Body::Passed(text) }
    }

    /// Adds lines to the end of a document that was passed through, or to the head of one that was made.
    pub(crate) fn add_comments(&mut self, lines: &[String]) {
        match &mut self.body {
            Body::Made { comments, .. } => {
                comments.entry(String::new()).or_default().extend(lines.iter().cloned())
            }
            Body::Passed(text) => lines.iter().for_each(|line| {
                text.push_str(line);
                text.push('\n');
            }),
        }
    }

    /// Whether it stands as the user wrote it.
    pub fn is_passed_through(&self) -> bool {
        matches!(self.body, Body::Passed(_))
    }

    /// `VirtualService/default/reviews`.
    pub fn object(&self) -> String {
        format!("{}/{}/{}", self.kind, self.namespace.as_deref().unwrap_or("default"), self.name)
    }

    /// The object as a YAML document that ends with a line break, without a separator.
    pub fn to_yaml(&self) -> String {
        match &self.body {
            Body::Made { value, comments } => emit_commented(value, comments),
            Body::Passed(text) => text.clone(),
        }
    }

    /// The object as JSON; null where a document that was passed through is none.
    pub fn to_json(&self) -> Value {
        match &self.body {
            Body::Made { value, .. } => value.clone(),
            Body::Passed(text) => serde_saphyr::from_str(text).unwrap_or(Value::Null),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn any_text_reads_back(text in any::<String>(), key in "[ -~]{1,8}") {
            let value = json!({key.as_str(): [text]});

            let read: Value = serde_saphyr::from_str(&emit_commented(&value, &Comments::new())).unwrap();

            prop_assert_eq!(read, value);
        }
    }
}
