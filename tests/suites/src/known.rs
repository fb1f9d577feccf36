//! The checked-in list of cases known to fail; it may only shrink.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Case;

/// Compares what failed with the list in `file`: lines of `KIND<tab>ID<tab>REASON`, `#` begins a comment.
///
/// # Errors
/// Every case that fails outside the list, and every listed case that passes or does not exist.
pub fn compare(cases: &[Case], file: &Path) -> Result<(), Vec<String>> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut listed: BTreeMap<(&str, &str), bool> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .filter_map(|line| {
            let mut parts = line.split('\t');
            Some(((parts.next()?, parts.next()?), false))
        })
        .collect();
    let mut wrong = Vec::new();
    for case in cases {
        let known = listed.get_mut(&(case.kind.as_str(), case.id.as_str()));
        match (&case.outcome, known) {
            (Err(_), Some(met)) => *met = true,
            (Err(why), None) => wrong.push(format!("{} {}: {why}", case.kind, case.id)),
            (Ok(()), _) => {}
        }
    }
    let stale = listed.iter().filter(|(_, met)| !**met);
    wrong.extend(
        stale.map(|((kind, id), _)| {
            format!("{kind} {id}: is listed as failing and does not fail; take it off")
        }),
    );
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, outcome: Result<(), String>) -> Case {
        Case { kind: "k".into(), id: id.into(), outcome }
    }

    #[test]
    fn an_unlisted_failure_and_a_listed_pass_are_both_wrong() {
        let dir = std::env::temp_dir().join(format!("known-{}", std::process::id()));
        std::fs::write(&dir, "# why\nk\ta\treason\nk\tb\treason\n").expect("a temporary file");

        let wrong =
            compare(&[case("a", Ok(())), case("b", Err("x".into())), case("c", Err("y".into()))], &dir)
                .expect_err("two are wrong");

        std::fs::remove_file(&dir).expect("the temporary file");
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("k c: y") && wrong[1].starts_with("k a: is listed"), "{wrong:?}");
    }
}
