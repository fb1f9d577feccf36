//! The address by which this machine is known to others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The machine's address towards others: the first of the family that is not loopback, else loopback.
pub fn address(is_v6: bool) -> IpAddr {
    let loopback = if is_v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!(%error, "the kernel does not tell the machine's addresses");
        Vec::new()
    });
    let mut addresses = interfaces.iter().map(|interface| interface.ip());
    addresses.find(|ip| ip.is_ipv6() == is_v6 && !is_loopback(*ip)).unwrap_or(loopback)
}

/// Whether an address is the one of loopback; to Envoy, the others of 127.0.0.0/8 are as good as any.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_address_is_one_that_can_be_listened_on() {
        TcpListener::bind((address(false), 0)).unwrap();
    }
}
