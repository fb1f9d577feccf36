//! IP networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// An IP network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub length: u8,
}

impl Network {
    /// The network of one address.
    pub fn single(address: IpAddr) -> Self {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Self { address, length }
    }

    /// Reads `10.0.0.1` or `10.0.0.0/8`; bits beyond the length are cleared. None where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        match text.contains('/') {
            false => text.parse().ok().map(Self::single),
            true => text.parse::<IpNet>().ok().map(Self::from),
        }
    }

    /// Whether it is one address.
    pub fn is_single(&self) -> bool {
        self.length == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl From<IpNet> for Network {
    fn from(net: IpNet) -> Self {
        Self { address: net.network(), length: net.prefix_len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_without_their_insignificant_bits() {
        let text = |network: Option<Network>| network.map(|n| format!("{}/{}", n.address, n.length));

        assert_eq!(text(Network::parse("10.1.2.3")), Some("10.1.2.3/32".into()));
        assert_eq!(text(Network::parse("10.1.2.3/8")), Some("10.0.0.0/8".into()));
        assert_eq!(text(Network::parse("10.1.2.3/0")), Some("0.0.0.0/0".into()));
        assert_eq!(text(Network::parse("1234:1f1::1/16")), Some("1234::/16".into()));
        assert_eq!(text(Network::parse("::1/0")), Some("::/0".into()));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "host/8"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
