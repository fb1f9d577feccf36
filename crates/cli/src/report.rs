//! Findings, shown where they stand: the line, underlined, and what to do about it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use base::{Issue, Severity};
use control::wire::Document;

use crate::terminal;

/// The texts findings may stand in, by the name of their file.
#[derive(Default)]
pub(crate) struct Sources(BTreeMap<String, String>);

impl Sources {
    /// The texts of what the user handed over.
    pub(crate) fn of(documents: &[Document]) -> Self {
        Self(documents.iter().map(|document| (document.file.clone(), document.text.clone())).collect())
    }

    /// The text of a file: handed over, or read now.
    fn text(&self, file: &str) -> Option<String> {
        match self.0.get(file) {
            Some(text) => Some(text.clone()),
            None if file.is_empty() => None,
            None => std::fs::read_to_string(file).ok(),
        }
    }
}

/// Says every finding to standard error; what is to be said of several fields of an object is said once.
pub(crate) fn say(issues: &[Issue], sources: &Sources) {
    let renderer = if terminal::has_color() { Renderer::styled() } else { Renderer::plain() };
    for alike in alike(issues) {
        terminal::say(&format!("{}\n", render(&alike, sources, &renderer)));
    }
}

/// The findings, those of one object that say the same together.
fn alike(issues: &[Issue]) -> Vec<Vec<&Issue>> {
    let mut all: Vec<Vec<&Issue>> = Vec::new();
    let mut places = HashMap::new();
    for issue in issues {
        let Issue { severity, code, place, object, message, .. } = issue;
        let place = *places.entry((severity, code, &place.file, object, message)).or_insert(all.len());
        match all.get_mut(place) {
            Some(alike) => alike.push(issue),
            None => all.push(vec![issue]),
        }
    }
    all
}

/// Whether any finding is an error.
pub(crate) fn has_error(issues: &[Issue]) -> bool {
    issues.iter().any(|issue| issue.severity == Severity::Error)
}

/// Shows findings that differ in their fields and places only.
fn render(alike: &[&Issue], sources: &Sources, renderer: &Renderer) -> String {
    let text = alike.first().and_then(|issue| sources.text(&issue.place.file));
    let place = |issue: &&Issue| span(text.as_deref()?, issue.place.line, issue.place.column);
    let spans: Option<Vec<Range<usize>>> = alike.iter().map(place).collect();
    let (Some(issue), Some(text), Some(spans)) = (alike.first(), &text, spans) else {
        return alike.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    };
    let level = match issue.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let annotations = alike.iter().zip(spans).map(|(issue, span)| {
        let label = match (issue.object.as_str(), issue.path.as_str()) {
            ("", path) => path.to_owned(),
            (object, "") => format!("in {object}"),
            (object, path) => format!("{path} in {object}"),
        };
        AnnotationKind::Primary.span(span).label(label)
    });
    let snippet = Snippet::source(text.as_str()).path(issue.place.file.to_string()).annotations(annotations);
    let title = level.primary_title(issue.message.as_str()).id(issue.code.as_str());
    renderer.render(&[title.element(snippet)])
}

/// The bytes to underline: from the place to the end of what is written on its line, comments apart.
fn span(text: &str, line: u32, column: u32) -> Option<Range<usize>> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let whole = text.get(start..)?.lines().next()?;
    let skipped = usize::try_from(column).ok()?.saturating_sub(1);
    let begin = whole.char_indices().nth(skipped).map_or(whole.trim_end().len(), |(index, _)| index);
    let rest = whole.get(begin..)?;
    let length = rest.find(" #").map_or(rest, |comment| rest.get(..comment).unwrap_or(rest)).trim_end().len();
    Some(start + begin..start + begin + length)
}

#[cfg(test)]
mod tests {
    use base::Place;

    use super::*;

    const TEXT: &str = "spec:\n  http:\n  - tiemout: 5s # too short\n";

    fn issue(line: u32, column: u32) -> Issue {
        Issue {
            severity: Severity::Error,
            code: "unknown-field".into(),
            place: Place { file: "reviews.yaml".into(), line, column },
            object: "VirtualService/default/reviews".into(),
            path: "spec.http[0].tiemout".into(),
            message: "there is no field tiemout; timeout is near".into(),
        }
    }

    fn sources() -> Sources {
        Sources([("reviews.yaml".to_owned(), TEXT.to_owned())].into())
    }

    #[test]
    fn the_place_is_shown_and_underlined() {
        let shown = render(&[&issue(3, 5)], &sources(), &Renderer::plain());

        assert!(
            shown.contains("error[unknown-field]: there is no field tiemout; timeout is near"),
            "{shown}"
        );
        assert!(shown.contains("reviews.yaml:3:5"), "{shown}");
        assert!(
            shown.contains("^^^^^^^^^^^ spec.http[0].tiemout in VirtualService/default/reviews"),
            "{shown}"
        );
    }

    #[test]
    fn a_place_that_is_not_in_the_text_is_told_in_one_line() {
        for (line, column) in [(0, 0), (99, 1)] {
            let issue = issue(line, column);
            assert_eq!(render(&[&issue], &sources(), &Renderer::plain()), issue.to_string());
        }
        // A column beyond its line is the line's end.
        let shown = |issue: Issue, sources: &Sources| render(&[&issue], sources, &Renderer::plain());
        assert!(shown(issue(3, 999), &sources()).contains("reviews.yaml:3"));
        assert!(shown(issue(3, u32::MAX), &Sources::default()).contains("reviews.yaml:3"));
    }

    #[test]
    fn what_is_said_of_several_fields_is_said_once_and_names_them_all() {
        let other = Issue { path: "spec.http".into(), ..issue(2, 3) };
        let third = Issue { message: "another matter".into(), ..issue(3, 5) };

        let all = [issue(3, 5), third, other];
        let grouped = alike(&all);
        let shown = render(&grouped[0], &sources(), &Renderer::plain());

        assert_eq!(grouped.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(shown.matches("timeout is near").count(), 1, "{shown}");
        assert!(shown.contains("^^^^^ spec.http in VirtualService/default/reviews"), "{shown}");
        assert!(shown.contains("spec.http[0].tiemout in VirtualService"), "{shown}");
    }
}
