//! Sockets of IP and of Unix: listening, connecting, and what the kernel knows about a connected one.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base::Address;
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::pipe::{self, PipeListener};

pub use socket2::TcpKeepalive;

const BACKLOG: i32 = 4096;

/// How a socket listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// How many connections may wait to be accepted.
    pub backlog: Option<i32>,
    /// Whether it takes connections to addresses that are not its own.
    pub transparent: bool,
    /// The permissions of a Unix socket's file; none for those it is made with.
    pub mode: Option<u32>,
}

/// One worker's listening socket.
#[derive(Debug)]
pub enum Listener {
    /// Of a Unix socket.
    Pipe(PipeListener),
    /// Of an IP address.
    Tcp(TcpListener),
}

impl Listener {
    /// Where it really listens, if that is not what it was asked for.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Pipe(_) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }
}

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// Of Unix.
    Pipe(UnixStream),
    /// Of IP.
    Tcp(TcpStream),
}

impl Socket {
    /// Our end; none of a Unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Pipe(_) => None,
            Self::Tcp(stream) => stream.local_addr().ok(),
        }
    }

    /// The IP address of the other end; none of a Unix socket.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Pipe(_) => None,
            Self::Tcp(stream) => stream.peer_addr().ok().map(|peer| peer.ip()),
        }
    }

    /// Asks the kernel to probe an idle connection, which of a Unix socket it need not: there is no network to fail.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn keepalive(&self, keepalive: &TcpKeepalive) -> io::Result<()> {
        match self {
            Self::Pipe(_) => Ok(()),
            Self::Tcp(stream) => SockRef::from(stream).set_tcp_keepalive(keepalive),
        }
    }

    /// Where a captured connection was going before the kernel redirected it.
    pub fn original_destination(&self) -> Option<SocketAddr> {
        let Self::Tcp(stream) = self else { return None };
        let socket = SockRef::from(stream);
        // A socket of both families has IPv4's connections under mapped addresses.
        let v4 = stream.local_addr().is_ok_and(|local| local.ip().to_canonical().is_ipv4());
        let address = if v4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
        let address = address.ok()?.as_socket()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Pipe(stream)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // Sockets of either kind do.
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The kernel has what was written.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Binds one address `count` times, so that each worker accepts for itself: of IP each from a queue of its own.
///
/// Port 0 is chosen once and then shared by the group.
///
/// # Errors
/// The address is in use by anyone else, or may not be bound.
pub fn bind_group(address: &Address, count: usize, settings: Listening) -> io::Result<Vec<Listener>> {
    let backlog = settings.backlog.unwrap_or(BACKLOG);
    let address = match address {
        Address::Ip(address) => *address,
        Address::Pipe(path) => {
            let group = pipe::bind_group(path, count, (backlog, settings.mode))?;
            return Ok(group.into_iter().map(Listener::Pipe).collect());
        }
    };
    // With SO_REUSEPORT alone a second process of the same user would silently take half of the
    // connections; a socket without the option finds out whether the address is free.
    let probe = bind(address, false, settings)?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    (0..count.max(1))
        .map(|_| {
            let socket = bind(address, true, settings)?;
            socket.listen(backlog)?;
            Ok(Listener::Tcp(socket.into()))
        })
        .collect()
}

fn bind(address: SocketAddr, shared: bool, settings: Listening) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if settings.transparent && address.is_ipv6() {
        let why = "transparent sockets of IPv6 are not supported";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    if settings.transparent {
        socket.set_ip_transparent_v4(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Connects to an upstream, from `source` where one is demanded and there is a network between.
///
/// # Errors
/// Whatever the kernel says.
pub async fn connect(address: &Address, source: Option<IpAddr>) -> io::Result<Socket> {
    let address = match address {
        Address::Ip(address) => *address,
        Address::Pipe(path) => return pipe::connect(path).await.map(Socket::Pipe),
    };
    let stream = match source {
        None => TcpStream::connect(address).await?,
        Some(source) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(address).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(Socket::Tcp(stream))
}

/// How often and how long the kernel probes; its own choice where nothing is said.
pub fn probes(time: Option<Duration>, interval: Option<Duration>, count: Option<u32>) -> TcpKeepalive {
    let mut keepalive = TcpKeepalive::new();
    if let Some(time) = time {
        keepalive = keepalive.with_time(time);
    }
    if let Some(interval) = interval {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(count) = count {
        keepalive = keepalive.with_retries(count);
    }
    keepalive
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_one_port() {
        let group = bind_group(&"127.0.0.1:0".parse().unwrap(), 3, Listening::default()).unwrap();

        let ports: Vec<u16> = group.iter().map(|l| l.local().unwrap().port()).collect();

        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn an_address_somebody_else_listens_on_is_refused() {
        let held = bind_group(&"127.0.0.1:0".parse().unwrap(), 1, Listening::default()).unwrap();
        let address = held[0].local().unwrap().into();

        let error = bind_group(&address, 1, Listening::default()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
