//! Changes one object in a text of many and keeps every other byte: comments, order, quoting, line ends.
//!
//! Comments around an object stay where they are; those inside it go with it. A comment that touches the object's
//! first line is removed with the object, one set apart by an empty line stays.

use std::ops::Range;

use serde_json::Value as Json;
use thiserror::Error;

use crate::identity::{identify, is_list};
use crate::kind::Key;
use crate::yaml::{Budget, Node, Value, emit, line_end, load, pieces, readable, without_marker};

mod merge;
mod part;
mod scalar;

use part::{Part, line_start, touching_comments};

/// Why a text could not be edited.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// The text holds no such object, or its document is broken.
    #[error("{0} is not in the text, or its document cannot be read")]
    Missing(Key),
    /// What was given is not one document with this object.
    #[error("what was given is not one document that holds {0}")]
    Mismatch(Key),
    /// The object has no such field, or it is not a scalar that stands by itself.
    #[error("{path} of {key} is not a plain value that can be changed")]
    NotScalar {
        /// The object.
        key: Key,
        /// The path, from the object's root.
        path: String,
    },
}

/// The objects a text holds, in its order, as far as they can be read.
pub fn keys(text: &str) -> Vec<Key> {
    objects(text).into_iter().map(|object| object.key).collect()
}

/// Puts a document in the place of the object it holds, with `key` as that object's key.
///
/// # Errors
/// Where the text does not hold the object, or the document does not.
pub fn replace(text: &str, key: &Key, document: &str) -> Result<String, EditError> {
    let object = find(text, key)?;
    let fresh = only_object(document, key)?;
    Ok(put(text, &object, document, &fresh))
}

/// The same, but comments around the object in the document take the place of those in the text.
///
/// # Errors
/// As [`replace`].
pub fn supplant(text: &str, key: &Key, document: &str) -> Result<String, EditError> {
    let object = find(text, key)?;
    let fresh = only_object(document, key)?;
    let brings_comments = document.get(fresh.head.clone()).is_some_and(|head| head.contains('#'));
    match (own_lines(text, &object), &fresh.form) {
        (Some(lines), Form::Document { is_json: false, .. }) if brings_comments => {
            let document = format!("{}\n", without_marker(document).trim_matches(['\n', '\r']));
            Ok(spliced(text, lines, &with_breaks_of(text, &document)))
        }
        _ => Ok(put(text, &object, document, &fresh)),
    }
}

/// The lines of an object's document between its marks; None where it shares a line with one, or is no document.
fn own_lines(text: &str, object: &Object) -> Option<Range<usize>> {
    let Form::Document { is_json: false, end } = object.form else { return None };
    let piece = text.get(object.head.start..end)?;
    let marker = match piece.strip_prefix("---") {
        Some(rest) => 3 + rest.len() - rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?.len(),
        None => 0,
    };
    let is_open = !piece.trim_end().ends_with("...") && !piece.starts_with('%');
    is_open.then_some(object.head.start + marker..end)
}

/// The text with a document's only object in the place of another.
fn put(text: &str, object: &Object, document: &str, fresh: &Object) -> String {
    let part = match (&object.form, &fresh.form) {
        (Form::Document { is_json: false, .. }, Form::Document { .. }) => {
            let body = document.get(fresh.body.clone()).unwrap_or_default();
            let has_own_comments = text.get(object.head.clone()).is_some_and(|head| head.contains('#'));
            let head = document.get(fresh.head.clone()).unwrap_or_default();
            if has_own_comments { body.to_owned() } else { format!("{}{body}", comments_of(head)) }
        }
        (Form::Item { indent: Some(indent) }, _) => indented(&emit(&fresh.json), *indent),
        (Form::Document { is_json: true, .. }, _) => pretty(&fresh.json),
        (Form::Item { indent: None }, _) => fresh.json.to_string(),
        (_, Form::Item { .. }) => emit(&fresh.json),
    };
    let part = part.trim_end_matches(['\n', '\r', ' ']);
    // Block style cannot begin on the separator's own line.
    let is_beside_separator = text.get(object.head.clone()).is_some_and(|head| head.ends_with("--- "));
    let glue = if is_beside_separator && !part.starts_with('{') { "\n" } else { "" };
    spliced(text, object.body.clone(), &with_breaks_of(text, &format!("{glue}{part}")))
}

