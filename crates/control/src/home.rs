//! A mesh's own corner of its directory, `DIR/.weft`: the lock, the socket, and what is remembered.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The longest path a socket's address has room for.
const LONGEST_ADDRESS: usize = 100;
const LOCK: &str = "lock";
const SOCKET: &str = "control.sock";

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
    pub(crate) fn reopen(&mut self) -> io::Result<Option<UnixListener>> {
        let Some(lock) = take_lock(&self.path)? else { return Ok(None) };
        self.lock = lock;
        self.listen().map(Some)
    }

    pub(crate) fn addresses(&self) -> PathBuf {
        self.path.join("addresses.json")
    }

    /// Listens on the control socket; only this user may connect.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        let socket = self.path.join(SOCKET);
        // We hold the lock, so a socket that is there was left behind.
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = {
            let (_held, address) = address(&socket)?;
            UnixListener::bind(address)?
        };
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        Ok(listener)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The lock outlives the socket, so this one is ours. A missing one is as good as a removed one.
        let _ = fs::remove_file(self.path.join(SOCKET));
    }
}

/// The control socket of a mesh's directory.
pub(crate) fn socket(dir: &Path) -> PathBuf {
    corner(dir).join(SOCKET)
}

/// Connects to a control socket.
pub(crate) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (_held, address) = address(socket)?;
    UnixStream::connect(address).await
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

/// A socket's address. One too long for the kernel is reached through its open directory, which has to be held
/// for as long as the address is used.
fn address(socket: &Path) -> io::Result<(Option<File>, PathBuf)> {
    if socket.as_os_str().len() <= LONGEST_ADDRESS {
        return Ok((None, socket.to_owned()));
    }
    let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let parent = File::open(parent)?;
    let address = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name);
    Ok((Some(parent), address))
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
    async fn a_socket_left_behind_is_replaced_and_only_its_owner_may_connect() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap().unwrap();
        drop(home.listen().unwrap());

        let _listener = home.listen().unwrap();

        let mode = fs::metadata(socket(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(corner(dir.path())).unwrap().permissions().mode() & 0o777, 0o700);
        connect(&socket(dir.path())).await.unwrap();
    }

    #[tokio::test]
    async fn a_deep_directory_has_a_socket_too() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        let home = Home::open(&deep).unwrap().unwrap();

        let _listener = home.listen().unwrap();

        connect(&socket(&deep)).await.unwrap();
    }
}
