//! Field by field: what this version enforces, what it takes with a warning, and what it refuses.
//!
//! One table serves the parser and `docs/support.md`, so that the page cannot drift from the program.

use std::fmt::Write as _;

use crate::kind::Kind;
use crate::schema::{Field, Shape, fields_of};

/// What becomes of a field that a user writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what it says.
    Supported,
    /// Taken with the warning `unsupported-field`: it does nothing, which lets through no more than its author
    /// asked. The reason says what happens instead.
    Warned(&'static str),
    /// Taken with that warning unless it has one of these values.
    WarnedUnless(&'static [&'static str], &'static str),
    /// Refused with the error `refused-field`: without it, more would be let through, exposed or unencrypted
    /// than its author asked.
    Refused(&'static str),
    /// Refused unless it has one of these values.
    RefusedUnless(&'static [&'static str], &'static str),
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// The field, e.g. `spec.http[].match[].headers{}.exact`: `[]` is any item and `{}` any key. What is warned
    /// or refused as a whole has one row for all that stands below it.
    pub path: String,
    /// What becomes of it.
    pub support: Support,
}

/// Every field of every kind, in the order of the kinds and of their documentation.
pub fn table() -> impl Iterator<Item = Row> {
    Kind::ALL.into_iter().flat_map(|kind| {
        let mut rows = Vec::new();
        let start = if kind == Kind::EndpointSlice { "" } else { "spec" };
        add_fields(kind, start, fields_of(kind), &mut rows);
        rows
    })
}

fn add_fields(kind: Kind, parent: &str, fields: &[Field], rows: &mut Vec<Row>) {
    for field in fields {
        let path = if parent.is_empty() { field.name.into() } else { format!("{parent}.{}", field.name) };
        if field.support == Support::Supported {
            add_shape(kind, path, &field.shape, rows);
        } else {
            rows.push(Row { kind, path, support: field.support });
        }
    }
}

fn add_shape(kind: Kind, path: String, shape: &Shape, rows: &mut Vec<Row>) {
    match shape {
        Shape::List(item) => add_shape(kind, format!("{path}[]"), item, rows),
        Shape::Map(value) => add_shape(kind, format!("{path}{{}}"), value, rows),
        Shape::Object(fields) => add_fields(kind, &path, fields, rows),
        _ => rows.push(Row { kind, path, support: Support::Supported }),
    }
}

/// The table as the Markdown page `docs/support.md`.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut last = None;
    for row in table() {
        if last.replace(row.kind) != Some(row.kind) {
            let versions: Vec<String> = row.kind.versions().iter().map(|v| format!("`{v}`")).collect();
            let group = if row.kind.group().is_empty() { "core" } else { row.kind.group() };
            let _ = write!(page, "\n## {}\n\n`{group}`, {}\n\n", row.kind, versions.join(", "));
            page.push_str("| field | status | note |\n|---|---|---|\n");
        }
        let (word, note) = describe(row.support);
        let _ = writeln!(page, "| `{}` | {word} | {note} |", row.path);
    }
    page
}

fn describe(support: Support) -> (&'static str, String) {
    let unless = |values: &[&str], word: &str, why: &str| {
        let values: Vec<String> = values.iter().map(|v| format!("`{v}`")).collect();
        format!("{}; anything else is {word}: {why}", values.join(", "))
    };
    match support {
        Support::Supported => ("supported", String::new()),
        Support::Warned(why) => ("warned", why.into()),
        Support::WarnedUnless(values, why) => ("supported in part", unless(values, "warned", why)),
        Support::Refused(why) => ("**refused**", why.into()),
        Support::RefusedUnless(values, why) => ("supported in part", unless(values, "**refused**", why)),
    }
}

const INTRODUCTION: &str = "\
# What is supported, field by field

Written by the crate `api` from the table its parser uses (`UPDATE=1 cargo test -p api` rewrites it).

- *supported*: does what it says.
- *warned*: taken with a warning that names the path; it does nothing. What stands below it is taken as well.
- *refused*: the object is refused, because without this field more would be let through, exposed or left
  unencrypted than its author asked. An empty list, or `null`, is the same as nothing.

A field that is not listed is unknown and an error. `metadata` is checked as Kubernetes does; `status` is taken and
not read. `[]` stands for any item of a list and `{}` for any key of a map.
";
