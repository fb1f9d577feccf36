//! What the files hold: documents of old kinds, and others that are passed through.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::yaml::{Fault, Mark, Node, Piece, emit_commented, load_written, pieces, without_marker};
use base::{Issue, Place, Severity};
use serde_json::Value as Json;

use crate::document::{Comments, Document};
use crate::field::Fields;
use crate::legacy::{self, Dialect, Legacy, Source};
use crate::read::Log;

/// The most bytes a file may have.
const MAX_BYTES: usize = 10 * 1024 * 1024;
/// The most values a file may hold, whatever number of documents they are in.
const MAX_VALUES: usize = 1_000_000;

/// One document of the input that was not refused.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Legacy(Legacy),
    Other(Document),
}

impl Item {
    /// The old rule it is, if it is one.
    pub(crate) fn legacy(&self) -> Option<&Legacy> {
        match self {
            Self::Legacy(legacy) => Some(legacy),
            Self::Other(_) => None,
        }
    }
}

/// Reads the files in the order given; what is wrong goes to the log.
pub(crate) fn read(files: &[(Arc<str>, &[u8])], dialect: Dialect, log: &Log) -> Vec<Item> {
    let mut reader = Reader { log, dialect, items: Vec::new(), seen: BTreeMap::new(), loose: Vec::new() };
    for (file, bytes) in files {
        reader.file(file, bytes);
    }
    reader.items
}

/// How many values a tree has; its depth is bounded by whoever read it.
fn values(node: &Node) -> usize {
    let inner = node.entries().iter().map(|entry| &entry.node).chain(node.items()).map(values);
    inner.fold(1, usize::saturating_add)
}

