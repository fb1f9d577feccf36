//! Listening sockets, and what the kernel knows about an accepted one.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream};

const BACKLOG: i32 = 4096;

/// Binds one address `count` times, so that each worker accepts from a queue of its own.
///
/// Port 0 is chosen once and then shared by the group.
///
/// # Errors
/// The address is in use by anyone else, or may not be bound.
pub fn bind_group(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // With SO_REUSEPORT alone a second process of the same user would silently take half of the
    // connections; a socket without the option finds out whether the address is free.
    let probe = bind(address, false)?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    (0..count.max(1))
        .map(|_| {
            let socket = bind(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
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

/// Where a captured connection was going before the kernel redirected it.
pub fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let v4 = stream.local_addr().is_ok_and(|local| local.is_ipv4());
    let address = if v4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
    address.ok()?.as_socket()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_one_port() {
        let group = bind_group("127.0.0.1:0".parse().unwrap(), 3).unwrap();

        let ports: Vec<u16> = group.iter().map(|l| l.local_addr().unwrap().port()).collect();

        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn an_address_somebody_else_listens_on_is_refused() {
        let held = bind_group("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = held[0].local_addr().unwrap();

        let error = bind_group(address, 1).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
