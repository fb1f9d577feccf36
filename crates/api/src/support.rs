//! Field by field: what this version enforces, what it takes with a warning, and what it refuses.
//!
//! One table serves the parser and `docs/support.md`, so that the page cannot drift from the program.

use std::fmt::Write as _;

use crate::kind::Kind;
use crate::schema::{Field, Shape};
use crate::{
    config_map, destination_rule, endpoint_slice, gateway, mesh_config, pod, proxy_config, secret, service,
    service_entry, sidecar, virtual_service, workload_entry, workload_group,
};

pub use crate::schema::Support;

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
    /// The words it may be; none where it may be others.
    pub words: &'static [&'static str],
}

/// Every field of every kind, in the order of the kinds and of their documentation.
pub fn table() -> impl Iterator<Item = Row> {
    Kind::ALL.into_iter().flat_map(|kind| {
        let mut rows = Vec::new();
        let start = if kind.has_spec() { "spec" } else { "" };
        add_fields(kind, start, fields_of(kind), &mut rows);
        if kind == Kind::ConfigMap {
            add_fields(kind, "data.mesh", mesh_config::FIELDS, &mut rows);
        }
        rows
    })
}

/// The fields of a kind below `spec`, or of the object itself where the kind has no `spec`.
pub(crate) fn fields_of(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::ConfigMap => config_map::FIELDS,
        Kind::DestinationRule => destination_rule::FIELDS,
        Kind::EndpointSlice => endpoint_slice::FIELDS,
        Kind::Gateway => gateway::FIELDS,
        Kind::ProxyConfig => proxy_config::FIELDS,
        Kind::Pod => pod::FIELDS,
        Kind::Secret => secret::FIELDS,
        Kind::Service => service::FIELDS,
        Kind::ServiceEntry => service_entry::FIELDS,
        Kind::Sidecar => sidecar::FIELDS,
        Kind::VirtualService => virtual_service::FIELDS,
        Kind::WorkloadEntry => workload_entry::FIELDS,
        Kind::WorkloadGroup => workload_group::FIELDS,
    }
}

fn add_fields(kind: Kind, parent: &str, fields: &[Field], rows: &mut Vec<Row>) {
    for field in fields {
        let path = if parent.is_empty() { field.name.into() } else { format!("{parent}.{}", field.name) };
        let row = Row { kind, path, support: field.support, words: words_of(&field.shape) };
        match field.support {
            Support::Supported | Support::SupportedBut(_) => add_shape(row, &field.shape, rows),
            _ => rows.push(row),
        }
    }
}

fn words_of(shape: &Shape) -> &'static [&'static str] {
    match shape {
        Shape::List(item) => words_of(item),
        Shape::Word(words) => words,
        _ => &[],
    }
}

fn add_shape(row: Row, shape: &Shape, rows: &mut Vec<Row>) {
    match shape {
        Shape::List(item) => add_shape(Row { path: format!("{}[]", row.path), ..row }, item, rows),
        Shape::Map(value) => add_shape(Row { path: format!("{}{{}}", row.path), ..row }, value, rows),
        Shape::Object(fields) if !fields.is_empty() => {
            if row.support != Support::Supported {
                rows.push(row.clone());
            }
            add_fields(row.kind, &row.path, fields, rows);
        }
        _ => rows.push(row),
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
        Support::SupportedBut(but) => ("supported in part", but.into()),
        Support::Warned(why) => ("warned", why.into()),
        Support::WarnedUnless(values, why) => ("supported in part", unless(values, "warned", why)),
        Support::Refused(why) => ("**refused**", why.into()),
        Support::RefusedUnless(values, why) => ("supported in part", unless(values, "**refused**", why)),
    }
}

const INTRODUCTION: &str = "\
# What is supported, field by field

Written by the crate `api` from the table its parser uses (`UPDATE=1 cargo test -p api` rewrites it). What each
field does to what proxies are told stands in `crates/translate/tests/golden/fields`.

- *supported*: does what it says.
- *supported in part*: does what it says for the values of the note, or for all but those.
- *warned*: taken with a warning that names the path; it does nothing. What stands below it is taken as well.
- *refused*: the object is refused, because without this field more would be let through, exposed or left
  unencrypted than its author asked. An empty list, or `null`, is the same as nothing.

A field that is not listed is unknown and an error. `metadata` is checked as Kubernetes does; `status` is taken and
not read. `[]` stands for any item of a list and `{}` for any key of a map.
";
