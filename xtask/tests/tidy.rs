//! This workspace against its own rules.

use std::path::Path;

use xtask::{Workspace, tidy};

#[test]
fn the_workspace_keeps_its_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace around this package");
    let workspace = Workspace::read(root).expect("a readable workspace");
    assert!(workspace.crates().count() > 0, "the workspace has no crates");

    let mut report = String::new();
    for (rule, check) in tidy::CHECKS {
        for finding in check(&workspace) {
            report.push_str(&format!("{rule}: {finding}\n"));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}
