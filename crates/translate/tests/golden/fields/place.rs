//! Places in an object: paths as the table of fields writes them.

use serde_json::{Map, Value};

/// The key that stands for any.
const KEY: &str = "end-user";

/// One step of a path.
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// The path as a finding names it, `spec.http[0].match[0].headers[end-user].exact`.
pub(super) fn written(path: &str) -> String {
    path.trim_end_matches("[]").trim_end_matches("{}").replace("[]", "[0]").replace("{}", &format!("[{KEY}]"))
}

/// Puts a value where a path leads, `[]` being the first item unless it says which, and `{}` some key.
pub(super) fn put(root: &mut Value, path: &str, value: Value) {
    let whole = path.trim_end_matches("{}");
    let (whole, is_list) = match whole.strip_suffix("[]") {
        Some(whole) => (whole, true),
        None => (whole, false),
    };
    let mut at = root;
    for step in steps(whole) {
        at = match step {
            Step::Field(name) => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                at.as_object_mut().unwrap().entry(name).or_insert(Value::Null)
            }
            Step::Item(index) => {
                if !at.is_array() {
                    *at = Value::Array(Vec::new());
                }
                let items = at.as_array_mut().unwrap();
                while items.len() <= index {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
        };
    }
    *at = if is_list && !value.is_array() { Value::Array(vec![value]) } else { value };
}

fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let end = part.find(['[', '{']).unwrap_or(part.len());
        let (name, mut rest) = part.split_at(end);
        steps.push(Step::Field(name));
        while !rest.is_empty() {
            let close = rest.find([']', '}']).unwrap();
            let inside = &rest[1..close];
            steps.push(match (rest.starts_with('['), inside) {
                (true, "") => Step::Item(0),
                (true, index) => Step::Item(index.parse().unwrap()),
                (false, "") => Step::Field(KEY),
                (false, key) => Step::Field(key),
            });
            rest = &rest[close + 1..];
        }
    }
    steps
}
