//! From the text of one document to its tree, within bounds of depth and size.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::comment::{Comment, Ink};
use super::scalar;
use super::tree::{Entry, Mark, Node, Value, narrow};

/// How deep maps and lists may stand in each other.
const MAX_DEPTH: usize = 100;

/// How many values a document that is read as written may hold.
const MAX_WRITTEN_NODES: usize = 1_000_000;

/// Something wrong with the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in a word or two: `duplicate-key`.
    pub code: &'static str,
    /// Where.
    pub at: Mark,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// What the documents of one file may still grow to; aliases spend it as if they had been written out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    nodes: usize,
    alias_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: 2_500_000, alias_bytes: 10 * 1024 * 1024 }
    }
}

/// Reads one document whose first line is number `line` of its file. A tree comes back even where there are
/// faults, as far as it was read: it may tell which object the faults are in. None is an empty document.
pub(crate) fn load<'b>(text: &'b str, line: u32, budget: &'b mut Budget) -> (Option<Node>, Vec<Fault>) {
    let mut loader = Loader::new(text, line, budget);
    let root = loader.run();
    (root, loader.faults)
}

/// One document as it was written.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The root; None where the document is empty or broken.
    pub root: Option<Node>,
    /// What is wrong with the text, in the order it was found: the first may be the cause of others.
    pub faults: Vec<Fault>,
    /// The comments, in the order of their lines.
    pub comments: Vec<Comment>,
}

/// Reads one document whose first line is number `line` of its file, as it was written: a scalar is the text that
/// stands there, keys are too, and only a plain null is nothing; an alias stands where it is written; tags say
/// nothing, nor does a `<<` without a map.
pub fn load_written(text: &str, line: u32) -> Loaded {
    let mut budget = Budget { nodes: MAX_WRITTEN_NODES, ..Budget::default() };
    let mut loader = Loader { ink: Some(Ink::default()), ..Loader::new(text, line, &mut budget) };
    let root = loader.run();
    let comments = loader.ink.map(|ink| ink.comments(text, line)).unwrap_or_default();
    Loaded { root: root.filter(|_| loader.faults.is_empty()), faults: loader.faults, comments }
}

struct Loader<'b> {
    text: &'b str,
    line: u32,
    budget: &'b mut Budget,
    faults: Vec<Fault>,
    anchors: HashMap<usize, Node>,
    stack: Vec<Frame>,
    /// Where scalars stand; only where the document is read as written.
    ink: Option<Ink>,
}

/// A map or list that has begun.
struct Frame {
    at: Mark,
    start: u32,
    anchor: usize,
    inner: Inner,
}

enum Inner {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merges: Vec<Node>, key: Option<Key> },
}

struct Key {
    text: String,
    at: Mark,
    /// Whether it is a plain `<<`.
    merges: bool,
}

/// Why reading stopped early; the fault has been noted.
struct Stop;

impl<'b> Loader<'b> {
    fn new(text: &'b str, line: u32, budget: &'b mut Budget) -> Self {
        let (anchors, stack) = (HashMap::new(), Vec::new());
        Self { text, line, budget, faults: Vec::new(), anchors, stack, ink: None }
    }

    fn run(&mut self) -> Option<Node> {
        let mut parser = Parser::new_from_str(self.text);
        let mut root = None;
        while let Some(event) = parser.next_event() {
            let taken = match event {
                Ok((event, span)) => self.take(event, span),
                Err(error) => Err(self.scan_error(&error)),
            };
            match taken {
                Ok(Some(node)) if root.is_none() => root = Some(node),
                Ok(_) => {}
                Err(Stop) => break,
            }
        }
        // What was open when reading stopped is closed here, innermost first.
        while let Some(frame) = self.stack.pop() {
            let node = self.close(frame, None);
            match self.place_value(node, false) {
                Ok(Some(node)) => root = root.or(Some(node)),
                Ok(None) => {}
                Err(Stop) => break,
            }
        }
        root.filter(|root| !root.is_null())
    }

