//! From the bytes of one file to resources and issues.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Digester, Issue, Severity};

use crate::identity::{Skipped, identify, is_list, is_mesh_file};
use crate::kind::{Key, Kind};
use crate::meta::{self, Meta};
use crate::read::{At, Context, Finding, Log, MAX_BYTES};
use crate::resource::{Resource, Valid};
use crate::support::fields_of;
use crate::yaml::{Budget, Document, Entry, Mark, Node, Piece, Value, emit, load, pieces};
use crate::{
    config_map, destination_rule, endpoint_slice, gateway, pod, proxy_config, secret, service, service_entry,
    sidecar, virtual_service, workload_entry, workload_group,
};
use crate::{schema, yaml};

/// What one file holds.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The objects found valid, in the file's order.
    pub resources: Vec<Resource>,
    /// Everything there is to say, in the file's order.
    pub issues: Vec<Issue>,
    /// Objects that could be told apart but were refused: the last good version of each stays in force.
    pub refused: Vec<Key>,
}

/// Reads a file of YAML documents or JSON; `file` is how places name it. One bad document never hides the others.
///
/// ```
/// let parsed = api::parse("reviews.yaml", b"apiVersion: v1
/// kind: Service
/// metadata: {name: reviews}
/// spec: {ports: [{port: 9080, name: http}]}
/// ");
/// assert_eq!(parsed.issues, []);
/// assert_eq!(parsed.resources[0].key().to_string(), "Service/default/reviews");
/// ```
pub fn parse(file: &str, bytes: &[u8]) -> Parsed {
    let log = Log::new(file);
    let mut reader =
        Reader { log: &log, budget: Budget::default(), seen: BTreeMap::new(), parsed: Parsed::default() };
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; the most is {MAX_BYTES}", bytes.len());
        reader.fault("too-large", Mark::default(), "", message);
    } else {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        pieces(bytes).for_each(|piece| reader.piece(piece));
    }
    let mut parsed = reader.parsed;
    parsed.issues = log.into_issues();
    parsed
}

struct Reader<'l> {
    log: &'l Log,
    budget: Budget,
    /// Where each object of this file stands.
    seen: BTreeMap<Key, Mark>,
    parsed: Parsed,
}

impl Reader<'_> {
    fn piece(&mut self, piece: Piece<'_>) {
        let text = match decode(piece) {
            Ok(text) => text,
            Err(fault) => return self.fault(fault.code, fault.at, "", fault.message),
        };
        let (root, faults) = load(&yaml::readable(text), piece.line, &mut self.budget);
        let Some(root) = root else {
            return faults.into_iter().for_each(|f| self.fault(f.code, f.at, "", f.message));
        };
        if !faults.is_empty() {
            let key = identify(&root).ok().flatten().and_then(|identity| identity.full_key());
            let object = key.as_ref().map(Key::to_string).unwrap_or_default();
            faults.into_iter().for_each(|f| self.fault(f.code, f.at, &object, f.message));
            self.parsed.refused.extend(key);
            self.refuse_items(&root);
            return;
        }
        if is_list(&root) {
            let root = self.check_list(root);
            return root.into_iter().for_each(|item| {
                let text = emit(&item.to_json());
                self.object(item, text);
            });
        }
        self.object(root, yaml::without_marker(text).to_owned());
    }

    /// Takes the items out of a `List`.
    fn check_list(&mut self, root: Node) -> Vec<Node> {
        let Value::Map(entries) = root.value else { return Vec::new() };
        let items: Vec<Entry> = entries.into_iter().filter(|entry| entry.key == "items").collect();
        let mut nodes = Vec::new();
        for entry in items {
            match entry.node.value {
                Value::List(items) => nodes.extend(items),
                Value::Null => {}
                _ => self.fault("wrong-type", entry.at, "", "`items` must be a list of objects".into()),
            }
        }
        nodes
    }

    /// Names the objects of a `List` that was not read to its end.
    fn refuse_items(&mut self, root: &Node) {
        if is_list(root) {
            let items = root.child("items").map(Node::items).unwrap_or_default();
            let keys = items.iter().filter_map(|item| identify(item).ok().flatten());
            self.parsed.refused.extend(keys.filter_map(|identity| identity.full_key()));
        }
    }

    fn object(&mut self, root: Node, text: String) {
        let identity = match identify(&root) {
            Ok(Some(identity)) => identity,
            Ok(None) if is_mesh_file(&root) => return,
            Ok(None) => return self.fault("wrong-type", root.at, "", "an object is a map of fields".into()),
            Err(skipped) => return self.skip(&skipped),
        };
        let before = self.log.errors();
        let (key, object) = (identity.key(), identity.object());
        let context = Context { log: self.log, object: &object, namespace: &identity.namespace };
        let meta = meta::read(&At::root(&root, context), &identity);
        let first = self.seen.get(&key).copied();
        if let Some(first) = first {
            let message = format!(
                "this object stands twice in the file: at line {} and here; the first one counts",
                first.line
            );
            self.fault("duplicate-object", root.at, &object, message);
        }
        let at = root.at;
        let document = Document { file: self.log.file().clone(), text, root };
        let resource = build(identity.kind, meta, document, context);
        if self.log.errors() == before {
            self.parsed.resources.push(resource);
        } else if first.is_none() {
            self.parsed.refused.extend(identity.full_key());
        }
        self.seen.entry(key).or_insert(at);
    }

    fn skip(&mut self, skipped: &Skipped) {
        let finding = Finding { object: "", path: "kind", message: skipped.message.clone() };
        self.log.note(skipped.severity, skipped.code, skipped.at, finding);
    }

    fn fault(&mut self, code: &str, at: Mark, object: &str, message: String) {
        self.log.note(Severity::Error, code, at, Finding { object, path: "", message });
    }
}

