//! `exportTo`: which namespaces see an object.

use std::collections::BTreeSet;

use crate::check;
use crate::read::At;

/// The namespaces that see an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportTo {
    /// Every namespace.
    All,
    /// These; the object's own `.` has been replaced by its name, and `~` is no namespace at all.
    Namespaces(BTreeSet<String>),
}

impl ExportTo {
    /// Understands the words of `exportTo` of an object in `namespace`; None where there are none and the mesh's
    /// default holds.
    ///
    /// ```
    /// use api::ExportTo;
    ///
    /// let export = ExportTo::of([".", "b"], "a");
    ///
    /// assert!(export.is_some_and(|export| export.includes("a") && export.includes("b") && !export.includes("c")));
    /// assert_eq!(ExportTo::of([], "a"), None);
    /// ```
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>, namespace: &str) -> Option<Self> {
        let words: BTreeSet<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return None;
        }
        if words.contains("*") {
            return Some(Self::All);
        }
        let named = words.into_iter().filter(|word| *word != "~");
        Some(Self::Namespaces(
            named.map(|word| if word == "." { namespace } else { word }.to_owned()).collect(),
        ))
    }

    /// Whether objects of this namespace, and proxies in it, see the object.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(all) => all.contains(namespace),
        }
    }
}

/// Reads `exportTo`; `may_be_none` is whether `~` is allowed.
pub(crate) fn read(spec: &At<'_>, may_be_none: bool) -> Option<ExportTo> {
    let items = spec.list("exportTo");
    let own = spec.context.namespace;
    let mut seen = BTreeSet::new();
    for item in &items {
        let Some(word) = item.node.text() else { continue };
        if word == "~" && !may_be_none {
            item.error("wrong-value", "`~` (no namespace) is for ServiceEntries only");
        } else if !matches!(word, "*" | "." | "~") && !check::is_label(word) {
            item.error("wrong-value", format!("{word:?} is not a namespace; write a name, `.` or `*`"));
        } else if !seen.insert(if word == "." { own } else { word }) {
            item.error("duplicate-value", format!("the namespace {word:?} stands twice"));
        }
    }
    if seen.len() > 1
        && let Some(word) = ["*", "~"].iter().find(|word| seen.contains(**word))
        && let Some(field) = spec.field("exportTo")
    {
        field.error("conflict", format!("`{word}` stands alone or not at all"));
    }
    ExportTo::of(seen, own)
}
