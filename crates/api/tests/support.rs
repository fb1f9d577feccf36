//! The page `docs/support.md` is the table the parser uses.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use api::support::Support;
use api::yaml::{Node, load_written, pieces};
use api::{Kind, support};

#[test]
fn the_page_says_what_the_parser_does() {
    let (path, page) = (testkit::workspace_root().join("docs/support.md"), support::markdown());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }

    let written = fs::read_to_string(&path).unwrap_or_default();

    assert!(written == page, "docs/support.md is out of date; run UPDATE=1 cargo test -p api");
}

#[test]
fn every_field_has_one_row() {
    let mut rows: Vec<(Kind, String)> = support::table().map(|row| (row.kind, row.path)).collect();
    let all = rows.len();

    rows.sort();
    rows.dedup();

    assert!(all > 200, "{all}");
    assert_eq!(rows.len(), all);
}

#[test]
fn every_field_of_istios_own_schemas_has_a_row() {
    let Some(suites) = testkit::suites() else { return };
    let text = fs::read(suites.join("validation/crds/istio.yaml")).unwrap();
    let mut rows: BTreeMap<Kind, BTreeMap<String, Support>> = BTreeMap::new();
    for row in support::table() {
        rows.entry(row.kind).or_default().insert(row.path, row.support);
    }
    let (mut kinds, mut missing) = (0, Vec::new());
    for piece in pieces(&text) {
        let Some(crd) = load_written(piece.text(), piece.line).root else { continue };
        let name = text_at(&crd, &["spec", "names", "kind"]);
        let group = text_at(&crd, &["spec", "group"]);
        let Some(kind) = Kind::ALL.into_iter().find(|k| k.name() == name && k.group() == group) else {
            continue;
        };
        let version = at(&crd, &["spec", "versions"]).unwrap().items().first().unwrap();
        let schema = at(version, &["schema", "openAPIV3Schema", "properties", "spec"]).unwrap();
        let mut fields = BTreeSet::new();
        gather(schema, "spec", &mut fields);
        kinds += 1;
        missing.extend(fields.into_iter().filter(|path| !is_known(&rows[&kind], path)));
    }

    assert_eq!(kinds, 8);
    assert_eq!(missing, Vec::<String>::new());
}

/// Whether a field has a row, is part of what has rows, or stands below what is warned of or refused as a whole.
fn is_known(rows: &BTreeMap<String, Support>, path: &str) -> bool {
    let is_below = |longer: &str, shorter: &str| {
        longer.strip_prefix(shorter).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '{']))
    };
    rows.iter()
        .any(|(row, support)| is_below(row, path) || (*support != Support::Supported && is_below(path, row)))
}

fn gather(schema: &Node, path: &str, fields: &mut BTreeSet<String>) {
    fields.insert(path.to_owned());
    for property in at(schema, &["properties"]).map(Node::entries).unwrap_or_default() {
        gather(&property.node, &format!("{path}.{}", property.key), fields);
    }
    if let Some(item) = at(schema, &["items"]) {
        gather(item, &format!("{path}[]"), fields);
    }
    if let Some(value) = at(schema, &["additionalProperties"]) {
        gather(value, &format!("{path}{{}}"), fields);
    }
}

fn at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| node.entries().iter().find(|e| e.key == *key).map(|e| &e.node))
}

fn text_at<'a>(node: &'a Node, path: &[&str]) -> &'a str {
    at(node, path).and_then(Node::text).unwrap_or_default()
}
