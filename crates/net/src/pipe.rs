//! Unix sockets: connected to by path or abstract name, and listened on by all workers together.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixStream;

/// One worker's hold on a Unix socket that is listened on.
///
/// The kernel has one queue of connections per path, so all workers accept from the same. When the last of them lets
/// go, the file goes too.
#[derive(Debug)]
pub struct PipeListener {
    pub(crate) socket: UnixListener,
    pub(crate) file: Option<Arc<SocketFile>>,
}

/// The file of a Unix socket, which is removed with the socket, unless somebody has put another in its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "the file of a Unix socket stays behind");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Listens on a path `count` times; `@name` is an abstract socket, which has no file.
///
/// A file that a server left behind is replaced; one behind which somebody listens is in use.
///
/// # Errors
/// The path is in use, or no socket may be made there.
pub(crate) fn bind_group(
    path: &str,
    count: usize,
    (backlog, mode): (i32, Option<u32>),
) -> io::Result<Vec<PipeListener>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    let file = match path.strip_prefix('@') {
        // The kernel's own form of an abstract address: a zero, then the name.
        Some(name) => {
            socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
            None
        }
        None => {
            let path = Path::new(path);
            clear(path)?;
            socket.bind(&SockAddr::unix(path)?)?;
            let file = SocketFile::new(path)?;
            // Before anybody can connect: nobody does until the socket listens.
            if let Some(mode) = mode {
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
            Some(Arc::new(file))
        }
    };
    socket.listen(backlog)?;
    let socket = UnixListener::from(std::os::fd::OwnedFd::from(socket));
    (0..count.max(1)).map(|_| Ok(PipeListener { socket: socket.try_clone()?, file: file.clone() })).collect()
}

/// Takes away the file of a socket nobody listens behind; anything else at the path stays, and is found in use.
fn clear(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Ok(());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Connected, or too many wait already: either way somebody is there.
        _ => Err(io::Error::from(io::ErrorKind::AddrInUse)),
    }
}

/// Connects to a path or an abstract name.
///
/// # Errors
/// Whatever the kernel says.
pub(crate) async fn connect(path: &str) -> io::Result<UnixStream> {
    let Some(name) = path.strip_prefix('@') else { return UnixStream::connect(path).await };
    // It never waits: a Unix socket is connected to at once or not at all.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(format!("\0{name}"))?)?;
    UnixStream::from_std(std::os::fd::OwnedFd::from(socket).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A folder of its own for one test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("net-pipe-{}-{test}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn at(&self, name: &str) -> String {
            self.0.join(name).to_str().unwrap().to_owned()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_socket_is_made_with_its_permissions_and_goes_with_its_last_listener() {
        let folder = Folder::new("made");
        let path = folder.at("app.sock");

        let mut group = bind_group(&path, 2, (8, Some(0o620))).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        group.pop();
        UnixStream::connect(&path).unwrap();
        group.pop();
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = Folder::new("stale");
        let (stale, used, file) = (folder.at("stale"), folder.at("used"), folder.at("file"));
        drop(UnixListener::bind(&stale).unwrap());
        let _used = UnixListener::bind(&used).unwrap();
        fs::write(&file, "mine").unwrap();

        bind_group(&stale, 1, (8, None)).unwrap();

        for path in [&used, &file] {
            assert_eq!(bind_group(path, 1, (8, None)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_file_somebody_else_has_put_in_its_place_stays() {
        let folder = Folder::new("replaced");
        let path = folder.at("app.sock");
        let group = bind_group(&path, 1, (8, None)).unwrap();
        // Made before the other goes, so that the two cannot be the same file.
        let other = folder.at("other.sock");
        let _other = UnixListener::bind(&other).unwrap();
        fs::rename(&other, &path).unwrap();

        drop(group);

        assert!(Path::new(&path).exists());
    }

    #[tokio::test]
    async fn an_abstract_socket_is_reached_by_its_name() {
        let name = format!("@net-pipe-{}", std::process::id());
        let group = bind_group(&name, 1, (8, None)).unwrap();

        let stream = connect(&name).await.unwrap();

        group[0].socket.accept().unwrap();
        assert!(stream.local_addr().is_ok());
        assert!(connect("@nobody listens to this name").await.is_err());
    }
}
