//! Words that must not be in any committed file.

use crate::workspace::{Finding, Workspace};

/// Notes to self, and what names one machine rather than the product. Written in two halves, so that this file passes.
const FORBIDDEN: [(&str, &str); 11] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("for", " now,"),
    ("for", " now."),
    ("quick", " fix"),
    ("/home", "/"),
    ("/root", "/"),
    ("/work", "/main"),
    ("/work", "/shared"),
    ("shared", "/notes"),
];

/// Files whose words are not ours.
const FOREIGN: [&str; 2] = ["Cargo.lock", "LICENSE"];

/// No file says anything of the kind.
pub fn forbidden(workspace: &Workspace) -> Vec<Finding> {
    let forbidden: Vec<String> = FORBIDDEN.iter().map(|(one, other)| format!("{one}{other}")).collect();
    let mut findings = Vec::new();
    for (path, text) in workspace.files.iter().filter(|(path, _)| !FOREIGN.contains(&&***path)) {
        for (place, line) in text.lines().enumerate() {
            for word in forbidden.iter().filter(|word| says(line, word)) {
                findings.push(Finding::new(path, place + 1, format!("says {word:?}")));
            }
        }
    }
    findings
}

/// Whether a line says a word as such: `METHOD` does not say `TO` within itself.
fn says(line: &str, word: &str) -> bool {
    let is_part = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    line.match_indices(word).any(|(place, _)| {
        let opens = word.starts_with('/') || !is_part(line[..place].chars().next_back());
        let closes =
            word.ends_with(['/', ':', '.', ',']) || !is_part(line[place + word.len()..].chars().next());
        opens && closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_to_self_are_found_and_like_words_are_not() {
        let of = |text: &str| {
            forbidden(&Workspace { files: [("a.rs".into(), text.into())].into(), ..Workspace::default() })
                .len()
        };

        assert_eq!(of("// a method, MASTODON, forever\n"), 0);
        assert_eq!(of(&format!("// {}{}: later", "TO", "DO")), 1);
        assert_eq!(of(&format!("open(\"/home{}me\")", "/")), 1);
        assert_eq!(of(&format!("good\nenough for{}.", " now")), 1);
    }
}
