//! Comments: what stands behind a `#` where no scalar does.

use std::collections::BTreeMap;

use saphyr_parser::Span;

use super::tree::narrow;

/// One comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The number of its line.
    pub line: u32,
    /// Its text, from the `#` on.
    pub text: String,
}

/// Where scalars stand, so that a `#` inside one is not taken for a comment: the parser itself drops comments.
#[derive(Default)]
pub(super) struct Ink {
    /// By line, from 1 in the text: the column (from 0) behind the last scalar; `usize::MAX` is the whole line.
    ends: BTreeMap<usize, usize>,
}

impl Ink {
    /// Notes where a scalar or an alias stands.
    pub(super) fn note(&mut self, span: &Span) {
        let (first, last) = (span.start.line(), span.end.line());
        let mut mark = |line: usize, column: usize| {
            let end = self.ends.entry(line).or_default();
            *end = column.max(*end);
        };
        for line in first..last {
            mark(line, usize::MAX);
        }
        // A block scalar ends where the next line begins, which is no part of it.
        if span.end.col() > 0 {
            mark(last, span.end.col());
        }
    }

    /// The comments of the text whose scalars were noted; its first line is number `first` of its file.
    pub(super) fn comments(&self, text: &str, first: u32) -> Vec<Comment> {
        let mut comments = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let start = self.ends.get(&(index + 1)).copied().unwrap_or(0);
            if start == usize::MAX {
                continue;
            }
            let rest: String = line.chars().skip(start).collect();
            let rest = rest.trim_start_matches([' ', '\t', '-', ':', ',', '[', ']', '{', '}', '?']);
            if rest.starts_with('#') {
                comments.push(Comment {
                    line: narrow(index).saturating_add(first),
                    text: rest.trim_end().to_owned(),
                });
            }
        }
        comments
    }
}
