//! The kinds of before v1alpha3 as values: what a document says, read once for both ways of conversion and for
//! the evaluator.

mod common;
mod egress_rule;
mod ingress;
mod policy;
mod route_rule;

use api::yaml::Node;

pub(crate) use common::{Meta, Old, Service, Source};
pub(crate) use egress_rule::{EgressPort, EgressRule};
pub(crate) use ingress::{Backend, BackendPort, Ingress, IngressPath};
pub(crate) use policy::{Balancer, Breaker, Policy};
pub(crate) use route_rule::{
    Abort, AbortError, Cors, Delay, L4, Matching, Retries, Route, RouteRule, Target, Text,
};

use crate::field::Fields;
use crate::read::{At, Context, Log};

/// What any of the old kinds may be.
#[derive(Clone, Debug)]
pub(crate) enum Legacy {
    Egress(Old<EgressRule>),
    Ingress(Old<Ingress>),
    /// One document of v1alpha1 may hold several policies.
    Policies(Vec<Old<Policy>>),
    Route(Box<Old<RouteRule>>),
}

/// Whose old documents are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Istio's, with Ingresses for its controller.
    Istio,
    /// Ingresses for ingress-nginx, and nothing else.
    Nginx,
}

impl Dialect {
    /// What reads its Ingresses.
    pub(crate) fn controller(self) -> &'static str {
        match self {
            Self::Istio => "Istio",
            Self::Nginx => "ingress-nginx",
        }
    }

    fn is_for(self, class: &str) -> bool {
        match self {
            Self::Istio => class.starts_with("istio"),
            Self::Nginx => class.contains("nginx"),
        }
    }
}

/// The old kind a document is of; none where it is of another API.
pub(crate) fn kind_of(root: &Node, dialect: Dialect) -> Option<&'static str> {
    let text = |name| root.field(name).and_then(Node::text).unwrap_or_default();
    let by_type = match text("type") {
        "route-rule" => Some("RouteRule"),
        "destination-policy" => Some("DestinationPolicy"),
        "egress-rule" => Some("EgressRule"),
        "ingress-rule" => Some("IngressRule"),
        _ => None,
    };
    if by_type.is_some() && root.field("kind").is_none() && dialect == Dialect::Istio {
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
    let is_ours = is_ingress && text("kind") == "Ingress" && foreign_class(root, dialect).is_none();
    of_istio.filter(|_| is_old && dialect == Dialect::Istio).or_else(|| is_ours.then_some("Ingress"))
}

/// The class of an Ingress that is for another controller.
pub(crate) fn foreign_class(root: &Node, dialect: Dialect) -> Option<&str> {
    let by_field = root.field("spec").and_then(|spec| spec.field("ingressClassName"));
    let annotations = root.field("metadata").and_then(|meta| meta.field("annotations"));
    let by_annotation = annotations.and_then(|annotations| annotations.field("kubernetes.io/ingress.class"));
    by_field.or(by_annotation).and_then(Node::text).filter(|class| !dialect.is_for(class))
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
