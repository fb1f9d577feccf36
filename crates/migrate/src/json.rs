//! Pieces of objects that both ways of conversion write alike.

use serde_json::{Map, Value, json};

use crate::legacy::Text;

/// A map of the fields that have a value.
pub(crate) fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<Map<_, _>>()
        .into()
}

/// Whether a header's name stands for a part of the request that is no header.
pub(crate) fn is_pseudo(name: &str) -> bool {
    matches!(name, "authority" | "method" | "scheme" | "uri")
}

/// A condition on text, which both APIs write alike.
pub(crate) fn text_match(text: &Text) -> Value {
    match text {
        Text::Exact(text) => json!({"exact": text}),
        Text::Prefix(text) => json!({"prefix": text}),
        Text::Regex(text) => json!({"regex": text}),
    }
}

/// Text that is there.
pub(crate) fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| text.into())
}

/// Texts, if there are any.
pub(crate) fn texts(texts: &[String]) -> Option<Value> {
    (!texts.is_empty()).then(|| json!(texts))
}