    /// Takes one event; a node comes back when the document's root is complete.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, Stop> {
        let at = self.mark(&span);
        match event {
            Event::Alias(id) => {
                let mut node = self.expand(id, at)?;
                node.span = narrow(span.start.index())..narrow(span.end.index());
                if let Some(ink) = &mut self.ink {
                    ink.note(&span);
                    node.at = at;
                }
                self.place_value(node, false)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1, at)?;
                let plain = style == ScalarStyle::Plain;
                let value = match &mut self.ink {
                    Some(ink) => {
                        ink.note(&span);
                        self.written(&text, plain)
                    }
                    None => self.scalar(&text, plain, tag.as_deref(), at),
                };
                let span = narrow(span.start.index())..narrow(span.end.index());
                let node = Node { value, at, span, is_shared: anchor > 0 || tag.is_some() };
                self.anchor(anchor, &node)?;
                self.place_value(node, plain && text == "<<")
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", at);
                self.open(at, &span, anchor, Inner::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", at);
                self.open(
                    at,
                    &span,
                    anchor,
                    Inner::Map { entries: Vec::new(), merges: Vec::new(), key: None },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(frame) => {
                    let anchor = frame.anchor;
                    let node = self.close(frame, Some(&span));
                    self.anchor(anchor, &node)?;
                    self.place_value(node, false)
                }
                None => Ok(None),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(None),
        }
    }

    fn open(&mut self, at: Mark, span: &Span, anchor: usize, inner: Inner) -> Result<Option<Node>, Stop> {
        self.spend(1, at)?;
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("maps and lists stand more than {MAX_DEPTH} deep in each other");
            return Err(self.stop("too-deep", at, message));
        }
        self.stack.push(Frame { at, start: narrow(span.start.index()), anchor, inner });
        Ok(None)
    }

    fn close(&mut self, frame: Frame, span: Option<&Span>) -> Node {
        // The end of a flow map is its bracket; what the parser adds to it is space and comments. That of a block
        // map is no character at all.
        let bracket =
            span.filter(|span| !span.is_empty()).map(|span| narrow(span.start.index()).saturating_add(1));
        let end = bracket.unwrap_or(frame.start);
        let value = match frame.inner {
            Inner::List(items) => Value::List(items),
            Inner::Map { mut entries, merges, .. } => {
                self.check_duplicates(&entries);
                merge(&mut entries, merges);
                Value::Map(entries)
            }
        };
        Node { value, at: frame.at, span: frame.start..end, is_shared: frame.anchor > 0 }
    }

    /// Puts a finished node into what is open: as a key, a value or an item.
    fn place_value(&mut self, node: Node, is_merge_word: bool) -> Result<Option<Node>, Stop> {
        let is_written = self.ink.is_some();
        let Some(frame) = self.stack.last_mut() else { return Ok(Some(node)) };
        let (entries, merges, key) = match &mut frame.inner {
            Inner::List(items) => {
                items.push(node);
                return Ok(None);
            }
            Inner::Map { entries, merges, key } => (entries, merges, key),
        };
        match key.take() {
            None => {
                let at = node.at;
                let Some(text) = key_text(&node.value) else {
                    let message = format!("a key must be text; this is {}", node.describe());
                    return Err(self.stop("bad-key", at, message));
                };
                *key = Some(Key { text, at, merges: is_merge_word });
            }
            Some(Key { merges: true, at, .. }) => match node.value {
                Value::Map(_) => merges.push(node),
                Value::List(items)
                    if is_written || items.iter().all(|item| matches!(item.value, Value::Map(_))) =>
                {
                    merges.extend(items);
                }
                _ if is_written => {}
                _ => self.fault("bad-merge", at, "`<<` takes a map or a list of maps".into()),
            },
            Some(Key { text, at, .. }) => entries.push(Entry { key: text, at, node }),
        }
        Ok(None)
    }

    /// A scalar as written: a key is text even where a value would be nothing.
    fn written(&self, text: &str, plain: bool) -> Value {
        let is_key = matches!(self.stack.last(), Some(Frame { inner: Inner::Map { key: None, .. }, .. }));
        if plain && !is_key && scalar::is_null(text) { Value::Null } else { Value::Text(text.into()) }
    }

    fn scalar(&mut self, text: &str, plain: bool, tag: Option<&Tag>, at: Mark) -> Value {
        let Some(tag) = tag else {
            return if plain { scalar::resolve(text) } else { Value::Text(text.into()) };
        };
        let resolved = scalar::resolve(text);
        let fits = match (core_tag(tag), &resolved) {
            (Some("str"), _) => return Value::Text(text.into()),
            (Some("int"), Value::Int(_))
            | (Some("bool"), Value::Bool(_))
            | (Some("null"), Value::Null)
            | (Some("float"), Value::Float(_) | Value::Int(_)) => true,
            _ => false,
        };
        if !fits {
            self.fault("bad-tag", at, format!("{:?} is not what the tag {} says", text, shown(tag)));
        }
        resolved
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, at: Mark) {
        if let Some(tag) = tag.filter(|tag| self.ink.is_none() && core_tag(tag) != Some(expected)) {
            self.fault("bad-tag", at, format!("the tag {} has no meaning here", shown(tag)));
        }
    }

