//! A cursor over a document's tree that knows its own path and where to report what it finds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Issue, Labels, Place, Severity, duration};

use crate::decimal::Decimal;
use crate::yaml::{Mark, Node, Value};

/// The most bytes a file may have.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;

/// The most findings one file is worth; what comes after is counted, not told.
const MAX_ISSUES: usize = 1000;

/// The findings about one file.
pub(crate) struct Log {
    file: Arc<str>,
    issues: RefCell<Vec<Issue>>,
    errors: Cell<usize>,
    untold: Cell<usize>,
}

impl Log {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.into(), issues: RefCell::default(), errors: Cell::new(0), untold: Cell::new(0) }
    }

    /// The file as the user names it.
    pub(crate) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// How many errors there have been; an object is refused if reading it raises the number.
    pub(crate) fn errors(&self) -> usize {
        self.errors.get()
    }

    /// Whether nothing more will be told.
    pub(crate) fn is_full(&self) -> bool {
        self.issues.borrow().len() >= MAX_ISSUES
    }

    /// Notes one finding.
    pub(crate) fn note(&self, severity: Severity, code: &str, at: Mark, finding: Finding<'_>) {
        if severity == Severity::Error {
            self.errors.set(self.errors.get().saturating_add(1));
        }
        let mut issues = self.issues.borrow_mut();
        if issues.len() >= MAX_ISSUES {
            self.untold.set(self.untold.get().saturating_add(1));
            return;
        }
        issues.push(Issue {
            severity,
            code: code.into(),
            place: Place { file: self.file.clone(), line: at.line, column: at.column },
            object: finding.object.into(),
            path: finding.path.into(),
            message: finding.message,
        });
    }

    /// Everything noted, in the file's order.
    pub(crate) fn into_issues(self) -> Vec<Issue> {
        let mut issues = self.issues.into_inner();
        issues.sort_by_key(|issue| (issue.place.line, issue.place.column));
        if self.untold.get() > 0 {
            issues.push(Issue {
                severity: Severity::Error,
                code: "too-many-issues".into(),
                place: Place { file: self.file, line: 0, column: 0 },
                object: String::new(),
                path: String::new(),
                message: format!("{} more findings are not shown", self.untold.get()),
            });
        }
        issues
    }
}

/// What a finding is about and what it says.
pub(crate) struct Finding<'a> {
    pub(crate) object: &'a str,
    pub(crate) path: &'a str,
    pub(crate) message: String,
}

/// The object that is being read and where findings about it go.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) log: &'a Log,
    pub(crate) object: &'a str,
    pub(crate) namespace: &'a str,
}

/// One value of a document, with its path and its object.
#[derive(Clone)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    pub(crate) context: Context<'a>,
    key: Option<(&'a str, Mark)>,
    path: String,
}

impl<'a> At<'a> {
    /// The object's root.
    pub(crate) fn root(node: &'a Node, context: Context<'a>) -> Self {
        Self { node, context, key: None, path: String::new() }
    }

    /// A value at a path of the object.
    pub(crate) fn below(node: &'a Node, context: Context<'a>, path: String) -> Self {
        Self { node, context, key: None, path }
    }

