//! Runs peers' test suites, kept as data in a folder per suite, against Weft, and counts.
//!
//! Start at [`run`]. A suite is known by its folder's name and shape; nothing here knows a case by name.
//!
//! Never: asserts. What fails is reported with its reason; the tests beside decide what may fail.

use std::path::Path;

use anyhow::Context;

pub mod istiod;
pub mod known;
mod pushed;
pub mod replay;
pub mod simulation;
pub mod tasks;

/// The suites that can be run, by the name of their folder.
pub const SUITES: [&str; 3] = ["istiod", "simulation", "tasks"];

/// One case of a suite and what came of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The suite's own division, e.g. the file the case stands in.
    pub kind: String,
    /// The case, stable and unique within its kind.
    pub id: String,
    /// Passed, or why not.
    pub outcome: Result<(), String>,
}

/// Runs one suite, a folder of `dir`.
///
/// # Errors
/// The suite is not one of [`SUITES`], or its files cannot be read.
pub fn run(dir: &Path, name: &str) -> anyhow::Result<Vec<Case>> {
    let folder = dir.join(name);
    match name {
        "istiod" => istiod::run(&folder),
        "simulation" => simulation::run(&folder),
        "tasks" => tasks::run(&folder),
        _ => anyhow::bail!("no suite {name:?}; there are {}", SUITES.join(", ")),
    }
}

/// Passed and total of each kind, in the order in which the kinds first occur.
pub fn totals(cases: &[Case]) -> Vec<(String, usize, usize)> {
    let mut totals: Vec<(String, usize, usize)> = Vec::new();
    for case in cases {
        let at = totals.iter().position(|(kind, ..)| *kind == case.kind).unwrap_or_else(|| {
            totals.push((case.kind.clone(), 0, 0));
            totals.len() - 1
        });
        totals[at].1 += usize::from(case.outcome.is_ok());
        totals[at].2 += 1;
    }
    totals
}

/// Reads one JSON file of a suite.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}

/// A plan store that knows the proxy's own filters.
fn store() -> plan::Store {
    plan::Store::new(filters::registry())
}