/// Takes an object out.
///
/// # Errors
/// Where the text does not hold the object.
pub fn remove(text: &str, key: &Key) -> Result<String, EditError> {
    let object = find(text, key)?;
    Ok(spliced(text, object.removal(text), ""))
}

/// Puts a document behind the last one.
pub fn append(text: &str, document: &str) -> String {
    let mut out = text.to_owned();
    let body = document.strip_prefix("---").filter(|rest| rest.starts_with(['\n', '\r'])).unwrap_or(document);
    let body = body.trim_start_matches(['\n', '\r']);
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str(with_breaks_of(text, "\n").as_str());
    }
    let is_blank = pieces(text.as_bytes()).all(|piece| is_trivia(piece.text()));
    let separator = if is_blank { "" } else { "---\n" };
    out.push_str(&with_breaks_of(text, &format!("{separator}{body}")));
    if !out.ends_with('\n') {
        out.push_str(&with_breaks_of(text, "\n"));
    }
    out
}

/// Changes one scalar of an object, named by its path from the object's root (`spec.http[0].route[1].weight`).
///
/// # Errors
/// Where the text does not hold the object, or the field is missing, a map, a list, an alias or anchored.
pub fn set(text: &str, key: &Key, path: &str, value: &Json) -> Result<String, EditError> {
    let object = find(text, key)?;
    let refusal = || EditError::NotScalar { key: key.clone(), path: path.into() };
    let node = object.scalars.as_ref().and_then(|root| root.find(path)).ok_or_else(refusal)?;
    let is_plain_value =
        matches!(node.value, Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::Text(_));
    if node.is_shared || !is_plain_value || matches!(value, Json::Array(_) | Json::Object(_)) {
        return Err(refusal());
    }
    let part = Part::around(text, object.body.start);
    let span = part.byte(node.span.start)..part.byte(node.span.end);
    let old = text.get(span.clone()).and_then(scalar::one_line).ok_or_else(refusal)?;
    let fresh = scalar::written_like(old, value);
    Ok(spliced(text, span.start..span.start + old.len(), &fresh))
}

/// Makes an object read as `wanted` by the smallest changes: fields that already do keep their bytes, their order and
/// their comments; a field that is gone takes the comments with it that touch it from above.
///
/// ```
/// use api::{Key, Kind, edit};
///
/// let text = "# mine\napiVersion: v1\nkind: Service\nmetadata: {name: shop} # ours\nspec:\n  ports:\n  - port: 80 # plain\n";
/// let wanted = serde_json::json!({
///     "apiVersion": "v1", "kind": "Service", "metadata": { "name": "shop" },
///     "spec": { "ports": [{ "port": 8080 }], "clusterIP": "None" },
/// });
///
/// let merged = edit::merge(text, &Key::new(Kind::Service, "default", "shop"), &wanted)?;
///
/// assert_eq!(merged, text.replace("port: 80 # plain", "port: 8080 # plain\n  clusterIP: None"));
/// # Ok::<(), edit::EditError>(())
/// ```
///
/// # Errors
/// Where the text does not hold the object, or `wanted` is another one.
pub fn merge(text: &str, key: &Key, wanted: &Json) -> Result<String, EditError> {
    let object = find(text, key)?;
    if object.json == *wanted {
        return Ok(text.to_owned());
    }
    let document = emit(wanted);
    let fresh = only_object(&document, key)?;
    Ok(merged(text, &object, wanted, key).unwrap_or_else(|| put(text, &object, &document, &fresh)))
}

