//! Telling a person what is wrong: once when it appears, once when it is mended.

use base::{Issue, Severity};

/// Logs the difference between two lists of issues.
pub(crate) fn tell(before: &[Issue], after: &[Issue]) {
    for issue in after.iter().filter(|issue| !before.contains(issue)) {
        let Issue { severity, code, place, object, path, message } = issue;
        match severity {
            Severity::Error => tracing::error!(%place, object, path, code, "{message}"),
            Severity::Warning => tracing::warn!(%place, object, path, code, "{message}"),
        }
    }
    for issue in before.iter().filter(|issue| !after.contains(issue)) {
        // One object may have several issues, or the same one on another line.
        let remains = |other: &Issue| {
            (&other.object, &other.code, &other.path, &other.place.file)
                == (&issue.object, &issue.code, &issue.path, &issue.place.file)
        };
        if issue.severity == Severity::Error && !after.iter().any(remains) {
            tracing::info!(place = %issue.place, object = issue.object, code = issue.code, "mended");
        }
    }
}
