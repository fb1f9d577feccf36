//! Bookinfo's official files are read without an error that is not about TLS.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

use base::Severity;

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

#[test]
fn bookinfo_is_read_without_errors_but_for_refused_tls() {
    let Some(suites) = testkit::suites() else { return };
    let samples = suites.join("samples/bookinfo");
    let mut objects = 0;
    for file in ["networking", "platform/kube"].iter().flat_map(|folder| yaml_files(&samples.join(folder))) {
        let parsed = api::parse(&file.to_string_lossy(), &fs::read(&file).unwrap());

        objects += parsed.resources.len();
        for issue in parsed.issues.iter().filter(|issue| issue.severity == Severity::Error) {
            assert!(issue.code == "refused-field" && issue.path.contains(".tls."), "{issue}");
        }
    }
    assert!(objects > 50, "{objects}");
}
