//! Source files: what they say about themselves, and how long they are.

mod sizes;

pub use sizes::sizes;

use crate::workspace::{Finding, Workspace};

/// Whether a file holds nothing but tests.
fn is_test(path: &str) -> bool {
    let nested = path.split('/').skip(1).any(|part| part == "tests");
    nested || path.ends_with("/tests.rs") || path.contains("/benches/")
}

/// A crate's first file says what the crate is, where to start, and what it never does.
pub fn crates_have_docs(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let houses = workspace.manifests.iter().filter(|manifest| {
        manifest.folder.starts_with("crates/") || matches!(&*manifest.name, "testkit" | "xtask")
    });
    for manifest in houses {
        let path = format!("{}/src/lib.rs", manifest.folder);
        let text = workspace.files.get(&path).map(String::as_str).unwrap_or_default();
        let doc: String =
            text.lines().map_while(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join("\n");
        for word in ["Start at", "Never:"] {
            if !doc.contains(word) {
                findings.push(Finding::new(&path, 1, format!("its doc has no {word:?}")));
            }
        }
    }
    findings
}

/// Every module begins with a sentence about itself; a file of tests is named after what it tests.
pub fn modules_have_docs(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .rust()
        .filter(|(path, _)| !path.ends_with("/tests.rs"))
        .filter(|(_, text)| {
            !text.lines().find(|line| !line.starts_with("#!")).unwrap_or("").starts_with("//! ")
        })
        .map(|(path, _)| Finding::new(path, 1, "does not say what it is"))
        .collect()
}

/// A module's file is called as the module.
pub fn no_mod_rs(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .rust()
        .filter(|(path, _)| path.ends_with("/mod.rs"))
        .map(|(path, _)| Finding::new(path, 0, "is called mod.rs"))
        .collect()
}

/// Every file below a folder `golden` is named by a source file of its package: itself, or a folder around it.
pub fn goldens_have_tests(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in workspace.files.keys() {
        let Some((package, inside)) = in_package(workspace, path) else { continue };
        let folders: Vec<&str> = inside.split('/').collect();
        let Some((name, folders)) = folders.split_last() else { continue };
        let Some(golden) = folders.iter().position(|folder| *folder == "golden") else { continue };
        let mut quoted = vec![format!("{name}\"")];
        quoted.extend((golden..folders.len()).map(|last| format!("{}\"", folders[golden..=last].join("/"))));
        let below = format!("{package}/");
        let mut sources = workspace.rust().filter(|(path, _)| path.starts_with(&below));
        if !sources.any(|(_, text)| quoted.iter().any(|word| text.contains(word))) {
            findings.push(Finding::new(path, 0, "no test of its package reads it"));
        }
    }
    findings
}

fn in_package<'a>(workspace: &'a Workspace, path: &'a str) -> Option<(&'a str, &'a str)> {
    workspace.manifests.iter().find_map(|manifest| {
        let inside = path.strip_prefix(&*manifest.folder)?.strip_prefix('/')?;
        Some((&*manifest.folder, inside))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Manifest;

    fn with(path: &str, text: &str) -> Workspace {
        Workspace {
            files: [(path.to_owned(), text.to_owned())].into(),
            manifests: vec![Manifest {
                name: "api".into(),
                folder: "crates/api".into(),
                ..Manifest::default()
            }],
        }
    }

    #[test]
    fn a_crate_that_does_not_say_what_it_never_does_is_found() {
        let of = |text: &str| crates_have_docs(&with("crates/api/src/lib.rs", text)).len();

        assert_eq!(of("//! Words.\n//!\n//! Start at [`X`].\n//!\n//! Never: speaks.\n"), 0);
        assert_eq!(of("//! Words.\n//!\n//! Start at [`X`].\n"), 1);
        assert_eq!(of("//! Words.\n\n// Start at x. Never: speaks.\n"), 2);
    }

    #[test]
    fn a_module_without_a_sentence_is_found() {
        let of = |text: &str| modules_have_docs(&with("a.rs", text)).len();

        assert_eq!(of("#![allow(x)]\n//! Words.\n"), 0);
        assert_eq!(of("use x;\n//! Words.\n"), 1);
        assert_eq!(of(""), 1);
    }

    #[test]
    fn a_mod_rs_is_found() {
        assert_eq!(no_mod_rs(&with("crates/api/src/mode.rs", "")), []);
        assert_eq!(no_mod_rs(&with("crates/api/src/x/mod.rs", "")).len(), 1);
    }

    #[test]
    fn a_golden_nobody_reads_is_found() {
        let mut workspace = with("crates/api/tests/golden/routes/a.yaml", "");
        assert_eq!(goldens_have_tests(&workspace).len(), 1);

        workspace.files.insert("crates/other/src/lib.rs".into(), "check(\"golden/routes\")".into());
        assert_eq!(goldens_have_tests(&workspace).len(), 1);

        for reader in ["check(\"golden/routes\")", "check(\"tests/golden\")", "check(\"a.yaml\")"] {
            workspace.files.insert("crates/api/tests/routes.rs".into(), reader.into());
            assert_eq!(goldens_have_tests(&workspace), []);
        }
    }
}
