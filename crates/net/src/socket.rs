//! Listening sockets, and what the kernel knows about an accepted one.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

pub use socket2::TcpKeepalive;

const BACKLOG: i32 = 4096;

/// How a socket listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// How many connections may wait to be accepted.
    pub backlog: Option<i32>,
    /// Whether it takes connections to addresses that are not its own.
    pub transparent: bool,
}

/// Binds one address `count` times, so that each worker accepts from a queue of its own.
///
/// Port 0 is chosen once and then shared by the group.
///
/// # Errors
/// The address is in use by anyone else, or may not be bound.
pub fn bind_group(address: SocketAddr, count: usize, settings: Listening) -> io::Result<Vec<TcpListener>> {
    // With SO_REUSEPORT alone a second process of the same user would silently take half of the
    // connections; a socket without the option finds out whether the address is free.
    let probe = bind(address, false, settings)?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    (0..count.max(1))
        .map(|_| {
            let socket = bind(address, true, settings)?;
            socket.listen(settings.backlog.unwrap_or(BACKLOG))?;
            Ok(socket.into())
        })
        .collect()
}

fn bind(address: SocketAddr, shared: bool, settings: Listening) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
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

/// Connects to an upstream, from `source` where one is demanded.
///
/// # Errors
/// Whatever the kernel says.
pub async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let stream = match source {
        None => TcpStream::connect(address).await?,
        Some(source) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(address).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks the kernel to probe an idle connection, as a cluster's `tcp_keepalive` says.
///
/// # Errors
/// Whatever the kernel says.
pub fn keepalive(stream: &TcpStream, keepalive: &TcpKeepalive) -> io::Result<()> {
    SockRef::from(stream).set_tcp_keepalive(keepalive)
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

/// Where a captured connection was going before the kernel redirected it.
pub fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    // A socket of both families has IPv4's connections under mapped addresses.
    let v4 = stream.local_addr().is_ok_and(|local| local.ip().to_canonical().is_ipv4());
    let address = if v4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let address = address.ok()?.as_socket()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_one_port() {
        let group = bind_group("127.0.0.1:0".parse().unwrap(), 3, Listening::default()).unwrap();

        let ports: Vec<u16> = group.iter().map(|l| l.local_addr().unwrap().port()).collect();

        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn an_address_somebody_else_listens_on_is_refused() {
        let held = bind_group("127.0.0.1:0".parse().unwrap(), 1, Listening::default()).unwrap();
        let address = held[0].local_addr().unwrap();

        let error = bind_group(address, 1, Listening::default()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
