//! What the machine has: this workspace, test data beside it, and a real Envoy.
#![allow(clippy::print_stderr, reason = "a skipped test must be seen to be skipped")]

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The folder of test suites beside the workspace. Without it a test says so and passes.
pub fn suites() -> Option<PathBuf> {
    let folder = workspace_root().join("../shared/suites");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: there is no folder {}", folder.display());
    None
}

/// A real Envoy: `$WEFT_ENVOY`, the one `./setup test` installs, or one on the path.
pub fn envoy() -> Option<PathBuf> {
    let named = env::var_os("WEFT_ENVOY").map(PathBuf::from);
    let installed = workspace_root().join("target/tools/bin/envoy");
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("envoy"));
    named.into_iter().chain([installed]).chain(on_path).find(|file| file.is_file())
}

/// Whether a test that needs a real Envoy must be left out, which it says.
///
/// # Panics
/// Under `CI=true`, where `./setup test` has to have installed one.
pub fn skip_without_envoy() -> bool {
    if envoy().is_some() {
        return false;
    }
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no envoy; ./setup test installs one");
    eprintln!("SKIPPED: there is no envoy; ./setup test installs one");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_where_the_layers_are_told() {
        assert!(workspace_root().join("layers.txt").is_file());
    }
}
