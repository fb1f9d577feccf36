//! What is done to a path before anything decides by it.

#[cfg(test)]
mod tests;

use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

use crate::read::{Wrong, flag};

/// What an HTTP manager does to paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Whether dot segments are resolved and needless escapes undone (RFC 3986, 6.2.2).
    pub normalises: bool,
    /// Whether `//` becomes `/`.
    pub merges_slashes: bool,
    /// What becomes of `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
}

/// What becomes of escaped slashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// They stay.
    #[default]
    Keep,
    /// The request is refused with 400.
    Reject,
    /// They become slashes.
    UnescapeAndForward,
    /// The client is sent to the path with slashes.
    UnescapeAndRedirect,
}

/// What came of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// It is now this one.
    Changed(String),
    /// The client shall ask for this one instead (307).
    Redirect(String),
    /// It cannot be accepted (400).
    Reject,
    /// It stays as it is.
    Same,
}

impl PathRules {
    pub(crate) fn compile(message: &HttpConnectionManager) -> Result<Self, Wrong> {
        Ok(Self {
            normalises: flag(&message.normalize_path, false),
            merges_slashes: message.merge_slashes,
            escaped_slashes: match message.path_with_escaped_slashes_action {
                0 | 1 => EscapedSlashes::Keep,
                2 => EscapedSlashes::Reject,
                3 => EscapedSlashes::UnescapeAndRedirect,
                4 => EscapedSlashes::UnescapeAndForward,
                other => {
                    return Err(Wrong::new(
                        "path_with_escaped_slashes_action",
                        format!("{other} is not known"),
                    ));
                }
            },
        })
    }
}

/// Applies an HTTP manager's rules to a path with its query, in Envoy's order: escaped slashes, then dot segments
/// and needless escapes, then double slashes. The query is never touched.
pub fn normalise(path_and_query: &str, rules: PathRules) -> Normalised {
    let end = path_and_query.find(['?', '#']).unwrap_or(path_and_query.len());
    let (path, rest) = path_and_query.split_at(end);
    // Only rooted paths have segments: `*` and authorities are left alone.
    if !path.starts_with('/') || !may_change(path, rules) {
        return Normalised::Same;
    }
    let mut bytes = path.as_bytes().to_vec();
    let had_escaped = rules.escaped_slashes != EscapedSlashes::Keep && unescape_slashes(&mut bytes);
    if had_escaped && rules.escaped_slashes == EscapedSlashes::Reject {
        return Normalised::Reject;
    }
    if rules.normalises {
        match canonical(&bytes) {
            Some(canonical) => bytes = canonical,
            None => return Normalised::Reject,
        }
    }
    if rules.merges_slashes {
        bytes.dedup_by(|second, first| *second == b'/' && *first == b'/');
    }
    let Ok(mut new) = String::from_utf8(bytes) else { return Normalised::Reject };
    let is_same = new == path;
    new.push_str(rest);
    match had_escaped && rules.escaped_slashes == EscapedSlashes::UnescapeAndRedirect {
        true => Normalised::Redirect(new),
        false if is_same => Normalised::Same,
        false => Normalised::Changed(new),
    }
}

/// Whether a look at the bytes cannot rule out a change; most paths end here.
fn may_change(path: &str, rules: PathRules) -> bool {
    let mut before = 0;
    path.bytes().any(|byte| {
        let pair = (std::mem::replace(&mut before, byte), byte);
        match pair {
            (_, b'%' | b'\\') => true,
            (b'/', b'.') => rules.normalises,
            (b'/', b'/') => rules.merges_slashes,
            (_, byte) => rules.normalises && !byte.is_ascii_graphic(),
        }
    })
}

/// Turns `%2F` and `%5C` into what they stand for; says whether there were any.
fn unescape_slashes(bytes: &mut Vec<u8>) -> bool {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        match escaped(rest) {
            Some(byte @ (b'/' | b'\\')) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    let changed = out.len() != bytes.len();
    *bytes = out;
    changed
}

/// The byte an escape at the beginning stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// Undoes needless escapes and resolves dot segments; nothing for a path with a NUL.
fn canonical(path: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        let escape = escaped(rest);
        match (escape, *first) {
            (Some(0), _) | (None, 0) => return None,
            (Some(byte), _) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(byte);
                rest = rest.get(3..).unwrap_or_default();
                continue;
            }
            (_, b'\\') => plain.push(b'/'),
            (_, byte) if byte.is_ascii_graphic() => plain.push(byte),
            (_, byte) => plain.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
        rest = tail;
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut parts = plain.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            b"." if is_last => segments.push(b""),
            b"." => {}
            b".." => {
                segments.pop();
                if is_last {
                    segments.push(b"");
                }
            }
            part => segments.push(part),
        }
    }
    let mut out = Vec::with_capacity(plain.len());
    for segment in segments {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}