/// Reads the rest of an object whose identity is known. What it returns counts only if no error was noted.
fn build(kind: Kind, meta: Meta, document: Document, context: Context<'_>) -> Resource {
    let digest = digest(kind, &meta, &document.root);
    let document = Arc::new(document);
    macro_rules! resource {
        ($module:ident, $spec:expr) => {
            Valid::new(meta, $module::read($spec), digest, document.clone()).into()
        };
    }
    let root = At::root(&document.root, context);
    check_root(&root, kind);
    match kind {
        Kind::ConfigMap => return resource!(config_map, &root),
        Kind::EndpointSlice => return resource!(endpoint_slice, &root),
        Kind::Pod => return resource!(pod, &root),
        Kind::Secret => return resource!(secret, &root),
        _ => {}
    }
    let empty = Node { value: Value::Map(Vec::new()), at: document.root.at, span: 0..0, is_shared: false };
    let spec = root.field("spec").unwrap_or_else(|| {
        root.missing("spec", "the object says nothing");
        At::root(&empty, context)
    });
    schema::walk(&spec, fields_of(kind));
    match kind {
        Kind::ConfigMap => resource!(config_map, &root),
        Kind::DestinationRule => resource!(destination_rule, &spec),
        Kind::EndpointSlice => resource!(endpoint_slice, &root),
        Kind::Gateway => resource!(gateway, &spec),
        Kind::ProxyConfig => resource!(proxy_config, &spec),
        Kind::Pod => resource!(pod, &root),
        Kind::Secret => resource!(secret, &root),
        Kind::Service => {
            let service = service::read(&spec, &meta);
            Valid::new(meta, service, digest, document.clone()).into()
        }
        Kind::ServiceEntry => resource!(service_entry, &spec),
        Kind::Sidecar => resource!(sidecar, &spec),
        Kind::VirtualService => resource!(virtual_service, &spec),
        Kind::WorkloadEntry => resource!(workload_entry, &spec),
        Kind::WorkloadGroup => resource!(workload_group, &spec),
    }
}

/// Checks the names of the object's own fields, and all fields of a kind that has no `spec`.
fn check_root(root: &At<'_>, kind: Kind) {
    let own: &[schema::Field] = if kind.has_spec() { SPEC } else { fields_of(kind) };
    schema::walk_root(root, &[IDENTITY, own]);
}

const IDENTITY: &[schema::Field] = &[
    schema::ok("apiVersion", schema::Shape::Text),
    schema::ok("kind", schema::Shape::Text),
    schema::ok("metadata", schema::Shape::Any),
    schema::ok("status", schema::Shape::Any),
];
const SPEC: &[schema::Field] = &[schema::ok("spec", schema::Shape::Any)];

/// The digest of what an object means: neither its API version nor its status, nor what servers note about it.
fn digest(kind: Kind, meta: &Meta, root: &Node) -> base::Digest {
    use std::hash::Hash as _;
    let mut digester = Digester::default();
    (kind.name(), &meta.namespace, &meta.name, &meta.labels, &meta.annotations, &meta.created)
        .hash(&mut digester);
    // Of a Pod it is the status that says where it is and whether it is ready.
    let counts = |entry: &&Entry| is_meaning(entry) || kind == Kind::Pod && entry.key == "status";
    let mut own: Vec<&Entry> = root.entries().iter().filter(counts).collect();
    own.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in own {
        entry.key.hash(&mut digester);
        entry.node.hash_meaning(&mut digester);
    }
    digester.digest()
}

fn is_meaning(entry: &Entry) -> bool {
    !entry.node.is_null() && !matches!(entry.key.as_str(), "apiVersion" | "kind" | "metadata" | "status")
}

/// The text of a piece, if it is text: UTF-8 without control characters (YAML's parser takes NUL for the end).
fn decode(piece: Piece<'_>) -> Result<&str, yaml::Fault> {
    let text = std::str::from_utf8(piece.bytes).map_err(|error| {
        let at = yaml::mark_of(piece, error.valid_up_to());
        yaml::Fault { code: "not-utf8", at, message: "the file is not UTF-8 here; save it as UTF-8".into() }
    })?;
    match text.bytes().position(|b| b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r') || b == 0x7f) {
        None => Ok(text),
        Some(at) => Err(yaml::Fault {
            code: "control-character",
            at: yaml::mark_of(piece, at),
            message: "a control character stands here; YAML is plain text".into(),
        }),
    }
}

#[cfg(test)]
mod tests;
