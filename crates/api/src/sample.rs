//! Objects for tests: a kind, and what stands in it.

use base::Severity;

use crate::{Kind, Parsed, Resource, parse};

/// The file with one object `a/x`; `body` is what stands below `spec`, or at the top where there is none.
fn file(kind: Kind, body: &str) -> String {
    let head =
        format!("apiVersion: {}\nkind: {kind}\nmetadata: {{name: x, namespace: a}}\n", kind.api_version());
    match kind.has_spec() {
        true => {
            format!("{head}spec:\n{}", body.lines().map(|line| format!("  {line}\n")).collect::<String>())
        }
        false => head + body,
    }
}

pub(crate) fn parsed(kind: Kind, body: &str) -> Parsed {
    parse("f.yaml", file(kind, body).as_bytes())
}

/// The object, of which nothing is to be said.
pub(crate) fn one(kind: Kind, body: &str) -> Resource {
    let mut parsed = parsed(kind, body);
    assert_eq!(parsed.issues, [], "{body}");
    parsed.resources.remove(0)
}

/// What is wrong: the code and the path of each error.
pub(crate) fn errors(kind: Kind, body: &str) -> Vec<(String, String)> {
    of(kind, body, Severity::Error)
}

/// What is warned of.
pub(crate) fn warnings(kind: Kind, body: &str) -> Vec<(String, String)> {
    of(kind, body, Severity::Warning)
}

fn of(kind: Kind, body: &str, severity: Severity) -> Vec<(String, String)> {
    let issues = parsed(kind, body).issues.into_iter().filter(|issue| issue.severity == severity);
    issues.map(|issue| (issue.code.to_string(), issue.path.to_string())).collect()
}

/// One finding.
pub(crate) fn found(code: &str, path: &str) -> (String, String) {
    (code.into(), path.into())
}
