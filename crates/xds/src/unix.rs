//! Unix sockets under paths of any length.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The longest path a socket's address is given as it is; the kernel has room for little more.
const LONGEST_ADDRESS: usize = 100;

/// Listens on a socket that only this user may open. One left behind is replaced: the caller knows that nobody
/// else serves there.
///
/// # Errors
/// What the kernel says.
pub fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = {
        let (_held, address) = address(socket)?;
        UnixListener::bind(address)?
    };
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to a socket.
///
/// # Errors
/// What the kernel says.
pub async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (_held, address) = address(socket)?;
    UnixStream::connect(address).await
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

    #[tokio::test]
    async fn a_deep_socket_is_reached_and_only_its_owner_may_open_it() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        let socket = deep.join("s.sock");

        drop(listen(&socket).unwrap());
        let _listener = listen(&socket).unwrap();

        connect(&socket).await.unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
