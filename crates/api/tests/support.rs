//! The page `docs/support.md` is the table the parser uses.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;

use api::{Kind, support};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

#[test]
fn the_page_says_what_the_parser_does() {
    let (path, page) = (format!("{DOCS}/support.md"), support::markdown());
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(DOCS).unwrap();
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
