//! The kinds of before v1alpha3 as values: what a document says, read once for both ways of conversion and for
//! the evaluator.

mod egress_rule;
mod ingress;
mod policy;
mod route_rule;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::yaml::{Comment, Mark, Node};
use base::{Issue, Place, Severity};

pub(crate) use egress_rule::{EgressPort, EgressRule};
pub(crate) use ingress::{Backend, BackendPort, Ingress, IngressPath};
pub(crate) use policy::{Balancer, Breaker, Policy};
pub(crate) use route_rule::{
    Abort, AbortError, Cors, Delay, L4, Matching, Retries, Route, RouteRule, Target, Text,
};

use crate::document::Part;
use crate::field::Fields;
use crate::read::{At, Context, Log};

/// A document of an old kind.
#[derive(Clone, Debug)]
pub(crate) struct Old<T> {
    pub(crate) meta: Meta,
    pub(crate) spec: T,
    pub(crate) source: Source,
}

/// What any of the old kinds may be.
#[derive(Clone, Debug)]
pub(crate) enum Legacy {
    Egress(Old<EgressRule>),
    Ingress(Old<Ingress>),
    /// One document of v1alpha1 may hold several policies.
    Policies(Vec<Old<Policy>>),
    Route(Box<Old<RouteRule>>),
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

/// The old kind a document is of; none where it is of another API.
pub(crate) fn kind_of(root: &Node) -> Option<&'static str> {
    let text = |name| root.field(name).and_then(Node::text).unwrap_or_default();
    let by_type = match text("type") {
        "route-rule" => Some("RouteRule"),
        "destination-policy" => Some("DestinationPolicy"),
        "egress-rule" => Some("EgressRule"),
        "ingress-rule" => Some("IngressRule"),
        _ => None,
    };
    if by_type.is_some() && root.field("kind").is_none() {
        return by_type;
    }
    let version = text("apiVersion");
    let is_old =
        version.is_empty() || version.split_once('/').is_some_and(|(group, _)| group == "config.istio.io");
    let of_istio = ["RouteRule", "DestinationPolicy", "EgressRule", "IngressRule"]
        .into_iter()
        .find(|k| *k == text("kind"));
    let is_ingress =
        matches!(version, "extensions/v1beta1" | "networking.k8s.io/v1beta1" | "networking.k8s.io/v1");
    let is_ours = is_ingress && text("kind") == "Ingress" && foreign_class(root).is_none();
    of_istio.filter(|_| is_old).or_else(|| is_ours.then_some("Ingress"))
}

/// The class of an Ingress that is for another controller than Istio's.
pub(crate) fn foreign_class(root: &Node) -> Option<&str> {
    let by_field = root.field("spec").and_then(|spec| spec.field("ingressClassName"));
    let annotations = root.field("metadata").and_then(|meta| meta.field("annotations"));
    let by_annotation = annotations.and_then(|annotations| annotations.field("kubernetes.io/ingress.class"));
    by_field.or(by_annotation).and_then(Node::text).filter(|class| !class.starts_with("istio"))
}

/// Reads a document of an old kind; none if it must be refused, which has then been reported.
pub(crate) fn read(kind: &'static str, root: &Node, mut source: Source, log: &Log) -> Option<Legacy> {
    let before = log.errors();
    let mut context = Context { log, file: source.file.clone(), object: String::new() };
    let meta = meta(&At::root(root, &context));
    source.object =
        format!("{kind}/{}/{}", meta.namespace(), if meta.name.is_empty() { "?" } else { &meta.name });
    context.object.clone_from(&source.object);
    let at = At::root(root, &context);
    if meta.name.is_empty() {
        at.error("missing-field", "the object has no name; write `metadata.name`");
    }
    let Some(spec) = at.map_field("spec") else {
        at.error("missing-field", "the object has no `spec`: it says nothing");
        return None;
    };
    let legacy = match kind {
        "RouteRule" => {
            let rule = route_rule::read(&spec);
            Legacy::Route(Box::new(Old { meta, spec: rule, source }))
        }
        "DestinationPolicy" => {
            let of = |spec| Old { meta: meta.clone(), spec, source: source.clone() };
            Legacy::Policies(policy::read(&spec).into_iter().map(of).collect())
        }
        "EgressRule" => Legacy::Egress(Old { spec: egress_rule::read(&spec), meta, source }),
        "Ingress" => Legacy::Ingress(Old { spec: ingress::read(&spec), meta, source }),
        _ => {
            at.error(
                "not-converted",
                "an IngressRule has no successor of its own; write a Gateway and a VirtualService bound to it",
            );
            return None;
        }
    };
    (log.errors() == before).then_some(legacy)
}

/// Names stand in `metadata`, or at the top as the first version had them.
fn meta(at: &At<'_>) -> Meta {
    let meta = at.map_field("metadata");
    let holder = meta.as_ref().unwrap_or(at);
    let mut annotations = holder.map("annotations");
    // Servers and clients leave these; they say nothing about what the author wants.
    annotations.retain(|key, _| !key.starts_with("kubectl.kubernetes.io/"));
    Meta {
        namespace: Some(holder.text("namespace")).filter(|namespace| !namespace.is_empty()),
        name: holder.text("name"),
        labels: holder.map("labels"),
        annotations,
    }
}

impl Legacy {
    /// Where the document stands; none where it says nothing.
    pub(crate) fn source(&self) -> Option<&Source> {
        match self {
            Self::Egress(old) => Some(&old.source),
            Self::Ingress(old) => Some(&old.source),
            Self::Policies(policies) => policies.first().map(|old| &old.source),
            Self::Route(old) => Some(&old.source),
        }
    }

    pub(crate) fn source_mut(&mut self) -> Option<&mut Source> {
        match self {
            Self::Egress(old) => Some(&mut old.source),
            Self::Ingress(old) => Some(&mut old.source),
            Self::Policies(policies) => policies.first_mut().map(|old| &mut old.source),
            Self::Route(old) => Some(&mut old.source),
        }
    }
}

impl Legacy {
    /// The namespace as written.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Egress(old) => old.meta.namespace.as_deref(),
            Self::Ingress(old) => old.meta.namespace.as_deref(),
            Self::Policies(policies) => policies.first().and_then(|old| old.meta.namespace.as_deref()),
            Self::Route(old) => old.meta.namespace.as_deref(),
        }
    }
}

/// Puts rules into the order they were looked at: higher precedence first, then by namespace and name.
pub(crate) fn by_precedence(rules: &mut [&Old<RouteRule>]) {
    rules.sort_by(|a, b| {
        let key = |old: &Old<RouteRule>| (old.meta.namespace().to_owned(), old.meta.name.clone());
        b.spec.precedence.cmp(&a.spec.precedence).then_with(|| key(a).cmp(&key(b)))
    });
}
