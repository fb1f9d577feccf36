//! Which object a document is, before its content is looked at.

use base::Severity;

use crate::check;
use crate::kind::{Key, Kind};
use crate::yaml::{Mark, Node};

/// Kind, namespace and name of an object of one of our kinds.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    /// Empty where none is written; such an object is refused.
    pub(crate) name: String,
}

impl Identity {
    pub(crate) fn key(&self) -> Key {
        Key::new(self.kind, self.namespace.as_str(), self.name.as_str())
    }

    /// The key, if there is a name.
    pub(crate) fn full_key(&self) -> Option<Key> {
        (!self.name.is_empty()).then(|| self.key())
    }

    /// How issues call it: as much as is known.
    pub(crate) fn object(&self) -> String {
        self.key().to_string()
    }
}

/// A document that is not one of our kinds.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    pub(crate) at: Mark,
    pub(crate) message: String,
}

/// Whether a document is a list of objects: kubectl's `List`, or a kind's own list such as `ServiceList`.
pub(crate) fn is_list(root: &Node) -> bool {
    let kind = root.child("kind").and_then(Node::text).unwrap_or_default();
    kind.strip_suffix("List").is_some_and(|item| {
        let is_ours = Kind::ALL.iter().any(|kind| kind.name() == item);
        (item.is_empty() || is_ours) && root.entry("spec").is_none()
    })
}

/// Tells which object a document is. None is no object of a mesh; what is not ours is an error to be noted.
pub(crate) fn identify(root: &Node) -> Result<Option<Identity>, Skipped> {
    if root.entries().is_empty() {
        return Ok(None);
    }
    let kind = field_text(root, "kind")?;
    let version = field_text(root, "apiVersion")?;
    let at = root.entry("kind").map_or(root.at, |entry| entry.node.at);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    if is_mesh_file(root) {
        return Ok(None);
    }
    let Some(ours) = Kind::ALL.into_iter().find(|k| k.name() == kind && k.group() == group) else {
        return Err(skipped(kind, group, at));
    };
    if !ours.versions().contains(&version) {
        let at = root.entry("apiVersion").map_or(root.at, |entry| entry.node.at);
        let message =
            format!("{ours} has no version {version:?}; write one of {}", ours.versions().join(", "));
        return Err(Skipped { severity: Severity::Error, code: "unknown-version", at, message });
    }
    let meta = root.child("metadata");
    let text = |name| meta.and_then(|meta| meta.child(name)).and_then(Node::text).filter(|t| !t.is_empty());
    if ours == Kind::ConfigMap && !is_of_mesh(root, text("name").unwrap_or_default()) {
        return Err(skipped(kind, group, at));
    }
    Ok(Some(Identity {
        kind: ours,
        namespace: text("namespace").unwrap_or("default").into(),
        name: text("name").unwrap_or_default().into(),
    }))
}

/// Whether a ConfigMap holds the mesh's settings: it is called `istio`, or `istio-REVISION` and has the key `mesh`.
fn is_of_mesh(root: &Node, name: &str) -> bool {
    let has_settings = || root.child("data").is_some_and(|data| data.child("mesh").is_some());
    name == "istio" || name.starts_with("istio-") && has_settings()
}

fn field_text<'a>(root: &'a Node, name: &str) -> Result<&'a str, Skipped> {
    root.child(name).and_then(Node::text).filter(|text| !text.is_empty()).ok_or_else(|| Skipped {
        severity: Severity::Error,
        code: "missing-field",
        at: root.entry(name).map_or(root.at, |entry| entry.node.at),
        message: format!(
            "the document has no `{name}`; an object needs `apiVersion`, `kind` and `metadata.name`"
        ),
    })
}

fn skipped(kind: &str, group: &str, at: Mark) -> Skipped {
    let warning = |code, message| Skipped { severity: Severity::Warning, code, at, message };
    let full = if group.is_empty() { kind.to_owned() } else { format!("{kind} ({group})") };
    if KUBERNETES.contains(&kind) && (group.is_empty() || !group.contains('.') || group.ends_with(".k8s.io"))
    {
        return warning("skipped-kind", format!("{full} is skipped: it is for Kubernetes, not for the mesh"));
    }
    if group == "security.istio.io" {
        // Skipping it would let in whom its author meant to keep out.
        let message = format!("{full} is refused: this version authenticates nobody and keeps nobody out");
        return Skipped { severity: Severity::Error, code: "refused-kind", at, message };
    }
    let names = Kind::ALL.into_iter().filter(|k| k.group() == group).map(Kind::name);
    match check::nearest(kind, names).filter(|_| kind != ENVOY_FILTER) {
        Some(near) => Skipped {
            severity: Severity::Error,
            code: "unknown-kind",
            at,
            message: format!("there is no kind {full}; did you mean {near}?"),
        },
        None => warning("unknown-kind", format!("{full} is skipped: this version does not know it")),
    }
}

/// The kind of `networking.istio.io` that exists and is not ours, so that no one takes it for a slip.
const ENVOY_FILTER: &str = "EnvoyFilter";

/// Whether a document is what `weft up` runs: it may lie beside the objects it is about, and is none of them.
pub(crate) fn is_mesh_file(root: &Node) -> bool {
    let has = |name, wanted: &str| root.child(name).and_then(Node::text).is_some_and(|text| text == wanted);
    has("kind", "Mesh") && has("apiVersion", "weft/v1alpha1")
}

/// Kinds that ordinarily stand in one file with ours.
const KUBERNETES: [&str; 36] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "ControllerRevision",
    "CronJob",
    "CustomResourceDefinition",
    "DaemonSet",
    "Deployment",
    "Endpoints",
    "Event",
    "HorizontalPodAutoscaler",
    "Ingress",
    "IngressClass",
    "Job",
    "Lease",
    "LimitRange",
    "MutatingWebhookConfiguration",
    "Namespace",
    "NetworkPolicy",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "PodTemplate",
    "PriorityClass",
    "ReplicaSet",
    "ReplicationController",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "ServiceAccount",
    "StatefulSet",
    "StorageClass",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];
