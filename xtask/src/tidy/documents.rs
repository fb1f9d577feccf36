//! The documents: decisions, links, and the map of the crates.

use std::collections::BTreeMap;

use crate::workspace::{Finding, Workspace};

/// `docs/decisions/NNNN-title.md`, each number once.
pub fn decisions(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for path in workspace.files.keys() {
        let Some(name) = path.strip_prefix("docs/decisions/") else { continue };
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) || !name.ends_with(".md") {
            findings.push(Finding::new(path, 0, "is not called NNNN-title.md"));
        } else if let Some(other) = taken.insert(number, path) {
            findings.push(Finding::new(path, 0, format!("has the number of {other}")));
        }
    }
    findings
}

/// `ARCHITECTURE.md` has a line for every crate.
pub fn architecture(workspace: &Workspace) -> Vec<Finding> {
    let text = workspace.files.get("ARCHITECTURE.md").map(String::as_str).unwrap_or_default();
    workspace
        .crates()
        .filter(|manifest| !text.contains(&format!("`{}`", manifest.name)))
        .map(|manifest| Finding::new("ARCHITECTURE.md", 0, format!("does not name `{}`", manifest.name)))
        .collect()
}

/// Every relative link of a Markdown file leads to a file, a folder, or a heading.
pub fn links(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in targets(text) {
            if let Some(message) = broken(workspace, path, target) {
                findings.push(Finding::new(path, line, message));
            }
        }
    }
    findings
}

/// The targets of links, with their lines; fenced blocks have none.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for (place, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for after in line.split("](").skip(1) {
            if let Some((target, _)) = after.split_once(')') {
                targets.push((place + 1, target));
            }
        }
    }
    targets
}

fn broken(workspace: &Workspace, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
    let path = path.unwrap_or_default();
    let folder = format!("{}/", path.trim_end_matches('/'));
    let Some(text) = workspace.files.get(&path) else {
        let is_folder = workspace.files.keys().any(|file| file.starts_with(&folder));
        return (!is_folder).then(|| format!("{target} does not exist"));
    };
    let anchor = anchor?;
    let found = text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
    (!found).then(|| format!("{target} has no such heading"))
}

/// A path relative to a file, from the root; none where it leads out.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A heading's anchor, as forges make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Manifest;

    fn files(files: &[(&str, &str)]) -> Workspace {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Workspace { files: files.collect(), ..Workspace::default() }
    }

    #[test]
    fn a_number_taken_twice_and_a_wrong_name_are_found() {
        let of = |names: &[&str]| {
            let files: Vec<_> = names.iter().map(|name| format!("docs/decisions/{name}")).collect();
            decisions(&self::files(&files.iter().map(|path| (&**path, "")).collect::<Vec<_>>())).len()
        };

        assert_eq!(of(&["0001-a.md", "0002-b.md"]), 0);
        assert_eq!(of(&["0001-a.md", "0001-b.md"]), 1);
        assert_eq!(of(&["1-a.md"]), 1);
        assert_eq!(of(&["0001-a.txt"]), 1);
    }

    #[test]
    fn a_link_to_nowhere_is_found() {
        let of = |text: &str| links(&files(&[("docs/a.md", text), ("b/c.md", "# The Head\n")])).len();

        assert_eq!(of("[c](../b/c.md) [b](../b) [x](https://x.y) [h](../b/c.md#the-head)"), 0);
        assert_eq!(of("# Own head\n[o](#own-head)\n```\n[x](gone.md)\n```\n"), 0);
        assert_eq!(of("[c](b/c.md)"), 1);
        assert_eq!(of("[c](../../b/c.md)"), 1);
        assert_eq!(of("[c](../b/c.md#tail)"), 1);
    }

    #[test]
    fn a_crate_the_architecture_does_not_name_is_found() {
        let mut workspace = files(&[("ARCHITECTURE.md", "`base`: words")]);
        let named = |name: &str| Manifest {
            name: name.into(),
            folder: format!("crates/{name}"),
            ..Default::default()
        };
        workspace.manifests = vec![named("base")];
        assert_eq!(architecture(&workspace), []);

        workspace.manifests.push(named("api"));
        assert_eq!(architecture(&workspace).len(), 1);
    }
}