    fn check_duplicates(&mut self, entries: &[Entry]) {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key).then(a.at.cmp(&b.at)));
        for pair in sorted.windows(2) {
            if let [first, second] = pair
                && first.key == second.key
            {
                let message = format!(
                    "the key {:?} stands twice in one map: at line {} column {} and here",
                    second.key, first.at.line, first.at.column
                );
                self.fault("duplicate-key", second.at, message);
            }
        }
    }

    fn anchor(&mut self, anchor: usize, node: &Node) -> Result<(), Stop> {
        if anchor > 0 {
            let copy = self.copy(node, node.at)?;
            self.anchors.insert(anchor, copy);
        }
        Ok(())
    }

    fn expand(&mut self, id: usize, at: Mark) -> Result<Node, Stop> {
        match self.anchors.remove(&id) {
            None => Err(self.stop("bad-alias", at, "the alias stands for a value that it is part of".into())),
            Some(node) => {
                let copy = self.copy(&node, at);
                self.anchors.insert(id, node);
                copy
            }
        }
    }

    fn copy(&mut self, node: &Node, at: Mark) -> Result<Node, Stop> {
        let (nodes, bytes) = size(node);
        self.spend(nodes, at)?;
        match self.budget.alias_bytes.checked_sub(bytes) {
            Some(rest) => self.budget.alias_bytes = rest,
            None => return Err(self.stop("too-large", at, "aliases make the file too large".into())),
        }
        Ok(Node { is_shared: true, ..node.clone() })
    }

    fn spend(&mut self, nodes: usize, at: Mark) -> Result<(), Stop> {
        match self.budget.nodes.checked_sub(nodes) {
            Some(rest) => {
                self.budget.nodes = rest;
                Ok(())
            }
            None => Err(self.stop("too-large", at, "the file holds too many values".into())),
        }
    }

    fn scan_error(&mut self, error: &ScanError) -> Stop {
        let at = self.mark(&Span::empty(*error.marker()));
        let line = usize::try_from(at.line.saturating_sub(self.line)).unwrap_or(usize::MAX);
        let has_tab = self.text.lines().nth(line).is_some_and(|text| text.contains('\t'));
        let hint = if has_tab { "; there is a tab on this line: YAML wants spaces" } else { "" };
        self.stop("bad-yaml", at, format!("{}{hint}", error.info()))
    }

    fn stop(&mut self, code: &'static str, at: Mark, message: String) -> Stop {
        self.fault(code, at, message);
        Stop
    }

    fn fault(&mut self, code: &'static str, at: Mark, message: String) {
        self.faults.push(Fault { code, at, message });
    }

    fn mark(&self, span: &Span) -> Mark {
        let line = narrow(span.start.line()).saturating_sub(1).saturating_add(self.line);
        Mark { line, column: narrow(span.start.col()).saturating_add(1) }
    }
}

/// Adds what the merged maps have and the map itself has not; earlier merges win.
fn merge(entries: &mut Vec<Entry>, merges: Vec<Node>) {
    for node in merges {
        let Value::Map(merged) = node.value else { continue };
        for entry in merged {
            if entries.iter().all(|own| own.key != entry.key) {
                entries.push(entry);
            }
        }
    }
}

/// A key as JSON has it: numbers and booleans become their text.
fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::List(_) | Value::Map(_) | Value::Null => None,
    }
}

fn core_tag(tag: &Tag) -> Option<&str> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("tag:yaml.org,2002:", suffix) => Some(suffix),
        ("" | "!", "" | "!") => Some("str"),
        ("", suffix) => suffix.strip_prefix("tag:yaml.org,2002:"),
        _ => None,
    }
}

fn shown(tag: &Tag) -> String {
    match core_tag(tag) {
        Some(suffix) => format!("!!{suffix}"),
        None => format!("{}{}", tag.handle, tag.suffix),
    }
}

/// How many values a node is made of, and how many bytes of text.
fn size(node: &Node) -> (usize, usize) {
    let add = |(nodes, bytes): (usize, usize), (n, b): (usize, usize)| (nodes + n, bytes + b);
    match &node.value {
        Value::List(items) => items.iter().map(size).fold((1, 0), add),
        Value::Map(entries) => entries.iter().map(|e| add(size(&e.node), (0, e.key.len()))).fold((1, 0), add),
        Value::Text(text) => (1, text.len()),
        Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::Null => (1, 0),
    }
}
