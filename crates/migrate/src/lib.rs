//! Turns the routing rules of before v1alpha3 into the objects of today: RouteRule, DestinationPolicy, EgressRule and
//! Ingress become VirtualService, DestinationRule, ServiceEntry and Gateway.
//!
//! Start at [`convert`]; [`old`] says what the old rules did with a request, so that someone who can simulate the
//! new ones can compare.
//!
//! Never: lets a rule, a field or a comment disappear without an issue that names it, opens a file, or panics on
//! what it reads.

mod compat;
mod document;
mod field;
mod input;
mod json;
mod legacy;
mod modern;
mod nginx;
pub mod old;
mod read;

use std::sync::Arc;

use base::Issue;

pub use document::{Document, Part};
pub use nginx::{Annotation, Handling, annotations};

use legacy::Dialect;
use read::Log;

/// How to convert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As the official converter did, its losses included; each loss is reported.
    Compat,
    /// So that the new objects do what the old ones did.
    #[default]
    Modern,
    /// Ingresses written for ingress-nginx, so that the new objects do what nginx did; nothing else is converted.
    NginxIngress,
}

/// What a conversion gives.
#[derive(Clone, Debug, Default)]
pub struct Converted {
    /// The objects, in the order of the rules they come from; what is of no old kind stands among them unchanged.
    pub documents: Vec<Document>,
    /// What could not be kept, what is assumed and what is wrong, in the files' order.
    pub issues: Vec<Issue>,
}

impl Converted {
    /// All documents as one YAML stream.
    pub fn to_yaml(&self) -> String {
        let texts: Vec<String> = self.documents.iter().map(Document::to_yaml).collect();
        texts.join("---\n")
    }

    /// All documents as one `List`.
    pub fn to_json(&self) -> serde_json::Value {
        let items: Vec<serde_json::Value> = self.documents.iter().map(Document::to_json).collect();
        serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items})
    }
}

/// Converts files, given as their names and their bytes, as one stream in the order given.
///
/// ```
/// let rule = b"apiVersion: config.istio.io/v1alpha2
/// kind: RouteRule
/// metadata: {name: reviews-default}
/// spec:
///   destination: {name: reviews}
///   route: [{labels: {version: v1}}]
/// ";
/// let converted = migrate::convert(&[("rule.yaml", rule)], migrate::Mode::Modern);
/// let names: Vec<String> = converted.documents.iter().map(|document| document.object()).collect();
/// assert_eq!(names, ["DestinationRule/default/reviews", "VirtualService/default/reviews"]);
/// ```
pub fn convert<B: AsRef<[u8]>>(files: &[(&str, B)], mode: Mode) -> Converted {
    let log = Log::default();
    let names: Vec<Arc<str>> = files.iter().map(|(name, _)| Arc::from(*name)).collect();
    let input: Vec<(Arc<str>, &[u8])> =
        names.iter().zip(files).map(|(name, (_, bytes))| (name.clone(), bytes.as_ref())).collect();
    let dialect = if mode == Mode::NginxIngress { Dialect::Nginx } else { Dialect::Istio };
    let items = input::read(&input, dialect, &log);
    let documents = match mode {
        Mode::Compat => compat::convert(&items, &log),
        Mode::Modern => modern::convert(&items, &log),
        Mode::NginxIngress => nginx::convert(&items, &log),
    };
    Converted { documents, issues: log.into_issues(&names) }
}
