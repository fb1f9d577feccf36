//! The accept loop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// How long accepting pauses when the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `stop` resolves, then takes what the kernel has already queued, and closes the socket.
pub async fn accept(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => take(accepted, &mut serve).await,
        }
    }
    // Clients in the queue have a connection already; closing the socket would reset it.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((socket, peer)) = listener.accept() {
        if socket.set_nonblocking(true).is_ok()
            && let Ok(socket) = TcpStream::from_std(socket)
        {
            ready(socket, peer, &mut serve);
        }
    }
}

async fn take(accepted: io::Result<(TcpStream, SocketAddr)>, serve: &mut impl FnMut(TcpStream, SocketAddr)) {
    match accepted {
        Ok((socket, peer)) => ready(socket, peer, serve),
        Err(error) if is_of_one_connection(&error) => {}
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn ready(socket: TcpStream, peer: SocketAddr, serve: &mut impl FnMut(TcpStream, SocketAddr)) {
    // A socket that is gone already fails on its first read.
    let _ = socket.set_nodelay(true);
    serve(socket, peer);
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
