//! Telling a person what is wrong: once when it appears, once when it is mended.

use std::collections::HashSet;

use base::{Issue, Place, Severity};

/// Logs the difference between two lists of issues.
pub(crate) fn tell(before: &[Issue], after: &[Issue]) {
    let (was, is): (HashSet<_>, HashSet<_>) =
        (before.iter().map(whole).collect(), after.iter().map(whole).collect());
    for issue in after.iter().filter(|issue| !was.contains(&whole(issue))) {
        let Issue { severity, code, place, object, path, message } = issue;
        match severity {
            Severity::Error => tracing::error!(%place, object, path, code, "{message}"),
            Severity::Warning => tracing::warn!(%place, object, path, code, "{message}"),
        }
    }
    // One object may have several issues, or the same one on another line.
    let remaining: HashSet<_> = after.iter().map(gist).collect();
    for issue in before.iter().filter(|issue| !is.contains(&whole(issue))) {
        if issue.severity == Severity::Error && !remaining.contains(&gist(issue)) {
            tracing::info!(place = %issue.place, object = issue.object, code = issue.code, "mended");
        }
    }
}

/// Everything an issue says.
fn whole(issue: &Issue) -> (Severity, &Place, [&str; 4]) {
    let Issue { severity, code, place, object, path, message } = issue;
    (*severity, place, [code, object, path, message])
}

/// What an issue is about, wherever it stands.
fn gist(issue: &Issue) -> [&str; 4] {
    [&issue.object, &issue.code, &issue.path, &issue.place.file]
}
