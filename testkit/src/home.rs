//! A loopback address that belongs to one test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The port that says whose an address is; nothing else is ever served on it.
const CLAIM: u16 = 14_999;

/// An address in 127.130.0.0/16, its ports free for whoever holds this.
#[derive(Debug)]
pub struct Home {
    ip: IpAddr,
    _claim: TcpListener,
}

impl Home {
    /// Takes the first address nobody has claimed.
    ///
    /// # Panics
    /// When the whole range is claimed.
    pub fn claim() -> Self {
        (1..=u16::MAX)
            .find_map(|number| {
                let [high, low] = number.to_be_bytes();
                let ip = IpAddr::V4(Ipv4Addr::new(127, 130, high, low));
                TcpListener::bind((ip, CLAIM)).ok().map(|claim| Self { ip, _claim: claim })
            })
            .expect("an address of 127.130.0.0/16 that nobody has claimed")
    }

    /// A port of the address.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_homes_are_two_addresses() {
        let (one, other) = (Home::claim(), Home::claim());

        assert_ne!(one.at(80), other.at(80));
    }
}