    /// The path from the object's root, or from `spec`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The key under which this stands in its map; empty for an item.
    pub(crate) fn name(&self) -> &'a str {
        self.key.map(|(name, _)| name).unwrap_or_default()
    }

    /// A field that is there and not null.
    pub(crate) fn field(&self, name: &str) -> Option<At<'a>> {
        let entry = self.node.entry(name)?;
        let path = if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) };
        Some(Self { node: &entry.node, context: self.context, key: Some((&entry.key, entry.at)), path })
    }

    /// The entries of a map, nulls among them, as children named `path.key` or `path[key]`.
    pub(crate) fn entries(&self) -> impl Iterator<Item = At<'a>> + use<'_, 'a> {
        self.node.entries().iter().map(|entry| {
            let key = &entry.key;
            let is_word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let path = match (is_word, self.path.is_empty()) {
                (true, true) => key.clone(),
                (true, false) => format!("{}.{key}", self.path),
                (false, _) => format!("{}[{key}]", self.path),
            };
            Self { node: &entry.node, context: self.context, key: Some((key, entry.at)), path }
        })
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> impl Iterator<Item = At<'a>> + use<'_, 'a> {
        self.node.items().iter().enumerate().map(|(index, node)| Self {
            node,
            context: self.context,
            key: None,
            path: format!("{}[{index}]", self.path),
        })
    }

    /// The items of a list field; none where it is missing.
    pub(crate) fn list(&self, name: &str) -> Vec<At<'a>> {
        self.field(name).map(|field| field.items().collect()).unwrap_or_default()
    }

    /// The texts of a list field.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(|item| item.node.text().map(str::to_owned)).collect()
    }

    /// A text field that is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.field(name)?.node.text().filter(|text| !text.is_empty())
    }

    /// A text field that is there and not empty, as a value of its own.
    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A boolean field.
    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        match self.field(name)?.node.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A duration field.
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        duration::parse(self.field(name)?.node.text()?).ok()
    }

    /// A port field.
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        u16::try_from(self.field(name)?.int()?).ok().filter(|port| *port > 0)
    }

    /// A field's whole number that fits the type asked for.
    pub(crate) fn whole<N: TryFrom<i64>>(&self, name: &str) -> Option<N> {
        N::try_from(self.field(name)?.int()?).ok()
    }

    /// The same where zero says as much as nothing.
    pub(crate) fn positive<N: TryFrom<i64> + Default + PartialEq>(&self, name: &str) -> Option<N> {
        self.whole(name).filter(|value| *value != N::default())
    }

    /// A field's number with a fraction.
    pub(crate) fn decimal(&self, name: &str) -> Option<Decimal> {
        Decimal::new(self.field(name)?.number()?)
    }

    /// A field `{value: PERCENT}`.
    pub(crate) fn percentage(&self, name: &str) -> Option<f64> {
        Some(self.field(name)?.field("value").and_then(|value| value.number()).unwrap_or(0.0))
    }

    /// A map field's texts by key.
    pub(crate) fn map(&self, name: &str) -> BTreeMap<String, String> {
        let Some(field) = self.field(name) else { return BTreeMap::new() };
        field.entries().map(|e| (e.name().to_owned(), e.node.text().unwrap_or_default().to_owned())).collect()
    }

    /// A map field as labels.
    pub(crate) fn labels(&self, name: &str) -> Labels {
        Labels(self.map(name))
    }

    /// The value as a whole number; `80.0` is one.
    pub(crate) fn int(&self) -> Option<i64> {
        match self.node.value {
            Value::Int(value) => Some(value),
            // Within ±2^53 a float that has no fraction is exactly the integer it shows.
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
                Some(value as i64)
            }
            _ => None,
        }
    }

    /// The value as a finite number.
    pub(crate) fn number(&self) -> Option<f64> {
        match self.node.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) if value.is_finite() => Some(value),
            _ => None,
        }
    }

    /// Reports an error at the value.
    pub(crate) fn error(&self, code: &str, message: impl Into<String>) {
        self.note(Severity::Error, code, self.node.at, message.into());
    }

    /// Reports a warning at the value.
    pub(crate) fn warn(&self, code: &str, message: impl Into<String>) {
        self.note(Severity::Warning, code, self.node.at, message.into());
    }

    /// Reports an error at the key.
    pub(crate) fn error_at_key(&self, code: &str, message: impl Into<String>) {
        self.note(Severity::Error, code, self.key_mark(), message.into());
    }

    /// Reports a warning at the key.
    pub(crate) fn warn_at_key(&self, code: &str, message: impl Into<String>) {
        self.note(Severity::Warning, code, self.key_mark(), message.into());
    }

    /// Reports that a field which must be there is not.
    pub(crate) fn missing(&self, name: &str, message: impl Into<String>) {
        let path = if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) };
        let finding = Finding { object: self.context.object, path: &path, message: message.into() };
        self.context.log.note(Severity::Error, "missing-field", self.key_mark(), finding);
    }

    /// Reports that the value is of another type than it should be.
    pub(crate) fn wrong_type(&self, expected: &str) {
        let hint = match (&self.node.value, expected) {
            (Value::Bool(_), "text") => "; plain yes, no, on, off, y and n are booleans: put it in quotes",
            (Value::Int(_) | Value::Float(_), "text") => "; put it in quotes",
            (Value::Text(_), "a whole number" | "a number" | "true or false") => "; take the quotes away",
            _ => "",
        };
        self.error("wrong-type", format!("{expected} is expected, not {}{hint}", self.node.describe()));
    }

    fn key_mark(&self) -> Mark {
        self.key.map_or(self.node.at, |(_, at)| at)
    }

    fn note(&self, severity: Severity, code: &str, at: Mark, message: String) {
        let finding = Finding { object: self.context.object, path: &self.path, message };
        self.context.log.note(severity, code, at, finding);
    }
}