struct Reader<'a> {
    log: &'a Log,
    dialect: Dialect,
    items: Vec<Item>,
    /// Where each rule was seen first.
    seen: BTreeMap<String, Place>,
    /// Comments of a piece without a document, which belong to the next.
    loose: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, file: &Arc<str>, bytes: &[u8]) {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.len() > MAX_BYTES {
            let message = format!("the file has {} bytes; the most is {MAX_BYTES}", bytes.len());
            return self.fault(file, Fault { code: "too-large", at: Mark::default(), message });
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = before.iter().filter(|b| **b == b'\n').count().saturating_add(1);
                let at = Mark { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
                let message = "the file is not UTF-8 here; save it as UTF-8".into();
                return self.fault(file, Fault { code: "not-utf8", at, message });
            }
        };
        let mut left = MAX_VALUES;
        for piece in pieces(text.as_bytes()) {
            self.piece(file, piece, &mut left);
        }
        let loose = std::mem::take(&mut self.loose);
        if loose.is_empty() {
            return;
        }
        match self.items.last_mut() {
            Some(Item::Other(document)) => document.add_comments(&loose),
            Some(Item::Legacy(legacy)) => {
                legacy.source_mut().into_iter().for_each(|s| s.body.extend(loose.clone()))
            }
            // A file of comments alone leads the next file.
            None => self.loose = loose,
        }
    }

    fn piece(&mut self, file: &Arc<str>, piece: Piece<'_>, left: &mut usize) {
        if *left == 0 {
            return;
        }
        let control = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || c == '\u{7f}';
        let text = piece.text();
        if let Some(offset) = text.find(control) {
            let lines = text.get(..offset).unwrap_or_default().matches('\n').count();
            let line = piece.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
            let message = "a control character stands here; YAML is plain text".into();
            let at = Mark { line, column: 1 };
            return self.fault(file, Fault { code: "control-character", at, message });
        }
        let loaded = load_written(text, piece.line);
        // One is told: what else is wrong may only follow from it.
        if let Some(fault) = loaded.faults.into_iter().next() {
            return self.fault(file, Fault { code: "bad-yaml", ..fault });
        }
        let Some(root) = loaded.root else {
            self.loose.extend(loaded.comments.into_iter().map(|comment| comment.text));
            return;
        };
        let Some(rest) = left.checked_sub(values(&root)) else {
            *left = 0;
            let message = format!("the file holds more than {MAX_VALUES} values: cut it in parts");
            return self.fault(file, Fault { code: "too-large", at: root.at, message });
        };
        *left = rest;
        let mut source = Source::new(file.clone(), without_marker(text).into(), &root, loaded.comments);
        if let Some(kind) = legacy::kind_of(&root, self.dialect) {
            source.head.splice(0..0, std::mem::take(&mut self.loose));
            return self.legacy(kind, &root, source);
        }
        let is_list = root.field("kind").and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
        let items = root.field("items").map(Node::items).unwrap_or_default();
        if is_list && items.iter().any(|item| legacy::kind_of(item, self.dialect).is_some()) {
            source.head.splice(0..0, std::mem::take(&mut self.loose));
            return self.list(items, piece, source);
        }
        self.other(file, &root, piece);
    }

    /// Takes a list that holds rules apart.
    fn list(&mut self, items: &[Node], piece: Piece<'_>, source: Source) {
        let whole: Json = serde_saphyr::from_str(without_marker(piece.text())).unwrap_or(Json::Null);
        let mut comments = Some((source.head.clone(), source.body.clone()));
        for (index, item) in items.iter().enumerate() {
            let (head, body) = comments.take().unwrap_or_default();
            if let Some(kind) = legacy::kind_of(item, self.dialect) {
                let mut own = source.item(item);
                (own.head, own.body) = (head, body);
                self.legacy(kind, item, own);
                continue;
            }
            match whole.get("items").and_then(|items| items.get(index)) {
                Some(value) if value.is_object() => {
                    let lines: Vec<String> = head.into_iter().chain(body).collect();
                    let comments: Comments = [(String::new(), lines)].into();
                    self.push_other(&source.file, item, emit_commented(value, &comments));
                }
                _ => {
                    let message = "an item of the list is no object".into();
                    self.fault(&source.file, Fault { code: "wrong-type", at: item.at, message });
                }
            }
        }
    }

    fn legacy(&mut self, kind: &'static str, root: &Node, source: Source) {
        let Some(legacy) = legacy::read(kind, root, source, self.log) else { return };
        if let Some(source) = legacy.source() {
            if let Some(first) = self.seen.get(&source.object) {
                let message =
                    format!("this object stands twice, at {first} and here; only the first one counts");
                source.error(self.log, "duplicate-object", "", message);
                return;
            }
            self.seen.insert(source.object.clone(), source.place(""));
        }
        self.items.push(Item::Legacy(legacy));
    }

    fn report_foreign(&self, file: &Arc<str>, root: &Node, object: String) {
        if object.starts_with("Ingress/")
            && let Some(class) = legacy::foreign_class(root, self.dialect)
        {
            self.log.note(Issue {
                severity: Severity::Warning,
                code: "not-converted".into(),
                place: Place { file: file.clone(), line: root.at.line, column: root.at.column },
                object,
                path: "metadata.annotations".into(),
                message: format!(
                    "the Ingress is for {class:?}, not for {}: it stays as it is",
                    self.dialect.controller()
                ),
            });
        }
    }

    fn other(&mut self, file: &Arc<str>, root: &Node, piece: Piece<'_>) {
        let mut text = String::new();
        for line in std::mem::take(&mut self.loose) {
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str(without_marker(piece.text()));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.push_other(file, root, text);
    }

    fn push_other(&mut self, file: &Arc<str>, root: &Node, text: String) {
        let of = |node: Option<&Node>, name: &str| {
            node.and_then(|node| node.field(name)).and_then(Node::text).map(str::to_owned)
        };
        let meta = root.field("metadata");
        let kind = of(Some(root), "kind").unwrap_or_default();
        let name = of(meta, "name").unwrap_or_default();
        let document = Document::passed(kind, of(meta, "namespace"), name, text);
        self.report_foreign(file, root, document.object());
        self.items.push(Item::Other(document));
    }

    fn fault(&mut self, file: &Arc<str>, fault: Fault) {
        self.log.note(Issue {
            severity: Severity::Error,
            code: fault.code.into(),
            place: Place { file: file.clone(), line: fault.at.line, column: fault.at.column },
            object: String::new(),
            path: String::new(),
            message: fault.message,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_too_many_values_is_refused_however_many_documents_it_has() {
        let document = format!("a: [{}]\n---\n", "1,".repeat(300_000));
        let text = document.repeat(5);
        let log = Log::default();

        let items = read(&[("a.yaml".into(), text.as_bytes())], Dialect::Istio, &log);

        let issues = log.into_issues(&[]);
        let codes: Vec<&str> = issues.iter().map(|issue| issue.code.as_str()).collect();
        assert_eq!((items.len(), codes), (3, vec!["too-large"]));
    }
}
