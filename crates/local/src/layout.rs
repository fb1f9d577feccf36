//! Where a mesh keeps its files: users' objects in its directory, everything of its own below `.weft`.

use std::path::{Path, PathBuf};

/// The directory of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout of a directory; the path should be absolute, since other processes are told it.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself, which holds what users write.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is the mesh's own.
    pub fn own(&self) -> PathBuf {
        self.dir.join(".weft")
    }

    /// The socket by which verbs reach the control plane.
    pub fn socket(&self) -> PathBuf {
        self.own().join("control.sock")
    }

    /// The socket by which proxies reach the control plane's ADS.
    pub fn ads(&self) -> PathBuf {
        self.own().join("ads.sock")
    }

    /// The control plane's log.
    pub fn control_log(&self) -> PathBuf {
        self.own().join("control.log")
    }

    /// The mesh's number and process, written by the control plane.
    pub fn mesh(&self) -> PathBuf {
        self.own().join("mesh.json")
    }

    /// The slot of every service, written by the control plane.
    pub fn addresses(&self) -> PathBuf {
        self.own().join("addresses.json")
    }

    /// The WorkloadEntries of running workloads.
    pub fn entries(&self) -> PathBuf {
        self.own().join("workloads")
    }

    /// The files of one workload.
    pub fn workload(&self, name: &str) -> WorkloadFiles {
        WorkloadFiles { dir: self.own().join(name) }
    }
}

/// The files of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadFiles {
    dir: PathBuf,
}

impl WorkloadFiles {
    /// Their directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the sidecar is started with.
    pub fn bootstrap(&self) -> PathBuf {
        self.dir.join("bootstrap.json")
    }

    /// The same for a stock Envoy.
    pub fn envoy_bootstrap(&self) -> PathBuf {
        self.dir.join("envoy.json")
    }

    /// The sidecar's access log.
    pub fn access_log(&self) -> PathBuf {
        self.dir.join("access.log")
    }

    /// What the sidecar says.
    pub fn proxy_log(&self) -> PathBuf {
        self.dir.join("proxy.log")
    }

    /// What the program says.
    pub fn program_log(&self) -> PathBuf {
        self.dir.join("program.log")
    }
}
