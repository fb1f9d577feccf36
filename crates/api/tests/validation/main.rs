//! The rules of Istio's own validation, row by row, as far as they are about our kinds.
//!
//! A row's message is put where it belongs in a whole object, which is then parsed. `kinds.txt` says of every table
//! of rows which kind it is about, or why it is about none of ours; rows that fail are listed, each with its reason,
//! in `known-failures.txt`, which may only shrink.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base::Severity;
use serde_json::Value;

const KINDS: &str = include_str!("kinds.txt");
const KNOWN: &str = include_str!("known-failures.txt");

/// What a row expects.
struct Expected<'a> {
    is_accepted: bool,
    is_warned: bool,
    /// The field that must be named where the row names one.
    path: Option<&'a str>,
}

/// How many rows of a kind passed, of how many.
type Tally = BTreeMap<String, (usize, usize)>;

#[test]
fn rules_are_judged_as_istio_and_its_api_server_judge_them() {
    let Some(suites) = testkit::suites() else { return };
    let suite = suites.join("validation");
    let mut tally = Tally::new();

    let mut failed = judge_rules(&read(&suite, "semantic.json"), &mut tally);
    failed.extend(judge_documents(&suite, &mut tally));

    compare(&failed);
    report(&tally);
}

/// Judges the tables of rows about single messages.
fn judge_rules(rows: &Value, tally: &mut Tally) -> BTreeMap<String, String> {
    let kinds: BTreeMap<&str, &str> = KINDS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once("  ").map(|(id, kind)| (id, kind.trim())).unwrap())
        .collect();
    let mut failed = BTreeMap::new();
    for row in rows.as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        let group = id.split('/').next().unwrap();
        let kind = kinds.get(id).or_else(|| kinds.get(group));
        let kind = kind.unwrap_or_else(|| panic!("{id} is not in kinds.txt"));
        if kind.starts_with("none") {
            continue;
        }
        let object = objects::of(group, &row["input"]);
        let expect = &row["expect"];
        let expected = Expected {
            is_accepted: expect["ok"].as_bool().unwrap(),
            is_warned: expect["warning"] == true || expect["warning"].is_string(),
            path: None,
        };
        let outcome = judge(&object.to_string(), &expected);
        count(tally, kind, outcome.is_ok());
        if let Err(why) = outcome {
            failed.insert(format!("semantic {id}"), why);
        }
    }
    failed
}

/// Judges whole documents.
fn judge_documents(suite: &Path, tally: &mut Tally) -> BTreeMap<String, String> {
    let mut failed = BTreeMap::new();
    for row in read(suite, "documents.json").as_array().unwrap() {
        let (id, kind) = (row["id"].as_str().unwrap(), row["kind"].as_str().unwrap());
        let is_ours =
            api::Kind::named(kind).is_some() && row["apiVersion"].as_str().unwrap().contains("istio.io");
        if !is_ours {
            continue;
        }
        let text = fs::read_to_string(suite.join(row["file"].as_str().unwrap())).unwrap();
        let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with("_err")).collect();
        let error = row["error"].as_str();
        let expected = Expected {
            is_accepted: row["error"].is_null(),
            is_warned: false,
            path: error.and_then(|error| error.split([':', ' ']).next()).filter(|p| p.starts_with("spec")),
        };
        let outcome = judge(&text, &expected);
        count(tally, kind, outcome.is_ok());
        if let Err(why) = outcome {
            failed.insert(format!("document {id}"), why);
        }
    }
    failed
}

fn read(suite: &Path, name: &str) -> Value {
    let file: Value = serde_json::from_str(&fs::read_to_string(suite.join(name)).unwrap()).unwrap();
    if file.is_array() { file } else { file["cases"].clone() }
}

fn judge(text: &str, expected: &Expected<'_>) -> Result<(), String> {
    let parsed = api::parse("row", text.as_bytes());
    let of = |severity| parsed.issues.iter().filter(move |issue| issue.severity == severity);
    let first = of(Severity::Error).next();
    match (first, expected.is_accepted) {
        (None, false) => return Err("it is accepted".into()),
        (Some(error), true) => return Err(error.to_string()),
        _ => {}
    }
    if expected.is_warned && of(Severity::Warning).next().is_none() {
        return Err("nothing is warned of".into());
    }
    match expected.path {
        Some(path) if !of(Severity::Error).any(|error| is_at(&error.path, path)) => {
            Err(format!("no error names {path}, but: {}", first.unwrap()))
        }
        _ => Ok(()),
    }
}

/// Whether a path is this one, or of a key in the map it names: Kubernetes names no key.
fn is_at(path: &str, named: &str) -> bool {
    path.strip_prefix(named).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

fn count(tally: &mut Tally, kind: &str, passed: bool) {
    let row = tally.entry(kind.into()).or_default();
    row.0 += usize::from(passed);
    row.1 += 1;
}

/// Prints what passed and holds the sum to nineteen rows of twenty.
fn report(tally: &Tally) {
    let (mut passed, mut total) = (0, 0);
    for (kind, row) in tally {
        println!("{kind} {} / {}", row.0, row.1);
        passed += row.0;
        total += row.1;
    }
    println!("all {passed} / {total}");
    assert!(passed * 100 >= total * 95, "{passed} of {total}");
}

fn compare(failed: &BTreeMap<String, String>) {
    let rows = KNOWN.lines().filter(|line| !line.is_empty());
    let known: BTreeSet<&str> = rows.filter_map(|line| line.split("  #").next()).map(str::trim_end).collect();
    let new: Vec<String> = failed
        .iter()
        .filter(|(id, _)| !known.contains(id.as_str()))
        .map(|(id, why)| format!("{id}: {why}"))
        .collect();
    let fixed: Vec<&&str> = known.iter().filter(|id| !failed.contains_key(**id)).collect();
    assert!(new.is_empty(), "failures that are not in known-failures.txt:\n{}", new.join("\n"));
    assert!(fixed.is_empty(), "take these out of known-failures.txt, they pass: {fixed:#?}");
}
