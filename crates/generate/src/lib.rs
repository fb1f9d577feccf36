//! Turns domain models drawn in MSA-Ez into services and routing: model files into a short document, and that
//! document into Kubernetes and Istio objects.
//!
//! Start at [`read`] (a file becomes a [`DomainModel`]) and [`generate`] (a model becomes objects); [`merge`] keeps
//! what a person changed in the objects when they are generated again.
//!
//! Never: runs a template a model names, opens a file, or panics on what it reads.

mod document;
mod file;
mod finding;
mod import;
mod loose;
mod merge;
mod mermaid;
mod model;
mod name;
mod object;
mod output;

use base::Issue;

pub use merge::{Conflict, Merged, merge};
pub use mermaid::mermaid;
pub use model::{
    Aggregate, Call, CallKind, Command, Context, DomainModel, Drawn, Event, External, Policy, ReadModel,
    Routing, Rule,
};
pub use name::encoded as request_path;
pub use object::Object;
pub use output::{Generated, Mode, Options, Topping, generate};

use finding::{Findings, WHOLE};

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The model; none where the file holds none.
    pub model: Option<DomainModel>,
    /// What is wrong with it, or can be read in more than one way.
    pub issues: Vec<Issue>,
    /// What was decided without anyone having to care.
    pub notes: Vec<Issue>,
}

/// Reads a model: a file of the drawing tool, in its older or newer shape, or the document of a [`DomainModel`].
///
/// ```
/// let file = br#"{"projectName": "shop", "elements": {"1": {
///     "_type": "org.uengine.modeling.model.BoundedContext", "name": "Order Desk"}}}"#;
///
/// let model = generate::read("shop.json", file).model.expect("a model");
///
/// assert_eq!((model.contexts[0].name.as_str(), model.contexts[0].title()), ("order-desk", "Order Desk"));
/// assert_eq!(generate::read("shop.yaml", model.to_yaml().as_bytes()).model, Some(model));
/// ```
pub fn read(file: &str, bytes: &[u8]) -> Read {
    let mut findings = Findings::of(file);
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let is_json = bytes.trim_ascii_start().starts_with(b"{");
    let model = if is_json {
        match is_document(bytes) {
            Some(document) => document::read(&document, &mut findings),
            None => file::read(bytes, &mut findings).map(|file| import::import(&file, &mut findings)),
        }
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) => document::read(text, &mut findings),
            Err(_) => {
                findings.error("not-utf8", WHOLE, "the file is not UTF-8; save it as UTF-8");
                None
            }
        }
    };
    let (issues, notes) = findings.into_lists();
    Read { model, issues, notes }
}

/// The YAML of a domain model written as JSON.
fn is_document(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Heading {
        kind: Option<String>,
    }
    let heading: Heading = serde_json::from_slice(bytes).ok()?;
    if heading.kind.as_deref() != Some(model::KIND) {
        return None;
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    Some(api::yaml::emit_commented(&value, &std::collections::BTreeMap::new()))
}

#[cfg(test)]
mod tests;
