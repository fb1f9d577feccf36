//! The tree: values with the line and column at which each was written.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use base::Place;
use serde_json::{Map, Number};

/// A line and a column of a file, both from 1; zero is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// One value and where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it begins.
    pub at: Mark,
    /// The characters it is made of, counted from the start of its piece of text; block maps and lists, whose end
    /// no character marks, end where they begin.
    pub(crate) span: Range<u32>,
    /// Whether it is written elsewhere too, or with an anchor or a tag: then it cannot be changed by itself.
    pub(crate) is_shared: bool,
}

/// A value of JSON's kind.
#[derive(Clone, Debug)]
pub enum Value {
    /// `true` or `false`; text in a tree as written.
    Bool(bool),
    /// A number with a point or an exponent, or a large one; text in a tree as written.
    Float(f64),
    /// A whole number; text in a tree as written.
    Int(i64),
    /// A list.
    List(Vec<Node>),
    /// A map; its keys in their order.
    Map(Vec<Entry>),
    /// `null`, `~` or nothing.
    Null,
    /// Text.
    Text(String),
}

/// One key of a map and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: Mark,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value of a key; none where this is no map, the key is missing or its value is null.
    pub(crate) fn child(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key whose value is not null.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key && !entry.node.is_null())
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is `null`, `~` or nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The last character known to belong to it, and whatever stands in it.
    pub(crate) fn end(&self) -> u32 {
        let inner = match &self.value {
            _ if self.is_shared => None,
            Value::List(items) => items.iter().map(Node::end).max(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.end()).max(),
            _ => None,
        };
        inner.unwrap_or_default().max(self.span.end)
    }

    /// What the value is, for a message.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Int(value) => format!("the number {value}"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Null => "nothing".into(),
            Value::Text(text) => format!("the text {:?}", shortened(text)),
        }
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Bool(value) => (*value).into(),
            Value::Float(value) => {
                Number::from_f64(*value).map_or_else(|| value.to_string().into(), serde_json::Value::Number)
            }
            Value::Int(value) => (*value).into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect::<Map<_, _>>(),
            ),
            Value::Null => serde_json::Value::Null,
            Value::Text(text) => text.as_str().into(),
        }
    }

    /// Feeds the meaning to a hasher: keys in order, absent and null alike, no positions.
    pub(crate) fn hash_meaning(&self, state: &mut impl Hasher) {
        match &self.value {
            Value::Bool(value) => (1u8, value).hash(state),
            Value::Float(value) => (2u8, value.to_bits()).hash(state),
            Value::Int(value) => (3u8, value).hash(state),
            Value::List(items) => {
                (4u8, items.len()).hash(state);
                items.iter().for_each(|item| item.hash_meaning(state));
            }
            Value::Map(entries) => {
                let mut present: Vec<&Entry> = entries.iter().filter(|e| !e.node.is_null()).collect();
                present.sort_by(|a, b| a.key.cmp(&b.key));
                (5u8, present.len()).hash(state);
                for entry in present {
                    entry.key.hash(state);
                    entry.node.hash_meaning(state);
                }
            }
            Value::Null => 6u8.hash(state),
            Value::Text(text) => (7u8, text).hash(state),
        }
    }

    /// The node at a path such as `http[0].match[0].headers[x-user]`.
    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        let (node, _, rest) = self.descend(path, self.at);
        rest.is_empty().then_some(node)
    }

    /// Where the node at a path begins, or the nearest one above it that is written; a field begins with its key.
    fn nearest(&self, path: &str, start: Mark) -> Mark {
        self.descend(path, start).1
    }

    /// As far down a path as something is written: the node, where it begins, and what is left of the path.
    fn descend<'p>(&self, path: &'p str, start: Mark) -> (&Node, Mark, &'p str) {
        let (mut node, mut at, mut rest) = (self, start, path);
        while let Some((step, after)) = next_step(rest) {
            let found = match (step, &node.value) {
                (Step::Bracket(index), Value::List(items)) => {
                    index.parse::<usize>().ok().and_then(|i| items.get(i)).map(|item| (item, item.at))
                }
                (Step::Bracket(key) | Step::Field(key), Value::Map(_)) => {
                    node.entry(key).map(|entry| (&entry.node, entry.at))
                }
                _ => None,
            };
            let Some(found) = found else { break };
            (node, at) = found;
            rest = after;
        }
        (node, at, rest)
    }
}

enum Step<'a> {
    Bracket(&'a str),
    Field(&'a str),
}

/// The first step of a path and what follows it. A key in brackets ends at a bracket that ends a step, so that
/// keys may hold dots.
fn next_step(path: &str) -> Option<(Step<'_>, &str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if let Some(inside) = path.strip_prefix('[') {
        let end = inside.match_indices(']').map(|(i, _)| i).find(|i| {
            let after = inside.get(i + 1..).unwrap_or_default();
            after.is_empty() || after.starts_with(['.', '['])
        })?;
        return Some((Step::Bracket(inside.get(..end)?), inside.get(end + 1..)?));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    (end > 0).then(|| path.split_at(end)).map(|(field, rest)| (Step::Field(field), rest))
}

/// A place in a text as the tree counts it.
pub(super) fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

/// One object's tree, its text and the file they come from.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) file: Arc<str>,
    pub(crate) text: String,
    pub(crate) root: Node,
}

impl Document {
    /// The place of a path below `spec`, or below the object itself where it has no `spec`.
    pub(crate) fn place(&self, path: &str) -> Place {
        let at = match self.root.entry("spec") {
            _ if path.is_empty() => self.root.at,
            Some(spec) => spec.node.nearest(path, spec.at),
            None => self.root.nearest(path, self.root.at),
        };
        Place { file: self.file.clone(), line: at.line, column: at.column }
    }
}
