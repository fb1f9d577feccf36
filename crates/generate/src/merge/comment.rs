//! A changed object written again with the comments it had, each above what it was about.

use std::collections::BTreeMap;

use api::yaml::{Node, emit_commented, load_written};
use serde_json::Value;

use super::tree::{identities, identity};

/// Writes `new` with the comments of `text`, which says `old`.
pub(super) fn written(text: &str, old: &Value, new: &Value) -> String {
    let loaded = load_written(text, 1);
    let mut lines: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
    if let Some(root) = &loaded.root {
        note(root, old, &mut Vec::new(), &mut lines);
    }
    let first = lines.keys().next().copied().unwrap_or(1);
    let mut comments: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for comment in &loaded.comments {
        // Above what begins on its line or below it; the document's head is above everything.
        let below = lines.range(comment.line..).next().map(|(_, steps)| steps.as_slice());
        let path = if comment.line < first { String::new() } else { path_in(new, below.unwrap_or_default()) };
        comments.entry(path).or_default().push(comment.text.clone());
    }
    emit_commented(new, &comments)
}

/// One step down a tree.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// To an item of this identity, or at this place where it has none.
    Item(Option<String>, usize),
    Key(String),
}

/// Notes what begins first on each line.
fn note(node: &Node, value: &Value, path: &mut Vec<Step>, lines: &mut BTreeMap<u32, Vec<Step>>) {
    for entry in node.entries() {
        path.push(Step::Key(entry.key.clone()));
        lines.entry(entry.at.line).or_insert_with(|| path.clone());
        note(&entry.node, value.get(&entry.key).unwrap_or(&Value::Null), path, lines);
        path.pop();
    }
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let are_told_apart = identities(items).is_some();
    for (place, item) in node.items().iter().enumerate() {
        let own = items.get(place).unwrap_or(&Value::Null);
        path.push(Step::Item(identity(own).filter(|_| are_told_apart), place));
        lines.entry(item.at.line).or_insert_with(|| path.clone());
        note(item, own, path, lines);
        path.pop();
    }
}

/// The path of these steps in a tree, as far as they lead.
fn path_in(root: &Value, steps: &[Step]) -> String {
    let (mut value, mut path) = (root, String::new());
    for step in steps {
        let next = match step {
            Step::Key(key) => value.get(key).map(|next| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                (next, path)
            }),
            Step::Item(name, place) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let named =
                    |name: &String| items.iter().position(|item| identity(item).as_ref() == Some(name));
                let place = name.as_ref().map_or(Some(*place), named);
                place.and_then(|place| Some((items.get(place)?, format!("{path}[{place}]"))))
            }
        };
        let Some((below, at)) = next else { break };
        (value, path) = (below, at);
    }
    path
}
