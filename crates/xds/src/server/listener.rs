//! Where connections come from, and who is at the other end.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// What discovery is served on.
#[derive(Debug)]
pub enum Listener {
    /// An address on the network.
    Tcp(TcpListener),
    /// A socket of this machine.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Listener::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Listener::Unix(listener)
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network.
    Tcp(SocketAddr),
    /// A process of this machine that may open the server's socket.
    Unix {
        /// Its id, where the kernel knows it.
        pid: Option<u32>,
    },
}

impl Peer {
    /// Whether nobody but a process that was let in can be at the other end or listen on the way.
    pub fn is_private(&self) -> bool {
        matches!(self, Peer::Unix { .. })
    }

    /// The process at the other end, where it is one of this machine.
    pub fn process(&self) -> Option<u32> {
        match self {
            Peer::Tcp(_) => None,
            Peer::Unix { pid } => *pid,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix { pid: Some(pid) } => write!(f, "unix:{pid}"),
            Peer::Unix { pid: None } => f.write_str("unix"),
        }
    }
}

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Io>, Peer)> {
        Ok(match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Small messages must not wait for others to travel with.
                let _ = stream.set_nodelay(true);
                (Box::new(stream), Peer::Tcp(peer))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let pid = stream.peer_cred().ok().and_then(|cred| cred.pid());
                (Box::new(stream), Peer::Unix { pid: pid.and_then(|pid| u32::try_from(pid).ok()) })
            }
        })
    }
}
