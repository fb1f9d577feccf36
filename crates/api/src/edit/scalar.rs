//! Writes a scalar the way the one it replaces was written.

use serde_json::Value as Json;

/// The scalar at the beginning of a text whose end may be space or a comment; None where it does not stand on one
/// line: block scalars and folded text cannot be changed in place.
pub(super) fn one_line(text: &str) -> Option<&str> {
    let length = match text.chars().next()? {
        '"' => {
            let mut is_escaped = true;
            text.find(|c| {
                let closes = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                closes
            })? + 1
        }
        '\'' => {
            let inner = text.get(1..)?;
            let doubled = inner.replace("\'\'", "  ");
            doubled.find('\'')? + 2
        }
        '|' | '>' => return None,
        _ => text.trim_end().len(),
    };
    text.get(..length).filter(|scalar| !scalar.contains(['\n', '\r']))
}

/// The value in the quotes of `old`, as far as it fits there.
pub(super) fn written_like(old: &str, value: &Json) -> String {
    let Json::String(text) = value else { return value.to_string() };
    let is_printable = !text.chars().any(char::is_control);
    match old.chars().next() {
        Some('\'') if is_printable => format!("'{}'", text.replace('\'', "''")),
        Some('"' | '\'') => value.to_string(),
        _ if is_plain_everywhere(text) => text.clone(),
        _ => value.to_string(),
    }
}

/// Whether text needs no quotes, in block and in flow style alike.
fn is_plain_everywhere(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && crate::yaml::is_text(text)
}
