//! Generating again: what the model changed since the last time is put into what a person has made of it since.

mod comment;
mod tree;

use std::collections::BTreeMap;
use std::fmt;

use api::yaml::{load_written, pieces, without_marker};
use serde_json::Value;

pub use tree::Conflict;

/// What becomes of a file that is generated again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// The file's new text.
    pub text: String,
    /// Where the model and a person said different things; the person's word stands.
    pub conflicts: Vec<Conflict>,
}

/// A text that cannot be taken apart into objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, from 1.
    pub line: u32,
    /// Why.
    pub message: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Unreadable {}

/// Joins three texts of objects: what was generated the last time, what stands in the file now, and what is generated
/// now. Objects and fields that only one side touched are that side's; where both did, the file's stay and are told.
/// A text in which nothing changes keeps every byte.
///
/// # Errors
/// One of the texts cannot be read; which, and where.
///
/// ```
/// let base = "kind: A\nmetadata: {name: a}\nspec: {weight: 100, port: 80}\n";
/// let mine = "kind: A\nmetadata: {name: a}\nspec: {weight: 80, port: 80} # mine\n";
/// let fresh = "kind: A\nmetadata: {name: a}\nspec: {weight: 100, port: 81}\n";
///
/// let merged = generate::merge(base, mine, fresh).expect("all three can be read");
///
/// assert!(merged.text.contains("weight: 80") && merged.text.contains("port: 81"));
/// assert!(merged.text.contains("# mine") && merged.conflicts.is_empty());
/// ```
pub fn merge(base: &str, mine: &str, fresh: &str) -> Result<Merged, Unreadable> {
    let [base, own, fresh] = [documents(base)?, documents(mine)?, documents(fresh)?];
    let [in_base, in_fresh] = [&base, &fresh].map(|all| by_key(all));
    let mut conflicts = Vec::new();
    let mut out: Vec<(String, String)> = Vec::new();
    let mut has_changed = false;
    for document in &own {
        let before = in_base.get(document.key.as_str()).map(|found| &found.value);
        let after = in_fresh.get(document.key.as_str());
        let kept = match (before, after) {
            (Some(before), None) if *before == document.value => None,
            (Some(before), None) => {
                conflicts.push(Conflict::whole(&document.key, [Some(before), Some(&document.value), None]));
                Some(document.text.clone())
            }
            (None, None) => Some(document.text.clone()),
            (before, Some(after)) => Some(together(before, document, after, &mut conflicts)),
        };
        has_changed |= kept.as_deref() != Some(document.text.as_str());
        out.extend(kept.map(|text| (document.key.clone(), text)));
    }
    let in_own = by_key(&own);
    for (place, document) in fresh.iter().enumerate() {
        if in_own.contains_key(document.key.as_str()) {
            continue;
        }
        match in_base.get(document.key.as_str()).map(|found| &found.value) {
            Some(before) if *before == document.value => {}
            Some(before) => {
                conflicts.push(Conflict::whole(&document.key, [Some(before), None, Some(&document.value)]));
            }
            None => {
                let at = behind(&fresh, place, &out);
                out.insert(at, (document.key.clone(), document.text.clone()));
                has_changed = true;
            }
        }
    }
    let text = if has_changed { joined(&out) } else { mine.to_owned() };
    Ok(Merged { text, conflicts })
}

/// One document of a text.
struct Document {
    key: String,
    value: Value,
    /// As it stands, without its separator.
    text: String,
}

fn documents(text: &str) -> Result<Vec<Document>, Unreadable> {
    let mut all: Vec<Document> = Vec::new();
    let mut loose = String::new();
    for piece in pieces(text.as_bytes()) {
        let loaded = load_written(piece.text(), piece.line);
        if let Some(fault) = loaded.faults.into_iter().next() {
            return Err(Unreadable { line: fault.at.line, message: fault.message });
        }
        let body = without_marker(piece.text());
        if loaded.root.is_none() {
            // Comments by themselves belong to what follows.
            loose.push_str(body);
            continue;
        }
        let value: Value = serde_saphyr::from_str(body)
            .map_err(|error| Unreadable { line: piece.line, message: error.to_string() })?;
        let body = body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')).unwrap_or(body);
        let mut own = std::mem::take(&mut loose) + body;
        if !own.ends_with('\n') {
            own.push('\n');
        }
        let key = key(&value);
        // Two of one name are told apart by their place, so that neither is lost.
        let same = all.iter().filter(|other| other.key.split('#').next() == Some(key.as_str())).count();
        let key = if same == 0 { key } else { format!("{key}#{same}") };
        all.push(Document { key, value, text: own });
    }
    if let Some(last) = all.last_mut() {
        last.text.push_str(&loose);
    }
    Ok(all)
}

fn key(value: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let meta = value.get("metadata");
    let of_meta = |field| text(meta.and_then(|meta| meta.get(field)));
    let namespace = Some(of_meta("namespace")).filter(|namespace| !namespace.is_empty());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    format!("{}/{namespace}/{}", text(value.get("kind")), of_meta("name"))
}

fn by_key(documents: &[Document]) -> BTreeMap<&str, &Document> {
    documents.iter().map(|document| (document.key.as_str(), document)).collect()
}

/// One object that both sides have.
fn together(
    before: Option<&Value>,
    mine: &Document,
    after: &Document,
    conflicts: &mut Vec<Conflict>,
) -> String {
    let merged = tree::merge(before, Some(&mine.value), Some(&after.value), &mine.key, conflicts);
    let Some(merged) = merged else { return mine.text.clone() };
    if merged == mine.value {
        return mine.text.clone();
    }
    if merged == after.value && Some(&mine.value) == before && !mine.text.contains('#') {
        return after.text.clone();
    }
    comment::written(&mine.text, &mine.value, &merged)
}

/// The place behind what the object follows among those generated.
fn behind(fresh: &[Document], place: usize, out: &[(String, String)]) -> usize {
    let before = fresh.iter().take(place).rev();
    let found = before.filter_map(|document| out.iter().position(|(key, _)| *key == document.key)).next();
    found.map_or(if place == 0 { 0 } else { out.len() }, |at| at + 1)
}

fn joined(documents: &[(String, String)]) -> String {
    let texts: Vec<&str> = documents.iter().map(|(_, text)| text.as_str()).collect();
    texts.join("---\n")
}

#[cfg(test)]
mod tests;
