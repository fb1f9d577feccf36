//! The smallest changes that make an object read as wanted: what already does keeps its bytes and its comments.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::part::{Part, line_start, touching_comments};
use super::scalar;
use crate::yaml::{Entry, Mark, Node, Value, emit, line_end};

/// One change of a text.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) part: String,
}

/// The changes that turn a tree into `wanted`; none where something in it can only be written anew as a whole.
pub(super) fn changes(part: &Part<'_>, root: &Node, wanted: &Json) -> Option<Vec<Splice>> {
    let mut merge = Merge { part, splices: Vec::new() };
    merge.node(root, wanted).then_some(merge.splices)
}

struct Merge<'p, 't> {
    part: &'p Part<'t>,
    splices: Vec<Splice>,
}

impl Merge<'_, '_> {
    /// Makes a node read as wanted; false where its entry or item has to be written anew.
    fn node(&mut self, node: &Node, wanted: &Json) -> bool {
        if node.to_json() == *wanted {
            return true;
        }
        if node.is_shared {
            return false;
        }
        match (&node.value, wanted) {
            (Value::Map(entries), Json::Object(map)) if !self.is_flow(node) => self.map(entries, map),
            (Value::Map(entries), Json::Object(map)) if has_same_keys(entries, map) => entries
                .iter()
                .all(|entry| map.get(&entry.key).is_some_and(|value| self.node(&entry.node, value))),
            (Value::List(items), Json::Array(values)) if !self.is_flow(node) => self.list(items, values),
            (Value::List(items), Json::Array(values)) if items.len() == values.len() => {
                items.iter().zip(values).all(|(item, value)| self.node(item, value))
            }
            (Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::Text(_), _) if !is_nested(wanted) => {
                self.scalar(node, wanted)
            }
            _ => false,
        }
    }

    fn scalar(&mut self, node: &Node, wanted: &Json) -> bool {
        let span = self.part.byte(node.span.start)..self.part.byte(node.span.end);
        let Some(old) = self.part.text.get(span.clone()).and_then(scalar::one_line) else { return false };
        self.splice(span.start..span.start + old.len(), scalar::written_like(old, wanted));
        true
    }

