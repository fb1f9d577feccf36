//! Golden pairs: `golden/CASE.in.yaml`, what becomes of it in both modes, and what there is to say.
//!
//! `UPDATE=1` rewrites what has changed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base::Severity;
use migrate::{Mode, convert};

#[test]
fn golden_pairs_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let cases: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".in.yaml")).collect();
    assert!(!cases.is_empty());
    let mut failed = Vec::new();
    for case in cases {
        let file = format!("{case}.in.yaml");
        let bytes = fs::read(folder.join(&file)).unwrap();
        for (mode, name) in [(Mode::Compat, "compat"), (Mode::Modern, "modern")] {
            let converted = convert(&[(file.as_str(), &bytes)], mode);
            let mut text = String::new();
            // What today's rules refuse changes with every version, and is tested with them.
            for issue in converted.issues.iter().filter(|issue| issue.code != "refused-field") {
                writeln!(text, "# {issue}").unwrap();
            }
            text.push_str(&converted.to_yaml());
            failed.extend(testkit::golden(folder.join(format!("{case}.{name}.yaml")), &text).err());
            if mode == Mode::Modern {
                let parsed = api::parse(&file, converted.to_yaml().as_bytes());
                let wrong =
                    |issue: &&base::Issue| issue.severity == Severity::Error && issue.code != "refused-field";
                assert_eq!(parsed.issues.iter().find(wrong), None, "{case}");
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
