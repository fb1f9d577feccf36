//! Where a connection leads or comes from: an IP address with a port, or a Unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// An end of a connection. As large as a [`SocketAddr`], and copying one of IP allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A Unix socket by its path; one that begins with `@` names an abstract socket, which is no file.
    Pipe(Arc<str>),
}

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress;

impl Address {
    /// The IP address and port; none of a Unix socket.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Pipe(_) => None,
        }
    }

    /// The IP address; none of a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket().map(|address| address.ip())
    }

    /// The port; none of a Unix socket.
    pub fn port(&self) -> Option<u16> {
        self.socket().map(|address| address.port())
    }

    /// Whether it is a Unix socket.
    pub fn is_pipe(&self) -> bool {
        matches!(self, Self::Pipe(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(path) => f.pad(path),
        }
    }
}

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an IP address with a port nor the path of a Unix socket")
    }
}

impl std::error::Error for NotAnAddress {}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        match text.as_bytes() {
            [b'/' | b'@', _, ..] => Ok(Self::Pipe(text.into())),
            _ => text.parse().map(Self::Ip).map_err(|_| NotAnAddress),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:80", "[::1]:80", "/run/app.sock", "@app"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "/", "@", "reviews:80", "127.0.0.1", "run/app.sock"] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }

    #[test]
    fn a_unix_socket_costs_addresses_of_ip_no_room() {
        assert_eq!(size_of::<Address>(), size_of::<SocketAddr>());
    }
}