    /// A block map: entries are changed, taken out, and added behind the last one.
    fn map(&mut self, entries: &[Entry], wanted: &Map<String, Json>) -> bool {
        let Some(column) = entries.first().map(|entry| entry.at.column) else { return false };
        if wanted.is_empty() || entries.iter().any(|entry| entry.at.column != column) {
            return false;
        }
        let indent = usize::try_from(column.saturating_sub(1)).unwrap_or_default();
        let mut end = None;
        for entry in entries {
            match wanted.get(&entry.key) {
                Some(value) => {
                    end = Some(self.entry_end(entry));
                    let before = self.splices.len();
                    if !self.node(&entry.node, value) {
                        self.splices.truncate(before);
                        self.rewrite(entry, value, indent);
                    }
                }
                None if self.begins_line(entry) => self.take_out(entry),
                // It shares its line with the dash of the item it belongs to.
                None => return false,
            }
        }
        let added: Map<String, Json> = wanted
            .iter()
            .filter(|(key, _)| !entries.iter().any(|entry| entry.key == **key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        match (added.is_empty(), end) {
            (true, _) => true,
            (false, Some(end)) => {
                let pad = " ".repeat(indent);
                let text = emit(&Json::Object(added));
                let lines: String = text.lines().map(|line| format!("\n{pad}{line}")).collect();
                self.splice(end..end, lines);
                true
            }
            (false, None) => false,
        }
    }

    /// A block list: what is alike at both ends stays; in between items are changed, taken out or added.
    fn list(&mut self, items: &[Node], wanted: &[Json]) -> bool {
        let same = |item: &Node, value: &Json| item.to_json() == *value;
        let head = items.iter().zip(wanted).take_while(|(item, value)| same(item, value)).count();
        let tail = items[head..]
            .iter()
            .rev()
            .zip(wanted[head..].iter().rev())
            .take_while(|(item, value)| same(item, value))
            .count();
        let (old, new) = (&items[head..items.len() - tail], &wanted[head..wanted.len() - tail]);
        if wanted.is_empty() || items.is_empty() {
            return false;
        }
        for (item, value) in old.iter().zip(new) {
            let before = self.splices.len();
            if !self.node(item, value) {
                self.splices.truncate(before);
                let start = self.part.byte(item.span.start);
                let indent = start - line_start(self.part.text, start);
                let range = start..self.part.content_end(item);
                self.splice(range, indented(&one(value), indent));
            }
        }
        for item in old.iter().skip(new.len()) {
            let dash = self.part.dash_line(self.part.byte(item.span.start));
            let start = touching_comments(self.part.text, dash);
            let end = self.past_line(self.part.content_end(item));
            self.splice(start..end, String::new());
        }
        let added = new.get(old.len()..).unwrap_or_default();
        added.is_empty() || self.add(items, head + old.len(), added)
    }

    /// Puts items behind the `at`th, or before the first.
    fn add(&mut self, items: &[Node], at: usize, added: &[Json]) -> bool {
        let neighbour = if at == 0 { items.first() } else { items.get(at - 1) };
        let Some(neighbour) = neighbour else { return false };
        let start = self.part.byte(neighbour.span.start);
        let dash = self.part.dash_line(start);
        let line = self.part.text.get(dash..start).unwrap_or_default();
        let (Some(dash_at), indent) = (line.find('-'), start - line_start(self.part.text, start)) else {
            return false;
        };
        if dash_at + 2 != indent || line.trim() != "-" {
            return false;
        }
        let pad = " ".repeat(dash_at);
        let texts: Vec<String> =
            added.iter().map(|value| format!("{pad}- {}", indented(&one(value), indent))).collect();
        if at == 0 {
            self.splice(dash..dash, format!("{}\n", texts.join("\n")));
        } else {
            let end = self.part.content_end(neighbour);
            self.splice(end..end, format!("\n{}", texts.join("\n")));
        }
        true
    }

    /// Writes an entry anew, its key included.
    fn rewrite(&mut self, entry: &Entry, value: &Json, indent: usize) {
        let start = self.byte_of(entry.at);
        let text = emit(&Json::Object(Map::from_iter([(entry.key.clone(), value.clone())])));
        self.splice(start..self.entry_end(entry), indented(&text, indent));
    }

    fn take_out(&mut self, entry: &Entry) {
        let line = line_start(self.part.text, self.byte_of(entry.at));
        let start = touching_comments(self.part.text, line);
        let end = self.past_line(self.entry_end(entry));
        self.splice(start..end, String::new());
    }

    fn entry_end(&self, entry: &Entry) -> usize {
        let key = self.byte_of(entry.at);
        let key_line =
            key + self.part.text.get(key..).map_or(0, |rest| rest.find(['\n', '\r']).unwrap_or(rest.len()));
        if entry.node.is_null() { key_line } else { self.part.content_end(&entry.node).max(key_line) }
    }

    fn past_line(&self, end: usize) -> usize {
        end + self.part.text.get(end..).map_or(0, |rest| line_end(rest.as_bytes()))
    }

    fn begins_line(&self, entry: &Entry) -> bool {
        let at = self.byte_of(entry.at);
        self.part.text.get(line_start(self.part.text, at)..at).is_some_and(|before| before.trim().is_empty())
    }

    fn byte_of(&self, mark: Mark) -> usize {
        let lines = usize::try_from(mark.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let start: usize = self.part.text.split_inclusive('\n').take(lines).map(str::len).sum();
        let rest = self.part.text.get(start..).unwrap_or_default();
        let column = usize::try_from(mark.column.saturating_sub(1)).unwrap_or(usize::MAX);
        start + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte)
    }

    fn is_flow(&self, node: &Node) -> bool {
        let rest = self.part.text.get(self.part.byte(node.span.start)..).unwrap_or_default();
        rest.starts_with(['{', '['])
    }

    fn splice(&mut self, range: Range<usize>, part: String) {
        self.splices.push(Splice { range, part });
    }
}

fn has_same_keys(entries: &[Entry], map: &Map<String, Json>) -> bool {
    entries.len() == map.len() && entries.iter().all(|entry| map.contains_key(&entry.key))
}

fn is_nested(value: &Json) -> bool {
    matches!(value, Json::Array(_) | Json::Object(_))
}

/// A value as it stands behind a dash, without its last line break.
fn one(value: &Json) -> String {
    emit(value).trim_end_matches('\n').to_owned()
}

fn indented(text: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    text.lines().collect::<Vec<_>>().join(&format!("\n{pad}"))
}
