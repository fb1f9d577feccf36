//! Purity: which crates have no world, and that nothing lets them at it.

use crate::workspace::{Finding, Manifest, Workspace};

/// The highest floor that is pure.
const PURE_FLOOR: u32 = 3;
/// Crates of pure floors that are not: one sets up the process's log, one runs foreign code.
const IMPURE: [&str; 2] = ["script", "telemetry"];
/// Pure crates of higher floors.
const ALSO_PURE: [&str; 1] = ["explain"];

/// What a pure crate's manifest never names.
const WORLDLY: [&str; 8] = ["hyper", "hyper-util", "kube", "rand", "reqwest", "rustls", "tokio", "tonic"];

/// What a pure crate's `clippy.toml` forbids, at least.
const BANS: [&str; 16] = [
    "std::env::args",
    "std::env::current_dir",
    "std::env::var",
    "std::env::var_os",
    "std::fs::File",
    "std::fs::read",
    "std::fs::read_dir",
    "std::fs::read_to_string",
    "std::fs::write",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::process::Command",
    "std::thread::sleep",
    "std::thread::spawn",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
];

fn pure(workspace: &Workspace) -> impl Iterator<Item = &Manifest> {
    let layers = workspace.files.get("layers.txt").map(String::as_str).unwrap_or_default();
    let mut names: Vec<&str> = ALSO_PURE.to_vec();
    for line in layers.lines() {
        let mut words = line.split_whitespace();
        let floor = words.next().and_then(|floor| floor.parse().ok()).unwrap_or(u32::MAX);
        if floor <= PURE_FLOOR {
            names.extend(words.filter(|name| !IMPURE.contains(name)));
        }
    }
    workspace.crates().filter(move |manifest| names.contains(&&*manifest.name))
}

/// No pure crate's manifest names anything that needs a world, its tests included.
pub fn manifests_are_pure(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in pure(workspace) {
        let names = manifest.dependencies.iter().map(|dependency| &*dependency.name);
        for name in names.filter(|name| WORLDLY.contains(name)) {
            let path = format!("{}/Cargo.toml", manifest.folder);
            findings.push(Finding::new(&path, 0, format!("{} is pure and names {name}", manifest.name)));
        }
    }
    findings
}

/// Every pure crate has a `clippy.toml` that forbids what it must not do.
pub fn bans_are_in_force(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in pure(workspace) {
        let path = format!("{}/clippy.toml", manifest.folder);
        let text = workspace.files.get(&path).map(String::as_str).unwrap_or_default();
        for ban in BANS {
            if !text.contains(&format!("path = \"{ban}\"")) {
                findings.push(Finding::new(&path, 0, format!("{ban} is not forbidden")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn workspace(layers: &str, name: &str, dependency: &str) -> Workspace {
        let manifest = Manifest {
            name: name.into(),
            folder: format!("crates/{name}"),
            dependencies: vec![Dependency { name: dependency.into(), is_dev: false }],
        };
        Workspace { files: [("layers.txt".into(), layers.into())].into(), manifests: vec![manifest] }
    }

    #[test]
    fn a_worldly_dependency_of_a_pure_crate_is_found() {
        assert_eq!(manifests_are_pure(&workspace("1 api telemetry", "api", "serde")), []);
        assert_eq!(manifests_are_pure(&workspace("1 api telemetry", "telemetry", "tokio")), []);
        assert_eq!(manifests_are_pure(&workspace("4 xds explain", "xds", "tokio")), []);
        assert_eq!(manifests_are_pure(&workspace("1 api telemetry", "api", "tokio")).len(), 1);
        assert_eq!(manifests_are_pure(&workspace("4 xds explain", "explain", "tonic")).len(), 1);
    }

    #[test]
    fn a_missing_ban_is_found() {
        let mut workspace = workspace("1 api", "api", "serde");
        assert_eq!(bans_are_in_force(&workspace).len(), BANS.len());

        let bans: String = BANS.iter().map(|ban| format!("{{ path = \"{ban}\" }}\n")).collect();
        workspace.files.insert("crates/api/clippy.toml".into(), bans.clone());
        assert_eq!(bans_are_in_force(&workspace), []);

        let fewer = bans.replace("std::time::Instant::now", "std::time::Instant::elapsed");
        workspace.files.insert("crates/api/clippy.toml".into(), fewer);
        assert_eq!(bans_are_in_force(&workspace).len(), 1);
    }
}
