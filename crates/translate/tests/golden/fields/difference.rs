//! What differs between two messages, line by line.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// What of a message is shown on one line.
const LINE: usize = 160;

/// Where the items of a list of filters say what they are.
const TYPE: &str = "/typed_config/@type";

/// Takes out where things came from: it follows every change and decides nothing.
pub(super) fn without_origins(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(metadata)) = fields.get_mut("filter_metadata") {
                metadata.remove("weft.origin");
                if let Some(Value::Object(istio)) = metadata.get_mut("istio") {
                    istio.remove("config");
                }
                metadata.retain(|_, said| *said != json!({}));
            }
            fields.values_mut().for_each(without_origins);
            fields.retain(|name, value| name != "metadata" || *value != json!({"filter_metadata": {}}));
        }
        Value::Array(items) => items.iter_mut().for_each(without_origins),
        _ => {}
    }
}

/// The changes, each on a line of its own.
pub(super) fn lines(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", (before, after), &mut lines);
    let plain = |line: String| line.replace(".typed_config", "").replace("[envoy.filters.network.", "[");
    lines.into_iter().map(plain).collect()
}

fn compare(path: &str, (before, after): (&Value, &Value), lines: &mut Vec<String>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(&below, (old, new), lines),
                    (Some(old), None) => lines.push(line('-', &below, old)),
                    (None, Some(new)) => lines.push(line('+', &below, new)),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => compare_lists(path, (old, new), lines),
        _ => lines.push(format!("~ {path}: {} -> {}", short(before), short(after))),
    }
}

fn compare_lists(path: &str, (old, new): (&[Value], &[Value]), lines: &mut Vec<String>) {
    let named = names(old).zip(names(new));
    // Of lists that have no name in common the first takes the place of the first.
    let differs =
        |(a, b): &(Vec<String>, Vec<String>)| a.len() != b.len() || a.iter().any(|name| b.contains(name));
    if let Some((old_names, new_names)) = named.filter(differs) {
        for (name, item) in old_names.iter().zip(old) {
            let place = format!("{path}[{name}]");
            match new_names.iter().position(|other| other == name) {
                Some(at) => compare(&place, (item, &new[at]), lines),
                None => lines.push(line('-', &place, item)),
            }
        }
        let added = new_names.iter().zip(new).filter(|(name, _)| !old_names.contains(name));
        lines.extend(added.map(|(name, item)| line('+', &format!("{path}[{name}]"), item)));
        let kept = |all: &[String], others: &[String]| -> Vec<String> {
            all.iter().filter(|name| others.contains(name)).cloned().collect()
        };
        if kept(&old_names, &new_names) != kept(&new_names, &old_names) {
            lines.push(format!("~ {path}: now {}", new_names.join(", ")));
        }
        return;
    }
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let place = |index: usize| format!("{path}[{}]", head + index);
    let is_alike = |(a, b): (&Value, &Value)| a.pointer(TYPE) == b.pointer(TYPE);
    if old.len() == new.len() && old.iter().zip(new).all(is_alike) {
        for (index, pair) in old.iter().zip(new).enumerate() {
            compare(&place(index), pair, lines);
        }
        return;
    }
    lines.extend(old.iter().enumerate().map(|(index, item)| line('-', &place(index), item)));
    lines.extend(new.iter().enumerate().map(|(index, item)| line('+', &place(index), item)));
}

/// The names of all items, where each has one of its own.
fn names(items: &[Value]) -> Option<Vec<String>> {
    let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
    (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
}

/// What an item is known by: its name, its place, or its address.
fn name(item: &Value) -> Option<String> {
    if let Some(name) = item.get("name").and_then(Value::as_str) {
        return Some(name.to_owned());
    }
    if item.get("lb_endpoints").is_some() {
        let parts = ["/locality/region", "/locality/zone", "/locality/sub_zone"];
        let parts = parts.into_iter().filter_map(|part| item.pointer(part)?.as_str());
        return Some(parts.collect::<Vec<_>>().join("/"));
    }
    let addresses = ["/endpoint/address/socket_address/address", "/endpoint/address/pipe/path"];
    let address = addresses.into_iter().find_map(|path| item.pointer(path))?;
    Some(address.as_str()?.to_owned())
}

fn line(sign: char, path: &str, value: &Value) -> String {
    format!("{sign} {path}: {}", short(value))
}

/// A value without its types, which its names tell, as far as it fits a line.
fn short(value: &Value) -> String {
    let mut value = value.clone();
    without_types(&mut value);
    let text = value.to_string();
    match text.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn without_types(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("@type");
            fields.values_mut().for_each(without_types);
        }
        Value::Array(items) => items.iter_mut().for_each(without_types),
        _ => {}
    }
}
