//! Ports nobody holds.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A port of 127.0.0.1 that was free a moment ago, for a process that cannot be handed a socket.
///
/// # Errors
/// What the system says when it has none.
pub fn free_port() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound() -> io::Result<()> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()?)).map(drop)
    }
}