/// Puts every object that names no namespace into this one; every other byte stays.
///
/// ```
/// let text = "apiVersion: v1\nkind: Service # ours\nmetadata:\n  name: shop\nspec: {}\n";
///
/// let settled = api::edit::settle(text, "demo");
///
/// assert_eq!(settled, text.replace("name: shop\n", "name: shop\n  namespace: demo\n"));
/// ```
pub fn settle(text: &str, namespace: &str) -> String {
    let is_anywhere =
        |object: &Object| object.scalars.is_some() && object.json["metadata"]["namespace"].is_null();
    let settle = |text: String, object: Object| {
        let mut wanted = object.json.clone();
        if let Some(metadata) = wanted.get_mut("metadata").and_then(Json::as_object_mut) {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        let key = Key { namespace: namespace.into(), ..object.key.clone() };
        let document = emit(&wanted);
        let anew = || only_object(&document, &key).ok().map(|fresh| put(&text, &object, &document, &fresh));
        merged(&text, &object, &wanted, &key).or_else(anew).unwrap_or(text)
    };
    // From the last on, so that the places of those before stay true.
    objects(text).into_iter().filter(is_anywhere).rev().fold(text.to_owned(), settle)
}

/// The text with an object changed in part, so that it reads as `wanted` under `key`.
fn merged(text: &str, object: &Object, wanted: &Json, key: &Key) -> Option<String> {
    let part = Part::around(text, object.body.start);
    let mut changes = merge::changes(&part, object.scalars.as_ref()?, wanted)?;
    changes.sort_by_key(|change| change.range.start);
    let apply = |text: String, change: merge::Splice| {
        let fresh = with_breaks_of(&text, &change.part);
        spliced(&text, change.range, &fresh)
    };
    let merged = changes.into_iter().rev().fold(text.to_owned(), apply);
    // What cannot be changed in part, or would read as something else then, is written anew.
    find(&merged, key).is_ok_and(|object| object.json == *wanted).then_some(merged)
}

/// One object of a text.
struct Object {
    key: Key,
    json: Json,
    /// What stands before it in its document: the separator, directives, comments.
    head: Range<usize>,
    /// What it is made of.
    body: Range<usize>,
    form: Form,
    /// The tree, with positions that count from the start of its document; None where that is broken.
    scalars: Option<Node>,
}

enum Form {
    /// A document of its own that ends at `end`.
    Document { is_json: bool, end: usize },
    /// An item of a `List`; the indent is that of its fields, None within brackets.
    Item { indent: Option<usize> },
}

fn find(text: &str, key: &Key) -> Result<Object, EditError> {
    objects(text).into_iter().find(|object| object.key == *key).ok_or_else(|| EditError::Missing(key.clone()))
}

fn only_object(document: &str, key: &Key) -> Result<Object, EditError> {
    let mut all = objects(document);
    let documents = pieces(document.as_bytes()).filter(|piece| !is_trivia(piece.text())).count();
    match (all.pop(), all.is_empty() && documents == 1) {
        (Some(object), true) if object.key == *key => Ok(object),
        _ => Err(EditError::Mismatch(key.clone())),
    }
}

fn objects(text: &str) -> Vec<Object> {
    let mut budget = Budget::default();
    let mut all = Vec::new();
    // A byte order mark is no part of the first document.
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let bytes = text.as_bytes().get(start..).unwrap_or_default();
    for piece in pieces(bytes) {
        let part = Part::new(text, start + piece.offset, piece.bytes.len());
        let view = readable(part.own());
        let (Some(root), faults) = load(&view, piece.line, &mut budget) else { continue };
        if !is_list(&root) {
            let key = identify(&root).ok().flatten().and_then(|identity| identity.full_key());
            all.extend(key.map(|key| whole(&part, root, key, !faults.is_empty())));
        } else if faults.is_empty() {
            items(&part, &root, &mut all);
        }
    }
    all
}

/// An object that is a document of its own. A broken one ends where its text does, comments behind it apart.
fn whole(part: &Part<'_>, root: Node, key: Key, is_broken: bool) -> Object {
    let start = part.byte(root.span.start);
    let end = if is_broken { part.content_end_by_lines(start) } else { part.content_end(&root) };
    let is_json = part.text.get(start..).is_some_and(|rest| rest.starts_with('{'));
    let form = Form::Document { is_json, end: part.end };
    Object {
        key,
        json: root.to_json(),
        head: part.start..start,
        body: start..end,
        form,
        scalars: if is_broken { None } else { Some(root) },
    }
}

/// The objects of a `List`.
fn items(part: &Part<'_>, root: &Node, all: &mut Vec<Object>) {
    let list = root.child("items").filter(|list| !list.is_shared);
    for node in list.map(Node::items).unwrap_or_default().iter().filter(|node| !node.is_shared) {
        let Some(key) = identify(node).ok().flatten().and_then(|identity| identity.full_key()) else {
            continue;
        };
        let start = part.byte(node.span.start);
        let is_flow = part.text.get(start..).is_some_and(|rest| rest.starts_with('{'));
        let (head, indent, end) = if is_flow {
            (start..start, None, part.byte(node.span.end))
        } else {
            (part.dash_line(start)..start, Some(start - line_start(part.text, start)), part.content_end(node))
        };
        let (json, scalars) = (node.to_json(), Some(node.clone()));
        all.push(Object { key, json, head, body: start..end, form: Form::Item { indent }, scalars });
    }
}

impl Object {
    /// What goes when the object goes.
    fn removal(&self, text: &str) -> Range<usize> {
        match self.form {
            Form::Document { end, .. } => self.document_removal(text, end),
            Form::Item { indent: Some(_) } => {
                let end =
                    self.body.end + text.get(self.body.end..).map_or(0, |rest| line_end(rest.as_bytes()));
                touching_comments(text, self.head.start)..end
            }
            Form::Item { indent: None } => {
                let rest = text.get(self.body.end..).unwrap_or_default();
                let before = text.get(..self.body.start).unwrap_or_default();
                let gap = rest.len() - rest.trim_start().len();
                match (rest.trim_start().strip_prefix(','), before.trim_end().strip_suffix(',')) {
                    (Some(after), _) => {
                        let space = after.len() - after.trim_start_matches([' ', '\n', '\r', '\t']).len();
                        self.body.start..self.body.end + gap + 1 + space
                    }
                    (None, Some(kept)) => kept.len()..self.body.end,
                    (None, None) => self.body.clone(),
                }
            }
        }
    }

    /// A document goes with its separator and the comments that touch it, unless other comments are to stay.
    fn document_removal(&self, text: &str, end: usize) -> Range<usize> {
        let head = text.get(self.head.clone()).unwrap_or_default();
        let tail_start =
            self.body.end + text.get(self.body.end..end).map_or(0, |rest| line_end(rest.as_bytes()));
        let tail = text.get(tail_start..end).unwrap_or_default();
        let after = text.get(end..).unwrap_or_default();
        if !after.is_empty() && !after.starts_with("---") {
            // What follows has no separator of its own and would become part of the document before.
            return self.body.start..tail_start;
        }
        let start = self.head.start + set_apart(head);
        start..if tail.contains('#') { tail_start } else { end }
    }
}

/// How much of a head stays when its object goes: comments up to the last empty line.
fn set_apart(head: &str) -> usize {
    let (mut at, mut kept, mut has_comment) = (0, 0, false);
    while let Some(rest) = head.get(at..).filter(|rest| !rest.is_empty()) {
        let end = at + line_end(rest.as_bytes());
        let line = head.get(at..end).unwrap_or_default();
        has_comment |= line.contains('#');
        if line.trim().is_empty() && has_comment {
            kept = end;
        }
        at = end;
    }
    kept
}

/// The comments of a head, without separator and directives.
fn comments_of(head: &str) -> String {
    head.split_inclusive('\n').filter(|line| line.trim_start().starts_with('#')).collect()
}

/// Whether a piece has nothing but comments, directives and separators.
fn is_trivia(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| {
        let line = line.strip_prefix("---").or(line.strip_prefix("...")).unwrap_or(line).trim_start();
        line.is_empty() || line.starts_with(['#', '%'])
    })
}

fn spliced(text: &str, range: Range<usize>, part: &str) -> String {
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    [before, part, after].concat()
}

/// The part with the line ends the text has.
fn with_breaks_of(text: &str, part: &str) -> String {
    let is_crlf = text.find('\n').is_some_and(|at| text.get(..at).is_some_and(|line| line.ends_with('\r')));
    let unix = part.replace("\r\n", "\n");
    if is_crlf { unix.replace('\n', "\r\n") } else { unix }
}

fn indented(text: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    text.lines().collect::<Vec<_>>().join(&format!("\n{pad}"))
}

fn pretty(json: &Json) -> String {
    serde_json::to_string_pretty(json).unwrap_or_else(|_| json.to_string())
}

#[cfg(test)]
mod tests;
