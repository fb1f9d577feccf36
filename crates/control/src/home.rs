//! A mesh's own corner of its directory, `DIR/.weft`: the lock, the socket, and what is remembered.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

const LOCK: &str = "lock";
const SOCKET: &str = "control.sock";
const ADS: &str = "ads.sock";

/// The sockets of a mesh.
pub(crate) struct Sockets {
    /// For users.
    pub(crate) control: UnixListener,
    /// For proxies.
    pub(crate) ads: UnixListener,
}

/// `DIR/.weft`, locked: no two control planes own one directory.
pub(crate) struct Home {
    path: PathBuf,
    lock: File,
}

impl Home {
    /// Makes the corner where there is none, and takes its lock; `None` where another process has it.
    pub(crate) fn open(dir: &Path) -> io::Result<Option<Self>> {
        let path = corner(dir);
        Ok(take_lock(&path)?.map(|lock| Self { path, lock }))
    }

    /// Whether the corner is still there, with the lock that is held.
    pub(crate) fn is_intact(&self) -> bool {
        let held = self.lock.metadata().map(|lock| (lock.dev(), lock.ino()));
        let there = fs::metadata(self.path.join(LOCK)).map(|lock| (lock.dev(), lock.ino()));
        matches!((held, there), (Ok(held), Ok(there)) if held == there)
    }

    /// Makes the corner anew in a directory that was lost and is there again; `None` where another process was
    /// faster.
    pub(crate) fn reopen(&mut self) -> io::Result<Option<Sockets>> {
        let Some(lock) = take_lock(&self.path)? else { return Ok(None) };
        self.lock = lock;
        self.listen().map(Some)
    }

    pub(crate) fn addresses(&self) -> PathBuf {
        self.path.join("addresses.json")
    }

    /// Listens on both sockets; only this user may connect. We hold the lock, so what is there was left behind.
    pub(crate) fn listen(&self) -> io::Result<Sockets> {
        let listen = |name| xds::unix::listen(&self.path.join(name));
        Ok(Sockets { control: listen(SOCKET)?, ads: listen(ADS)? })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The lock outlives the sockets, so these are ours. A missing one is as good as a removed one.
        for name in [SOCKET, ADS] {
            let _ = fs::remove_file(self.path.join(name));
        }
    }
}

/// The control socket of a mesh's directory.
pub(crate) fn socket(dir: &Path) -> PathBuf {
    corner(dir).join(SOCKET)
}

/// The socket by which proxies reach the control plane of a mesh's directory.
pub(crate) fn ads(dir: &Path) -> PathBuf {
    corner(dir).join(ADS)
}

fn take_lock(corner: &Path) -> io::Result<Option<File>> {
    match DirBuilder::new().mode(0o700).create(corner) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => fs::set_permissions(corner, Permissions::from_mode(0o700))?,
    }
    let path = corner.join(LOCK);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn corner(dir: &Path) -> PathBuf {
    dir.join(".weft")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();

        let first = Home::open(dir.path()).unwrap();
        let second = Home::open(dir.path()).unwrap();
        drop(first);
        let third = Home::open(dir.path()).unwrap();

        assert!(second.is_none());
        assert!(third.is_some());
    }

    #[tokio::test]
    async fn sockets_left_behind_are_replaced_and_only_their_owner_may_connect() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap().unwrap();
        drop(home.listen().unwrap());

        let _listeners = home.listen().unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&corner(dir.path())), 0o700);
        for socket in [socket(dir.path()), ads(dir.path())] {
            assert_eq!(mode(&socket), 0o600);
            xds::unix::connect(&socket).await.unwrap();
        }
    }
}
