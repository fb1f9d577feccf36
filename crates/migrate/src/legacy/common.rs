//! What documents of all old kinds share: names, places, and services as they call them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::yaml::{Comment, Mark, Node};
use base::{Issue, Place, Severity};

use crate::document::Part;
use crate::field::Fields;
use crate::read::{At, Log};

/// A document of an old kind.
#[derive(Clone, Debug)]
pub(crate) struct Old<T> {
    pub(crate) meta: Meta,
    pub(crate) spec: T,
    pub(crate) source: Source,
}

/// How an object is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meta {
    /// As written; none means the default one.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Meta {
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

/// Where a document stands, what its tree and its comments are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: Arc<str>,
    /// `RouteRule/default/reviews-default`.
    pub(crate) object: String,
    text: Arc<str>,
    root: Arc<Node>,
    /// Comments that lead the file: not directly above the document.
    pub(crate) head: Vec<String>,
    /// Comments directly above the document and within it.
    pub(crate) body: Vec<String>,
}

impl Source {
    pub(crate) fn new(file: Arc<str>, text: Arc<str>, root: &Node, comments: Vec<Comment>) -> Self {
        // Going up from the document, the first line without a comment parts the two.
        let mut above = root.at.line;
        for comment in comments.iter().rev().filter(|comment| comment.line < root.at.line) {
            if comment.line.saturating_add(1) == above {
                above = comment.line;
            }
        }
        let (head, body): (Vec<_>, Vec<_>) = comments.into_iter().partition(|comment| comment.line < above);
        let texts = |comments: Vec<Comment>| comments.into_iter().map(|comment| comment.text).collect();
        Self {
            file,
            object: String::new(),
            text,
            root: Arc::new(root.clone()),
            head: texts(head),
            body: texts(body),
        }
    }

    /// The place of a path such as `spec.ports[0].port`, or of the nearest thing above it that is written.
    pub(crate) fn place(&self, path: &str) -> Place {
        let (mut node, mut at) = (&*self.root, self.root.at);
        for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
            let found = match step.parse::<usize>() {
                Ok(index) => node.items().get(index).map(|item| (item, item.at)),
                Err(_) => node.field_entry(step).map(|entry| (&entry.node, entry.at)),
            };
            let Some((next, mark)) = found else { break };
            (node, at) = (next, mark);
        }
        let Mark { line, column } = at;
        Place { file: self.file.clone(), line, column }
    }

    /// The document of an item of the list that this is.
    pub(crate) fn item(&self, root: &Node) -> Self {
        Self::new(self.file.clone(), self.text.clone(), root, Vec::new())
    }

    /// The same without its comments, for what must not repeat them.
    pub(crate) fn uncommented(&self) -> Self {
        Self { head: Vec::new(), body: Vec::new(), ..self.clone() }
    }

    /// The document as a part of what is made of it.
    pub(crate) fn part(&self) -> Part {
        Part { object: self.object.clone(), place: self.place(""), text: self.text.clone() }
    }

    pub(crate) fn warn(&self, log: &Log, code: &str, path: &str, message: impl Into<String>) {
        self.note(log, Severity::Warning, (code, path), message.into());
    }

    pub(crate) fn error(&self, log: &Log, code: &str, path: &str, message: impl Into<String>) {
        self.note(log, Severity::Error, (code, path), message.into());
    }

    /// A warning about a field whose key may hold dots.
    pub(crate) fn warn_at(&self, log: &Log, code: &str, keys: &[&str], message: &str) {
        self.note_at(log, Severity::Warning, (code, keys), message);
    }

    /// An error about a field whose key may hold dots.
    pub(crate) fn error_at(&self, log: &Log, code: &str, keys: &[&str], message: &str) {
        self.note_at(log, Severity::Error, (code, keys), message);
    }

    fn note_at(&self, log: &Log, severity: Severity, (code, keys): (&str, &[&str]), message: &str) {
        let (mut node, mut at) = (&*self.root, self.root.at);
        for key in keys {
            let Some(entry) = node.field_entry(key) else { break };
            (node, at) = (&entry.node, entry.at);
        }
        log.note(Issue {
            severity,
            code: code.into(),
            place: Place { file: self.file.clone(), line: at.line, column: at.column },
            object: self.object.clone(),
            path: keys.join("."),
            message: message.into(),
        });
    }

    fn note(&self, log: &Log, severity: Severity, (code, path): (&str, &str), message: String) {
        log.note(Issue {
            severity,
            code: code.into(),
            place: self.place(path),
            object: self.object.clone(),
            path: path.into(),
            message,
        });
    }
}

/// A service as the old rules name it; empty texts are missing ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) domain: String,
    pub(crate) service: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Service {
    /// The host as the official converter wrote it: the full name if there is one, else the short one.
    pub(crate) fn short(&self) -> &str {
        if self.service.is_empty() { &self.name } else { &self.service }
    }

    pub(crate) fn is_nameless(&self) -> bool {
        self.name.is_empty() && self.service.is_empty()
    }
}

/// Reads a service: a map, or its full name alone as v1alpha1 had it.
pub(crate) fn service(at: &At<'_>) -> Service {
    if let Some(text) = at.node.text() {
        return Service { service: text.to_owned(), ..Service::default() };
    }
    at.only(&["name", "namespace", "domain", "service", "labels", "tags"]);
    let labels = if at.field("labels").is_some() { at.map("labels") } else { at.map("tags") };
    Service {
        name: at.text("name"),
        namespace: at.text("namespace"),
        domain: at.text("domain"),
        service: at.text("service"),
        labels,
    }
}

/// Reads the service a rule is about, which must be named.
pub(crate) fn destination(spec: &At<'_>) -> Service {
    let Some(field) = spec.field("destination") else {
        spec.error("missing-field", "a rule needs `destination`: write {name: SERVICE}");
        return Service::default();
    };
    let destination = service(&field);
    if destination.is_nameless() {
        field.error("missing-field", "a destination needs `name` or `service`");
    }
    destination
}
