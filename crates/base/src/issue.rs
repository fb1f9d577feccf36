//! What is wrong with something a user wrote, where it stands, and what to do about it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How bad an [`Issue`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is refused; its last good version stays in force.
    Error,
    /// The object is taken, but something in it does less than it says.
    Warning,
}

/// A place in a file. Lines and columns count from 1; 0 means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file as the user named it; empty where there is none.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (true, 0) => f.write_str("-"),
            (true, line) => write!(f, "line {line}:{}", self.column),
            (false, 0) => f.write_str(&self.file),
            (false, line) => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// One finding about a user's input. Findings come as lists: the first never hides the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// A stable kebab-case name of the rule, e.g. `unknown-field`.
    pub code: String,
    /// Where it stands.
    pub place: Place,
    /// The object, as `VirtualService/default/reviews`; empty where none could be told.
    pub object: String,
    /// The field, as `spec.http[0].route[1].weight`; empty for the whole object.
    pub path: String,
    /// What is wrong and what to do, in one or two sentences.
    pub message: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}[{}]", self.place, self.code)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}
