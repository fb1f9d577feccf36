//! The accept loop.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base::Address;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::pipe::SocketFile;
use crate::socket::{Listener, Socket};

/// How long accepting pauses when the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket of one worker's runtime.
#[derive(Debug)]
pub struct Acceptor {
    queue: Queue,
    /// Goes with the last worker that has it.
    _file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
enum Queue {
    /// With its path, which is all that is known of either end of its connections.
    Pipe(UnixListener, Address),
    Tcp(TcpListener),
}

impl Acceptor {
    /// Takes over a listening socket, which was asked for under this address.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn new(listener: Listener, address: &Address) -> io::Result<Self> {
        Ok(match listener {
            Listener::Pipe(pipe) => Self {
                queue: Queue::Pipe(UnixListener::from_std(pipe.socket)?, address.clone()),
                _file: pipe.file,
            },
            Listener::Tcp(listener) => {
                Self { queue: Queue::Tcp(TcpListener::from_std(listener)?), _file: None }
            }
        })
    }

    /// Accepts until `stop` resolves, then takes what the kernel has already queued, and closes the socket.
    pub async fn accept(self, stop: impl Future<Output = ()>, mut serve: impl FnMut(Socket, Address)) {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.queue.next() => take(accepted, &mut serve).await,
            }
        }
        // Clients in the queue have a connection already; closing the socket would reset it.
        self.queue.empty(serve);
    }
}

impl Queue {
    async fn next(&self) -> io::Result<(Socket, Address)> {
        match self {
            Self::Pipe(listener, address) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Pipe(stream), address.clone()))
            }
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((ready(stream), peer.into()))
            }
        }
    }

    fn empty(self, mut serve: impl FnMut(Socket, Address)) {
        match self {
            Self::Pipe(listener, address) => {
                let Ok(listener) = listener.into_std() else { return };
                while let Ok((stream, _)) = listener.accept() {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = UnixStream::from_std(stream)
                    {
                        serve(Socket::Pipe(stream), address.clone());
                    }
                }
            }
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return };
                while let Ok((stream, peer)) = listener.accept() {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = TcpStream::from_std(stream)
                    {
                        serve(ready(stream), peer.into());
                    }
                }
            }
        }
    }
}

async fn take(accepted: io::Result<(Socket, Address)>, serve: &mut impl FnMut(Socket, Address)) {
    match accepted {
        Ok((socket, peer)) => serve(socket, peer),
        Err(error) if is_of_one_connection(&error) => {}
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn ready(stream: TcpStream) -> Socket {
    // A socket that is gone already fails on its first read.
    let _ = stream.set_nodelay(true);
    Socket::Tcp(stream)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
