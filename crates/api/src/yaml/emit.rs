//! Writes JSON as block-style YAML that reads back as the same, with comments above what they are about.

use std::collections::BTreeMap;

use serde_json::Value;

use super::scalar;

/// Writes a value as a YAML document that ends with a line break.
pub fn emit(value: &Value) -> String {
    write(value, &BTreeMap::new(), is_plain)
}

/// Writes a value as a YAML document that ends with a line break, comment lines by the path of what they stand
/// above (`spec.http[1]`; the empty path is the document's head) among it. Text is quoted wherever some version of
/// YAML could take it for anything else, for what is written goes to readers of every kind.
///
/// ```
/// let value = serde_json::json!({"spec": {"host": "reviews", "port": "80"}});
/// let comments = [("spec.port".to_owned(), vec!["# of the gateway".to_owned()])].into();
///
/// let text = api::yaml::emit_commented(&value, &comments);
///
/// assert_eq!(text, "spec:\n  host: reviews\n  # of the gateway\n  port: \"80\"\n");
/// ```
pub fn emit_commented(value: &Value, comments: &BTreeMap<String, Vec<String>>) -> String {
    write(value, comments, is_plain_to_all)
}

fn write(value: &Value, comments: &BTreeMap<String, Vec<String>>, is_plain: fn(&str) -> bool) -> String {
    let mut writer = Writer { out: String::new(), comments, is_plain };
    writer.comment("", 0);
    if is_nested(value) {
        writer.block(value, "", 0, true);
    } else {
        writer.inline(value);
        writer.out.push('\n');
    }
    writer.out
}

struct Writer<'a> {
    out: String,
    comments: &'a BTreeMap<String, Vec<String>>,
    /// Whether text may stand without quotes.
    is_plain: fn(&str) -> bool,
}

impl Writer<'_> {
    /// Writes a non-empty map or list; `is_fresh` is whether the cursor stands at the start of a line rather than
    /// behind a dash.
    fn block(&mut self, value: &Value, path: &str, indent: usize, mut is_fresh: bool) {
        match value {
            Value::Object(map) => {
                for (key, child) in map {
                    let path =
                        self.path(|| if path.is_empty() { key.clone() } else { format!("{path}.{key}") });
                    self.begin(&path, indent, std::mem::replace(&mut is_fresh, true));
                    self.string(key);
                    self.out.push(':');
                    if is_nested(child) {
                        self.out.push('\n');
                        let deeper = if child.is_array() { indent } else { indent + 2 };
                        self.block(child, &path, deeper, true);
                    } else {
                        self.out.push(' ');
                        self.inline(child);
                        self.out.push('\n');
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = self.path(|| format!("{path}[{index}]"));
                    self.begin(&path, indent, std::mem::replace(&mut is_fresh, true));
                    self.out.push_str("- ");
                    if is_nested(item) {
                        self.block(item, &path, indent + 2, false);
                    } else {
                        self.inline(item);
                        self.out.push('\n');
                    }
                }
            }
            _ => self.inline(value),
        }
    }

    /// The path, which nobody asks for where there are no comments.
    fn path(&self, path: impl FnOnce() -> String) -> String {
        if self.comments.is_empty() { String::new() } else { path() }
    }

    /// Begins an entry or an item: on a fresh line with its comments and its indent.
    fn begin(&mut self, path: &str, indent: usize, is_fresh: bool) {
        if is_fresh {
            self.comment(path, indent);
            self.indent(indent);
        }
    }

    fn comment(&mut self, path: &str, indent: usize) {
        for line in self.comments.get(path).into_iter().flatten() {
            self.indent(indent);
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn inline(&mut self, value: &Value) {
        match value {
            Value::Array(_) => self.out.push_str("[]"),
            Value::Object(_) => self.out.push_str("{}"),
            Value::String(text) => self.string(text),
            other => self.out.push_str(&other.to_string()),
        }
    }

    /// Plain where that reads back as the same text, else in JSON's quotes, which YAML reads alike.
    fn string(&mut self, text: &str) {
        if (self.is_plain)(text) {
            self.out.push_str(text);
        } else {
            quote(text, &mut self.out);
        }
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    }
}

/// JSON's quotes, with those characters escaped that YAML takes for line breaks or does not take at all.
fn quote(text: &str, out: &mut String) {
    for c in Value::from(text).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
}

/// Whether plain text is this text for whoever reads YAML as this crate does.
fn is_plain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_./ ()+@=,*".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.'));
    starts
        && text.chars().all(inner)
        && !text.ends_with(' ')
        && !matches!(text, "..." | "---")
        && text.len() <= 200
        && matches!(scalar::resolve(text), super::tree::Value::Text(_))
}

/// Whether plain text can be taken for nothing but this text, whichever version of YAML reads it.
fn is_plain_to_all(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_word =
        matches!(lower.as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n");
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    // What begins with a digit could be a number or a date, unless no number has such a character.
    let is_like_number = text.starts_with(|c: char| c.is_ascii_digit())
        && !lower.contains(|c| matches!(c, 'g'..='n' | 'p'..='w' | 'y' | 'z' | '/'));
    starts
        && !is_word
        && !is_like_number
        && text.len() <= 200
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}
