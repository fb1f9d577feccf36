//! What there is to say about a model: issues, and notes that ask nothing of anyone.

use std::sync::Arc;

use base::{Issue, Place, Severity};

/// The most findings of each sort that are told; what comes after is counted.
const MOST: usize = 1000;

/// Everything there is to say about one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    file: Arc<str>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) notes: Vec<Issue>,
    untold: usize,
    /// Whether one of those is an error.
    hides_error: bool,
}

/// What a finding is about: an object as `BoundedContext/order`, and a path in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) object: &'a str,
    pub(crate) path: &'a str,
}

/// The file as a whole.
pub(crate) const WHOLE: About<'static> = About { object: "", path: "" };

impl Findings {
    pub(crate) fn of(file: &str) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    pub(crate) fn error(&mut self, code: &str, about: About<'_>, message: impl Into<String>) {
        let issue = self.issue(Severity::Error, code, about, message.into());
        self.take(issue);
    }

    pub(crate) fn error_at(&mut self, code: &str, (line, column): (u32, u32), message: impl Into<String>) {
        let mut issue = self.issue(Severity::Error, code, WHOLE, message.into());
        (issue.place.line, issue.place.column) = (line, column);
        self.take(issue);
    }

    pub(crate) fn warn(&mut self, code: &str, about: About<'_>, message: impl Into<String>) {
        let issue = self.issue(Severity::Warning, code, about, message.into());
        self.take(issue);
    }

    /// Says something that needs no one's attention.
    pub(crate) fn note(&mut self, code: &str, about: About<'_>, message: impl Into<String>) {
        if self.notes.len() < MOST {
            let issue = self.issue(Severity::Warning, code, about, message.into());
            self.notes.push(issue);
        }
    }

    pub(crate) fn has_error(&self) -> bool {
        self.hides_error || self.issues.iter().any(|issue| issue.severity == Severity::Error)
    }

    fn take(&mut self, issue: Issue) {
        if self.issues.len() < MOST {
            self.issues.push(issue);
        } else {
            self.untold += 1;
            self.hides_error |= issue.severity == Severity::Error;
        }
    }

    fn issue(&self, severity: Severity, code: &str, about: About<'_>, message: String) -> Issue {
        Issue {
            severity,
            code: code.into(),
            place: Place { file: self.file.clone(), line: 0, column: 0 },
            object: about.object.into(),
            path: about.path.into(),
            message,
        }
    }

    /// The issues and the notes.
    pub(crate) fn into_lists(mut self) -> (Vec<Issue>, Vec<Issue>) {
        if self.untold > 0 {
            let severity = if self.hides_error { Severity::Error } else { Severity::Warning };
            let message = format!("{} more findings are not shown", self.untold);
            let issue = self.issue(severity, "too-many-issues", WHOLE, message);
            self.issues.push(issue);
        }
        (self.issues, self.notes)
    }
}
