//! Old beside new: each object below the rules it is made of.

use std::collections::BTreeSet;
use std::fmt::Write;

use migrate::Document;

use super::format::Format;

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "31";

/// The rules with `-` before their lines, what was made of them with `+`. A rule that more than one object is made
/// of is shown once.
pub(super) fn render(documents: &[Document], format: Format, has_color: bool) -> String {
    let mut page = Page { text: String::new(), has_color };
    let mut shown = BTreeSet::new();
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            page.text.push('\n');
        }
        if document.is_passed_through() {
            page.line(BOLD, "=== ", &format!("{} stays as it is", document.object()));
            continue;
        }
        for part in &document.parts {
            let is_new = shown.insert((&part.place.file, &part.text));
            let note = if is_new { "" } else { " (shown above)" };
            page.line(BOLD, "--- ", &format!("{} {}{note}", part.place, part.object));
            if is_new {
                page.lines(RED, "-", &part.text);
            }
        }
        page.line(BOLD, "+++ ", &document.object());
        page.lines(GREEN, "+", &format.one(document));
    }
    page.text
}

struct Page {
    text: String,
    has_color: bool,
}

impl Page {
    fn lines(&mut self, color: &str, mark: &str, text: &str) {
        text.lines().for_each(|line| self.line(color, mark, line));
    }

    fn line(&mut self, color: &str, mark: &str, line: &str) {
        let written = match self.has_color {
            true => writeln!(self.text, "\x1b[{color}m{mark}{line}\x1b[0m"),
            false => writeln!(self.text, "{mark}{line}"),
        };
        written.expect("invariant: a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use migrate::{Mode, convert};

    use super::*;

    const RULES: &str = "\
kind: RouteRule
metadata: {name: old}
spec:
  destination: {name: reviews}
  route: [{labels: {version: v1}}]
---
kind: Service
metadata: {name: reviews}
";

    fn shown(has_color: bool) -> String {
        render(&convert(&[("a.yaml", RULES)], Mode::Modern).documents, Format::Yaml, has_color)
    }

    #[test]
    fn a_rule_stands_above_what_it_becomes_and_is_shown_once() {
        let shown = shown(false);

        let heads: Vec<&str> = shown
            .lines()
            .filter(|line| ["--- ", "+++ ", "=== "].iter().any(|head| line.starts_with(head)))
            .collect();
        let expected = [
            "--- a.yaml:1:1 RouteRule/default/old",
            "+++ DestinationRule/default/reviews",
            "--- a.yaml:1:1 RouteRule/default/old (shown above)",
            "+++ VirtualService/default/reviews",
            "=== Service/default/reviews stays as it is",
        ];
        assert_eq!(heads, expected, "{shown}");
        assert_eq!(shown.matches("\n-  route: [{labels: {version: v1}}]\n").count(), 1, "{shown}");
        assert!(shown.contains("\n+        subset: v1\n"), "{shown}");
    }

    #[test]
    fn color_changes_no_word() {
        let colored = shown(true);

        assert!(colored.contains("\x1b[31m-kind: RouteRule\x1b[0m\n"), "{colored}");
        let plain = [BOLD, GREEN, RED, "0"]
            .iter()
            .fold(colored, |text, code| text.replace(&format!("\x1b[{code}m"), ""));
        assert_eq!(plain, shown(false));
    }
}
