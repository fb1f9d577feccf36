//! Which meshes are running for this user: one small file each, in a directory only this user may enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use base::Digest;
use serde::{Deserialize, Serialize};

/// A control plane that says it is running.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Running {
    /// Its directory.
    pub dir: PathBuf,
    /// Its process.
    pub pid: u32,
    /// Its control socket.
    pub socket: PathBuf,
}

impl Running {
    /// Whether somebody answers at the socket.
    async fn is_alive(&self) -> bool {
        xds::unix::connect(&self.socket).await.is_ok()
    }
}

/// Where this user's meshes are listed: `$XDG_RUNTIME_DIR/weft`, else `/tmp/weft-UID`.
pub fn registry() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_absolute() && runtime.is_dir() => runtime.join("weft"),
        _ => std::env::temp_dir().join(format!("weft-{}", rustix::process::getuid().as_raw())),
    }
}

/// The meshes listed in a registry that answer, by directory.
pub async fn list(registry: &Path) -> Vec<Running> {
    let mut running = Vec::new();
    for (_, entry) in entries(registry) {
        if entry.is_alive().await {
            running.push(entry);
        }
    }
    running.sort();
    running
}

/// One line in the registry, for as long as it is held.
pub(crate) struct Registration {
    path: PathBuf,
    pid: u32,
}

impl Registration {
    /// Lists a mesh, and takes those off the list whose process is gone.
    pub(crate) fn new(registry: &Path, running: &Running) -> io::Result<Self> {
        match DirBuilder::new().recursive(false).mode(0o700).create(registry) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !is_private(registry) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "somebody else may write to the list of running meshes",
            ));
        }
        for (path, entry) in entries(registry) {
            if !is_process(entry.pid) {
                // Another control plane may be sweeping as well.
                let _ = fs::remove_file(path);
            }
        }
        let name = Digest::of(running.dir.as_os_str().as_encoded_bytes());
        let path = registry.join(format!("{name}.json"));
        let fresh = registry.join(format!("{name}.tmp"));
        fs::write(&fresh, serde_json::to_vec(running).map_err(io::Error::other)?)?;
        fs::rename(&fresh, &path)?;
        Ok(Self { path, pid: running.pid })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Whoever has taken the directory over since then has written this file anew.
        if read(&self.path).is_some_and(|entry| entry.pid == self.pid) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn entries(registry: &Path) -> Vec<(PathBuf, Running)> {
    if !is_private(registry) {
        return Vec::new();
    }
    let Ok(files) = fs::read_dir(registry) else { return Vec::new() };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let json = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.filter_map(|path| read(&path).map(|entry| (path, entry))).collect()
}

fn read(path: &Path) -> Option<Running> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whether a directory is this user's and nobody else may write to it.
fn is_private(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| {
        metadata.is_dir()
            && metadata.uid() == rustix::process::getuid().as_raw()
            && metadata.mode() & 0o022 == 0
    })
}

fn is_process(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use tokio::net::UnixListener;

    use super::*;

    fn running(dir: &Path, pid: u32) -> Running {
        Running { dir: dir.to_owned(), pid, socket: dir.join("control.sock") }
    }

    #[tokio::test]
    async fn a_mesh_is_listed_while_it_is_registered_and_answers() {
        let dir = tempfile::tempdir().unwrap();
        let registry = dir.path().join("registry");
        let mesh = running(dir.path(), std::process::id());
        let registration = Registration::new(&registry, &mesh).unwrap();

        let silent = list(&registry).await;
        let _listener = UnixListener::bind(&mesh.socket).unwrap();
        let answering = list(&registry).await;
        drop(registration);

        assert_eq!((silent, answering), (vec![], vec![mesh]));
        assert_eq!(list(&registry).await, []);
    }

    #[test]
    fn those_whose_process_is_gone_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let registry = dir.path().join("registry");
        std::mem::forget(Registration::new(&registry, &running(Path::new("/gone"), u32::MAX)).unwrap());

        let _registration = Registration::new(&registry, &running(dir.path(), std::process::id())).unwrap();

        let dirs: Vec<PathBuf> = entries(&registry).into_iter().map(|(_, entry)| entry.dir).collect();
        assert_eq!(dirs, [dir.path()]);
    }

    #[tokio::test]
    async fn a_registry_others_may_write_to_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let registry = dir.path().join("registry");
        let mesh = running(dir.path(), std::process::id());
        let _listener = UnixListener::bind(&mesh.socket).unwrap();
        let _registration = Registration::new(&registry, &mesh).unwrap();

        fs::set_permissions(&registry, fs::Permissions::from_mode(0o777)).unwrap();

        assert_eq!(list(&registry).await, []);
        assert!(Registration::new(&registry, &mesh).is_err());
    }

    #[tokio::test]
    async fn a_file_that_makes_no_sense_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(dir.path().join("x.json"), "{").unwrap();

        assert_eq!(list(dir.path()).await, []);
        assert_eq!(list(&dir.path().join("none")).await, []);
    }
}
