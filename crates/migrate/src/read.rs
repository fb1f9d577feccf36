//! A cursor over a document's tree that knows its own path and where to report what it finds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::yaml::{Entry, Mark, Node, Value};
use base::{Issue, Place, Severity, duration};

use crate::field::{Fields, is_spelling};

/// The most findings one conversion is worth; what comes after is counted, not told.
const MAX_ISSUES: usize = 1000;

/// Everything there is to say about a conversion.
#[derive(Debug, Default)]
pub(crate) struct Log {
    issues: RefCell<Vec<Issue>>,
    untold: RefCell<usize>,
    errors: RefCell<usize>,
}

impl Log {
    pub(crate) fn note(&self, issue: Issue) {
        if issue.severity == Severity::Error {
            *self.errors.borrow_mut() += 1;
        }
        let mut issues = self.issues.borrow_mut();
        if issues.len() < MAX_ISSUES {
            issues.push(issue);
        } else {
            *self.untold.borrow_mut() += 1;
        }
    }

    /// How many errors there have been; an object is refused if reading it raises the number.
    pub(crate) fn errors(&self) -> usize {
        *self.errors.borrow()
    }

    /// Everything noted, in the order of the files given and of their lines.
    pub(crate) fn into_issues(self, files: &[Arc<str>]) -> Vec<Issue> {
        let mut issues = self.issues.into_inner();
        let order = |file: &Arc<str>| files.iter().position(|other| other == file);
        issues.sort_by_key(|issue| (order(&issue.place.file), issue.place.line, issue.place.column));
        let untold = self.untold.into_inner();
        if untold > 0 {
            let told = issues.iter().filter(|issue| issue.severity == Severity::Error).count();
            let hides_error = self.errors.into_inner() > told;
            issues.push(Issue {
                severity: if hides_error { Severity::Error } else { Severity::Warning },
                code: "too-many-issues".into(),
                place: Place::default(),
                object: String::new(),
                path: String::new(),
                message: format!("{untold} more findings are not shown"),
            });
        }
        issues
    }
}

/// The object that is being read and where findings about it go.
pub(crate) struct Context<'a> {
    pub(crate) log: &'a Log,
    pub(crate) file: Arc<str>,
    pub(crate) object: String,
}

/// One value of a document, with its path and its object.
#[derive(Clone)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    context: &'a Context<'a>,
    /// The key under which this stands in its map and where; none for an item.
    key: Option<(&'a str, Mark)>,
    pub(crate) path: String,
}

impl<'a> At<'a> {
    pub(crate) fn root(node: &'a Node, context: &'a Context<'a>) -> Self {
        Self { node, context, key: None, path: String::new() }
    }

