//! One document within a text: from the parser's character positions to bytes and lines.

use crate::yaml::{Node, line_end, pieces};

/// One document's bytes within the whole text.
pub(super) struct Part<'t> {
    pub(super) text: &'t str,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The byte of each character; None where every character is one byte.
    bytes: Option<Vec<usize>>,
}

impl<'t> Part<'t> {
    pub(super) fn new(text: &'t str, start: usize, length: usize) -> Self {
        let end = start.saturating_add(length).min(text.len());
        let own = text.get(start..end).unwrap_or_default();
        let bytes = (!own.is_ascii()).then(|| own.char_indices().map(|(byte, _)| start + byte).collect());
        Self { text, start, end, bytes }
    }

    /// The document that holds a byte.
    pub(super) fn around(text: &'t str, byte: usize) -> Self {
        let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let found = pieces(text.as_bytes().get(mark..).unwrap_or_default())
            .find(|piece| byte < mark + piece.offset + piece.bytes.len());
        found.map_or(Self::new(text, text.len(), 0), |piece| {
            Self::new(text, mark + piece.offset, piece.bytes.len())
        })
    }

    /// The document's own text.
    pub(super) fn own(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    /// The byte of the whole text at which a character of the document stands.
    pub(super) fn byte(&self, character: u32) -> usize {
        let character = usize::try_from(character).unwrap_or(usize::MAX);
        match &self.bytes {
            None => self.start.saturating_add(character).min(self.end),
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.end),
        }
    }

    /// The end of a node's last line of content, its line break not included.
    pub(super) fn content_end(&self, node: &Node) -> usize {
        let last = self.byte(node.end());
        let content = self.text.get(..last).unwrap_or_default().trim_end().len();
        let rest = self.text.get(content..).unwrap_or_default();
        content + rest.find(['\n', '\r']).unwrap_or(rest.len())
    }

    /// The same without a tree: what follows `start` up to the comments and empty lines at the document's end.
    pub(super) fn content_end_by_lines(&self, start: usize) -> usize {
        let (mut at, mut end) = (start, start);
        while let Some(rest) = self.text.get(at..self.end).filter(|rest| !rest.is_empty()) {
            let length = line_end(rest.as_bytes());
            let line = rest.get(..length).unwrap_or_default();
            if !line.trim().is_empty() && !line.starts_with('#') && line.trim_end() != "..." {
                end = at + line.trim_end_matches(['\n', '\r']).len();
            }
            at += length;
        }
        end
    }

    /// The start of the line with the dash of the list item whose content begins at `start`.
    pub(super) fn dash_line(&self, start: usize) -> usize {
        let mut line = line_start(self.text, start);
        loop {
            let own = self.text.get(line..start).unwrap_or_default().trim_start();
            if own.starts_with('-') || line <= self.start {
                return line;
            }
            line = line_above(self.text, line);
        }
    }
}

/// The start of the line in which a byte stands.
pub(super) fn line_start(text: &str, byte: usize) -> usize {
    text.get(..byte).and_then(|before| before.rfind(['\n', '\r'])).map_or(0, |at| at + 1)
}

/// The start of the line above the one that begins at `line`.
fn line_above(text: &str, line: usize) -> usize {
    let before = text.get(..line).unwrap_or_default();
    let own = before.strip_suffix("\r\n").or_else(|| before.strip_suffix(['\n', '\r'])).unwrap_or(before);
    line_start(text, own.len())
}

/// The start of the comments whose last line touches the line that begins at `line`.
pub(super) fn touching_comments(text: &str, line: usize) -> usize {
    let mut start = line;
    while start > 0 {
        let above = line_above(text, start);
        if !text.get(above..start).is_some_and(|line| line.trim_start().starts_with('#')) {
            break;
        }
        start = above;
    }
    start
}
