//! Floors: who may import whom (`layers.txt`), and what packages are called.

use std::collections::BTreeMap;

use crate::workspace::{Finding, Workspace};

/// The floor of each crate, and findings about lines that say none.
fn floors(workspace: &Workspace) -> (BTreeMap<&str, u32>, Vec<Finding>) {
    let mut floors = BTreeMap::new();
    let mut findings = Vec::new();
    let text = workspace.files.get("layers.txt").map(String::as_str).unwrap_or_default();
    for (place, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let Some(Ok(floor)) = words.next().map(str::parse) else {
            findings.push(Finding::new("layers.txt", place + 1, "a line is a floor's number and its crates"));
            continue;
        };
        for name in words {
            if floors.insert(name, floor).is_some() {
                findings.push(Finding::new("layers.txt", place + 1, format!("{name} is on two floors")));
            }
        }
    }
    (floors, findings)
}

/// A crate imports crates of lower floors only; its tests may also use its own floor's.
pub fn imports_go_down(workspace: &Workspace) -> Vec<Finding> {
    let (floors, mut findings) = floors(workspace);
    for manifest in workspace.crates() {
        let path = format!("{}/Cargo.toml", manifest.folder);
        let Some(own) = floors.get(&*manifest.name) else { continue };
        for dependency in &manifest.dependencies {
            let ours = workspace.manifests.iter().find(|other| other.name == dependency.name);
            let message = match floors.get(&*dependency.name) {
                Some(other) if other < own || (dependency.is_dev && other == own) => continue,
                Some(other) => {
                    format!("{} (floor {own}) imports {} (floor {other})", manifest.name, dependency.name)
                }
                None if ours.is_some() && !dependency.is_dev => {
                    format!("{} imports {}, which is no part of the product", manifest.name, dependency.name)
                }
                None => continue,
            };
            findings.push(Finding::new(&path, 0, message));
        }
    }
    findings
}

/// Folder, crate and floor know each other.
pub fn crates_are_on_floors(workspace: &Workspace) -> Vec<Finding> {
    let (floors, mut findings) = floors(workspace);
    for manifest in workspace.crates() {
        let path = format!("{}/Cargo.toml", manifest.folder);
        if !floors.contains_key(&*manifest.name) {
            findings.push(Finding::new(&path, 0, format!("{} is on no floor of layers.txt", manifest.name)));
        }
        if manifest.folder != format!("crates/{}", manifest.name) {
            findings.push(Finding::new(&path, 0, format!("{} lives in another's folder", manifest.name)));
        }
    }
    for name in floors.keys() {
        if !workspace.crates().any(|manifest| manifest.name == *name) {
            findings.push(Finding::new("layers.txt", 0, format!("{name} does not exist")));
        }
    }
    findings
}

/// No package of ours has the name of a registry's package that is built beside it.
pub fn names_are_our_own(workspace: &Workspace) -> Vec<Finding> {
    let lock = workspace.files.get("Cargo.lock").map(String::as_str).unwrap_or_default();
    let foreign = lock.split("[[package]]").filter(|package| package.contains("\nsource = "));
    let names = foreign.filter_map(|package| {
        package.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
    });
    names
        .filter(|name| workspace.manifests.iter().any(|manifest| manifest.name == **name))
        .map(|name| Finding::new("Cargo.lock", 0, format!("{name} is also a registry's package")))
        .collect()
}

/// Every package takes the workspace's lints; `net` alone has a table of its own, since it may be unsafe.
pub fn lints_are_the_workspaces(workspace: &Workspace) -> Vec<Finding> {
    let manifests = workspace.manifests.iter().filter(|manifest| manifest.name != "net");
    let paths = manifests.map(|manifest| format!("{}/Cargo.toml", manifest.folder));
    paths
        .filter(|path| {
            let text = workspace.files.get(path).map(String::as_str).unwrap_or_default();
            !text.contains("[lints]\nworkspace = true")
        })
        .map(|path| Finding::new(&path, 0, "takes lints of its own"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Dependency, Manifest};

    fn workspace(layers: &str, crates: &[(&str, &[(&str, bool)])]) -> Workspace {
        let manifest = |(name, dependencies): &(&str, &[(&str, bool)])| Manifest {
            name: (*name).to_owned(),
            folder: if *name == "testkit" { "testkit".into() } else { format!("crates/{name}") },
            dependencies: dependencies
                .iter()
                .map(|(name, is_dev)| Dependency { name: (*name).to_owned(), is_dev: *is_dev })
                .collect(),
        };
        Workspace {
            files: [("layers.txt".to_owned(), layers.to_owned())].into(),
            manifests: crates.iter().map(manifest).collect(),
        }
    }

    #[test]
    fn imports_that_go_up_or_sideways_are_found() {
        let good = [("base", &[("serde", false)][..]), ("api", &[("base", false), ("testkit", true)][..])];
        let testkit = ("testkit", &[][..]);
        let layers = "0 base\n1 api mesh\n";
        let of = |crates: &[(&str, &[(&str, bool)])]| imports_go_down(&workspace(layers, crates)).len();

        assert_eq!(of(&[good[0], good[1], testkit]), 0);
        assert_eq!(of(&[("base", &[("api", false)])]), 1);
        assert_eq!(of(&[("base", &[("api", true)])]), 1);
        assert_eq!(of(&[("mesh", &[("api", false)])]), 1);
        assert_eq!(of(&[("mesh", &[("api", true)])]), 0);
        assert_eq!(of(&[("mesh", &[("testkit", false)]), testkit]), 1);
    }

    #[test]
    fn crates_without_a_floor_and_floors_without_a_crate_are_found() {
        let of = |layers: &str| crates_are_on_floors(&workspace(layers, &[("base", &[])])).len();

        assert_eq!(of("0 base\n"), 0);
        assert_eq!(of(""), 1);
        assert_eq!(of("0 base\n1 gone\n"), 1);
        assert_eq!(of("0 base\n1 base\n"), 1);
        assert_eq!(of("0 base\nground\n"), 1);
    }

    #[test]
    fn a_public_crates_name_is_found() {
        let mut workspace = workspace("0 api\n", &[("api", &[])]);
        let package = |name: &str, source: &str| format!("[[package]]\nname = \"{name}\"\n{source}\n");
        let registry = "version = \"1\"\nsource = \"registry+https://x\"";
        workspace
            .files
            .insert("Cargo.lock".into(), package("api", "version = \"1\"") + &package("x", registry));
        assert_eq!(names_are_our_own(&workspace), []);

        workspace.files.insert("Cargo.lock".into(), package("api", registry));
        assert_eq!(names_are_our_own(&workspace).len(), 1);
    }

    #[test]
    fn a_manifest_with_lints_of_its_own_is_found() {
        let mut workspace = workspace("0 api\n", &[("api", &[])]);
        let path = "crates/api/Cargo.toml".to_owned();
        workspace.files.insert(path.clone(), "[lints]\nworkspace = true\n".into());
        assert_eq!(lints_are_the_workspaces(&workspace), []);

        workspace.files.insert(path, "[lints.rust]\nunsafe_code = \"allow\"\n".into());
        assert_eq!(lints_are_the_workspaces(&workspace).len(), 1);
    }
}
