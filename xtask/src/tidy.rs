//! Every check, by name.

pub mod documents;
pub mod layers;
pub mod purity;
pub mod sources;
pub mod words;

use crate::workspace::{Finding, Workspace};

/// A check: what is wrong, or nothing.
pub type Check = fn(&Workspace) -> Vec<Finding>;

/// All checks, each with the rule it holds.
pub const CHECKS: [(&str, Check); 15] = [
    ("imports go strictly down", layers::imports_go_down),
    ("every crate is on a floor", layers::crates_are_on_floors),
    ("no crate is named as a public one", layers::names_are_our_own),
    ("manifests follow the workspace's lints", layers::lints_are_the_workspaces),
    ("pure crates name nothing impure", purity::manifests_are_pure),
    ("pure crates forbid clock, environment, files and threads", purity::bans_are_in_force),
    ("crates say what they are and never do", sources::crates_have_docs),
    ("modules say what they are", sources::modules_have_docs),
    ("files and functions are short", sources::sizes),
    ("no mod.rs", sources::no_mod_rs),
    ("every golden has a test", sources::goldens_have_tests),
    ("no notes to self, no machine's paths", words::forbidden),
    ("decisions have numbers of their own", documents::decisions),
    ("links lead somewhere", documents::links),
    ("the architecture names every crate", documents::architecture),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn checks_have_names_of_their_own() {
        let names: BTreeSet<_> = CHECKS.iter().map(|(name, _)| name).collect();

        assert_eq!(names.len(), CHECKS.len());
    }

    #[test]
    fn an_empty_workspace_passes_what_is_about_files() {
        for (name, check) in CHECKS {
            assert_eq!(check(&Workspace::default()), [], "{name}");
        }
    }
}