    /// The key under which this stands; empty for an item.
    pub(crate) fn name(&self) -> &'a str {
        self.key.map(|(name, _)| name).unwrap_or_default()
    }

    /// A field that is there and not null.
    pub(crate) fn field(&self, name: &str) -> Option<At<'a>> {
        let entry = self.node.field_entry(name)?;
        let path =
            if self.path.is_empty() { entry.key.clone() } else { format!("{}.{}", self.path, entry.key) };
        Some(Self { node: &entry.node, context: self.context, key: Some((&entry.key, entry.at)), path })
    }

    /// The entries of a map that are not null.
    pub(crate) fn entries(&self) -> Vec<At<'a>> {
        let child = |entry: &'a Entry| {
            let key = &entry.key;
            let is_word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let path = if is_word { format!("{}.{key}", self.path) } else { format!("{}[{key}]", self.path) };
            Self { node: &entry.node, context: self.context, key: Some((key, entry.at)), path }
        };
        self.node.entries().iter().filter(|entry| !entry.node.is_null()).map(child).collect()
    }

    /// The items of a list field; what is no list is reported.
    pub(crate) fn list(&self, name: &str) -> Vec<At<'a>> {
        let Some(field) = self.field(name) else { return Vec::new() };
        let Value::List(items) = &field.node.value else {
            field.wrong_type("a list");
            return Vec::new();
        };
        let item = |(index, node)| Self {
            node,
            context: self.context,
            key: None,
            path: format!("{}[{index}]", field.path),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// A field that must be a map.
    pub(crate) fn map_field(&self, name: &str) -> Option<At<'a>> {
        let field = self.field(name)?;
        if matches!(field.node.value, Value::Map(_)) {
            return Some(field);
        }
        field.wrong_type("a map of fields");
        None
    }

    /// The value's text; what is no text is reported.
    pub(crate) fn own_text(&self) -> String {
        match self.node.text() {
            Some(text) => text.to_owned(),
            None => {
                self.wrong_type("text");
                String::new()
            }
        }
    }

    /// A text field; empty where it is missing.
    pub(crate) fn text(&self, name: &str) -> String {
        self.field(name).map(|field| field.own_text()).unwrap_or_default()
    }

    /// The texts of a list field.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.list(name).iter().map(At::own_text).collect()
    }

    /// A boolean field; false where it is missing.
    pub(crate) fn bool(&self, name: &str) -> bool {
        let Some(field) = self.field(name) else { return false };
        match field.node.text().unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => true,
            "false" | "no" | "off" => false,
            _ => {
                field.wrong_type("true or false");
                false
            }
        }
    }

    /// A field's whole number that fits the type asked for.
    pub(crate) fn whole<N: TryFrom<i64>>(&self, name: &str) -> Option<N> {
        let field = self.field(name)?;
        let number =
            field.node.text().and_then(|text| text.parse::<i64>().ok()).and_then(|n| N::try_from(n).ok());
        if number.is_none() {
            field.wrong_type("a whole number within bounds");
        }
        number
    }

    /// A field's percentage.
    pub(crate) fn percent(&self, name: &str) -> Option<f64> {
        let field = self.field(name)?;
        let number = field.node.text().and_then(|text| text.parse::<f64>().ok());
        match number.filter(|number| (0.0..=100.0).contains(number)) {
            Some(number) => Some(number),
            None => {
                field.wrong_type("a number from 0 to 100");
                None
            }
        }
    }

    /// A duration field, or the older one of the same name that counts seconds.
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        if let Some(field) = self.field(name) {
            let parsed = duration::parse(field.node.text().unwrap_or_default());
            return parsed.map_err(|why| field.error("wrong-value", why)).ok();
        }
        let field = self.field(&format!("{name}Seconds"))?;
        let seconds = field.node.text().and_then(|text| text.parse::<f64>().ok());
        let parsed = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if parsed.is_none() {
            field.wrong_type("a number of seconds");
        }
        parsed
    }

    /// A map field's texts by key.
    pub(crate) fn map(&self, name: &str) -> BTreeMap<String, String> {
        let Some(field) = self.map_field(name) else { return BTreeMap::new() };
        field.entries().iter().map(|entry| (entry.name().to_owned(), entry.own_text())).collect()
    }

    /// Reports fields that are none of these; a `…Seconds` stands for its duration.
    pub(crate) fn only(&self, known: &[&str]) {
        if !matches!(self.node.value, Value::Map(_)) {
            return self.wrong_type("a map of fields");
        }
        for entry in self.entries() {
            let key = entry.name();
            let is_known =
                |name: &&str| is_spelling(key, name) || is_spelling(key, &format!("{name}Seconds"));
            if !known.iter().any(is_known) {
                let known = known.join(", ");
                entry.error("unknown-field", format!("there is no field `{key}` here; there are {known}"));
            }
        }
    }

    /// Reports a field that neither the old converter nor the new API has a place for.
    pub(crate) fn drop_field(&self, name: &str, instead: &str) {
        if let Some(field) = self.field(name) {
            field.warn("not-kept", instead);
        }
    }

    pub(crate) fn error(&self, code: &str, message: impl Into<String>) {
        self.note(Severity::Error, code, message.into());
    }

    pub(crate) fn warn(&self, code: &str, message: impl Into<String>) {
        self.note(Severity::Warning, code, message.into());
    }

    pub(crate) fn wrong_type(&self, expected: &str) {
        let found = match &self.node.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            _ => format!("{:?}", self.node.text().unwrap_or_default().chars().take(60).collect::<String>()),
        };
        self.error("wrong-type", format!("{expected} is expected, not {found}"));
    }

    fn note(&self, severity: Severity, code: &str, message: String) {
        let at = self.key.map_or(self.node.at, |(_, at)| at);
        self.context.log.note(Issue {
            severity,
            code: code.into(),
            place: Place { file: self.context.file.clone(), line: at.line, column: at.column },
            object: self.context.object.clone(),
            path: self.path.clone(),
            message,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(severities: impl Iterator<Item = Severity>) -> Option<Severity> {
        let log = Log::default();
        for severity in severities {
            log.note(Issue {
                severity,
                code: "x".into(),
                place: Place::default(),
                object: String::new(),
                path: String::new(),
                message: String::new(),
            });
        }
        let last = log.into_issues(&[]).pop().filter(|issue| issue.code == "too-many-issues");
        last.map(|issue| issue.severity)
    }

    #[test]
    fn findings_that_are_not_told_are_an_error_only_where_one_of_them_is() {
        let warnings = |count| std::iter::repeat_n(Severity::Warning, count);
        let error = || std::iter::once(Severity::Error);

        assert_eq!(noted(warnings(MAX_ISSUES)), None);
        assert_eq!(noted(warnings(MAX_ISSUES + 1)), Some(Severity::Warning));
        assert_eq!(noted(warnings(MAX_ISSUES).chain(error())), Some(Severity::Error));
        assert_eq!(noted(error().chain(warnings(MAX_ISSUES))), Some(Severity::Warning));
    }
}
