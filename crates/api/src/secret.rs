//! Kubernetes' Secret, as far as it holds certificates: what `credentialName` names.

use std::fmt;
use std::sync::Arc;

use crate::check;
use crate::meta::LAST_APPLIED;
use crate::read::At;
use crate::schema::{ANY_WRITER, Field, Shape, partly};
use crate::yaml::{Node, Value};

/// The certificates and the key of a Secret. What else it holds is not read.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secret {
    /// The certificate and those above it, PEM (`tls.crt` or `cert`).
    pub certificate: Option<Arc<[u8]>>,
    /// The certificate's key, PEM (`tls.key` or `key`). It is never shown.
    pub private_key: Option<Arc<[u8]>>,
    /// The authorities of the other side's certificate, PEM (`ca.crt` or `cacert`).
    pub ca_certificates: Option<Arc<[u8]>>,
    /// Certificates that have been revoked, PEM (`ca.crl` or `crl`).
    pub ca_crl: Option<Arc<[u8]>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |part: &Option<Arc<[u8]>>| part.as_ref().map(|part| format!("{} bytes", part.len()));
        f.debug_struct("Secret")
            .field("certificate", &shown(&self.certificate))
            .field("private_key", &shown(&self.private_key))
            .field("ca_certificates", &shown(&self.ca_certificates))
            .field("ca_crl", &shown(&self.ca_crl))
            .finish()
    }
}

/// The fields of the object itself: this kind has no `spec`. Maps are looked at here alone, so that no message
/// about a value's type shows it.
pub(crate) const FIELDS: &[Field] = &[
    partly(
        "type",
        Shape::Text,
        "`kubernetes.io/tls` must have `tls.crt` and `tls.key`; nothing else hangs on it",
    ),
    partly("immutable", Shape::Bool, ANY_WRITER),
    partly("data", Shape::Any, KEYS),
    partly("stringData", Shape::Any, KEYS),
];

const KEYS: &str =
    "read are `tls.crt` or `cert`, `tls.key` or `key`, `ca.crt` or `cacert`, `ca.crl` or `crl`";

/// The fields whose values are never shown.
const HIDDEN: [&str; 2] = ["data", "stringData"];

/// Takes the values out of a Secret's JSON, and the copy that kubectl keeps of it.
pub(crate) fn redact(json: &mut serde_json::Value) {
    for name in HIDDEN {
        for value in json.get_mut(name).and_then(|map| map.as_object_mut()).into_iter().flatten() {
            *value.1 = "<hidden>".into();
        }
    }
    let annotations = json.get_mut("metadata").and_then(|meta| meta.get_mut("annotations"));
    if let Some(annotations) = annotations.and_then(|map| map.as_object_mut()) {
        annotations.remove(LAST_APPLIED);
    }
}

/// Reads the object; what is wrong goes to the log.
pub(crate) fn read(root: &At<'_>) -> Secret {
    for field in HIDDEN.iter().filter_map(|name| root.field(name)) {
        if !matches!(field.node.value, Value::Map(_)) {
            field.error("wrong-type", "a map is expected");
        }
        for entry in field.entries().filter(|entry| !is_text(entry.node)) {
            entry.error("wrong-type", "text is expected; put it in quotes");
        }
    }
    if root.text("type") == Some("kubernetes.io/tls") {
        let has = |key| HIDDEN.iter().any(|map| root.field(map).is_some_and(|map| map.field(key).is_some()));
        for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)) {
            root.missing("data", format!("a Secret of this type has the key `{key}`"));
        }
    }
    Secret {
        certificate: part(root, &["tls.crt", "cert"], "CERTIFICATE"),
        private_key: part(root, &["tls.key", "key"], "PRIVATE KEY"),
        ca_certificates: part(root, &["ca.crt", "cacert"], "CERTIFICATE"),
        ca_crl: part(root, &["ca.crl", "crl"], "X509 CRL"),
    }
}

fn is_text(node: &Node) -> bool {
    matches!(node.value, Value::Text(_) | Value::Null)
}

/// The bytes under the first of these keys that is written; `stringData` comes before `data`, as Kubernetes has it.
fn part(root: &At<'_>, keys: &[&str], label: &str) -> Option<Arc<[u8]>> {
    let (plain, coded) = (root.field("stringData"), root.field("data"));
    let (field, bytes) = keys.iter().find_map(|key| {
        if let Some(field) = plain.as_ref().and_then(|map| map.field(key)) {
            let bytes = field.node.text()?.as_bytes().to_vec();
            return Some((field, Some(bytes)));
        }
        let field = coded.as_ref().and_then(|map| map.field(key))?;
        let text: String = field.node.text()?.split_ascii_whitespace().collect();
        let bytes = check::base64(&text);
        Some((field, bytes))
    })?;
    let Some(bytes) = bytes else {
        field.error("wrong-value", "this is not base64");
        return None;
    };
    if !is_pem(&bytes, label) {
        field.warn("ambiguous", format!("no PEM block `{label}` stands here: TLS will not work with it"));
    }
    Some(bytes.into())
}

fn is_pem(bytes: &[u8], label: &str) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{label}-----")))
}

#[cfg(test)]
mod tests;
