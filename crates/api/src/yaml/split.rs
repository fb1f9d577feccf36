//! Cuts a file into documents before anything is parsed, so that a broken one cannot hide its neighbours.
//!
//! A line that begins with `---` or `...` ends a document wherever it stands: YAML forbids it in the first
//! column of block scalars and quoted text alike, so lines are all there is to look at.

use std::borrow::Cow;

use super::tree::Mark;

/// The bytes of one document, its separator line included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes themselves.
    pub bytes: &'a [u8],
    /// Where it begins in the file.
    pub offset: usize,
    /// The number of its first line, from 1.
    pub line: u32,
}

impl<'a> Piece<'a> {
    /// Its text; empty where it is not UTF-8.
    pub fn text(self) -> &'a str {
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }
}

/// The documents of a file; together they are all of its bytes.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let (mut offset, mut line) = (0, 1u32);
    std::iter::from_fn(move || {
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let (mut end, mut lines) = (0, 0u32);
        while let Some(tail) = rest.get(end..).filter(|tail| !tail.is_empty()) {
            if end > 0 && is_marker(tail, b"---") {
                break;
            }
            let closes = is_marker(tail, b"...");
            end += line_end(tail);
            lines = lines.saturating_add(1);
            if closes {
                break;
            }
        }
        let piece = Piece { bytes: rest.get(..end)?, offset, line };
        offset += end;
        line = line.saturating_add(lines);
        Some(piece)
    })
}

/// The length of the first line, its break included: `\n`, `\r\n` or a lone `\r`.
pub(crate) fn line_end(bytes: &[u8]) -> usize {
    match bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) {
        None => bytes.len(),
        Some(at) if bytes.get(at..at + 2) == Some(b"\r\n") => at + 2,
        Some(at) => at + 1,
    }
}

fn is_marker(line: &[u8], marker: &[u8; 3]) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'\t' | b'\n' | b'\r')))
}

/// The line and column of a byte of a piece.
pub(crate) fn mark_of(piece: Piece<'_>, offset: usize) -> Mark {
    let (mut start, mut line) = (0, piece.line);
    while let Some(rest) = piece.bytes.get(start..) {
        let end = start + line_end(rest);
        if offset < end || end >= piece.bytes.len() {
            break;
        }
        (start, line) = (end, line.saturating_add(1));
    }
    let before = piece.bytes.get(start..offset).unwrap_or_default();
    let column = String::from_utf8_lossy(before).chars().count() + 1;
    Mark { line, column: u32::try_from(column).unwrap_or(u32::MAX) }
}

/// The text of a piece without the lines that separate it from its neighbours.
pub fn without_marker(text: &str) -> &str {
    let text = match text.strip_prefix("---") {
        Some(rest) if is_marker(text.as_bytes(), b"---") => {
            let line = rest.get(..line_end(rest.as_bytes())).unwrap_or_default();
            // Content may follow the marker on its line.
            if line.trim().is_empty() {
                rest.get(line.len()..).unwrap_or_default()
            } else {
                rest.trim_start()
            }
        }
        _ => text,
    };
    match text.trim_end().strip_suffix("...") {
        Some(before) if before.is_empty() || before.ends_with(['\n', '\r']) => before,
        _ => text,
    }
}

/// The text as a YAML parser should see it: in JSON a tab is as good as a space, in YAML it is not. Characters
/// keep their places.
pub(crate) fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains('\t') || !text.trim_start().starts_with(['{', '[']) {
        return Cow::Borrowed(text);
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    let spaced = text.chars().map(|c| {
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = is_quoted && c == '\\' && !is_escaped;
        if c == '\t' && !is_quoted { ' ' } else { c }
    });
    Cow::Owned(spaced.collect())
}
