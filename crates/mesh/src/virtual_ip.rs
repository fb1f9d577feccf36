//! Addresses for ServiceEntries that have none: Istio's, found by a hash of namespace and host, so that every
//! control plane gives the same ones.
//!
//! A proxy uses them only if it answers its workload's DNS queries with them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How many places there are in `240.240.0.0/16`, the last byte of each never 0 or 255.
const PLACES: u32 = 256 * 254;

/// The largest prime below [`PLACES`], for the step from a place that is taken.
const PRIME: u32 = 65_011;

/// An address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VirtualIp {
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

/// The addresses of services by `NAMESPACE/HOST`. The order counts where two hashes meet, and a name that occurs
/// twice takes two places and gets the first of them.
pub(crate) fn allocate<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, VirtualIp> {
    let mut places: BTreeMap<u32, &str> = BTreeMap::new();
    for name in names {
        if let Some(place) = place(&places, name) {
            places.insert(place, name);
        }
    }
    let mut ips = BTreeMap::new();
    // A step over a last byte of 255 moves everything behind it too.
    let mut number = 0;
    let mut before = 0;
    for (place, name) in places {
        number += place + 1 - before;
        before = place + 1;
        if number % 255 == 0 {
            number += 1;
        }
        ips.entry(name).or_insert_with(|| VirtualIp::new(number));
    }
    ips
}

fn place(taken: &BTreeMap<u32, &str>, name: &str) -> Option<u32> {
    let hash = fnv(name);
    let first = hash % PLACES;
    if !taken.contains_key(&first) {
        return Some(first);
    }
    let step = PRIME - hash % PRIME;
    let steps = (1..PLACES).map(|n| hash.wrapping_add(n.wrapping_mul(step)) % (PLACES - 1));
    steps.into_iter().find(|place| !taken.contains_key(place))
}

/// The 32-bit hash FNV-1a.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl VirtualIp {
    fn new(number: u32) -> Self {
        let byte = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        let (third, fourth) = (byte(number / 255), byte(number % 255));
        // Istio writes the two bytes beside each other without leading zeros.
        let digits = if third == 0 { format!("{fourth:x}") } else { format!("{third:x}{fourth:x}") };
        let last = u16::from_str_radix(&digits, 16).unwrap_or(u16::MAX);
        Self {
            v4: Ipv4Addr::new(240, 240, third, fourth),
            v6: Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0xf0f0, last),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(ips: &BTreeMap<&str, VirtualIp>, name: &str) -> (String, String) {
        let ip = ips.get(name).unwrap();
        (ip.v4.to_string(), ip.v6.to_string())
    }

    #[test]
    fn a_host_has_the_address_istio_gives_it() {
        let ips = allocate(["default/istio.io"].into_iter());

        assert_eq!(text(&ips, "default/istio.io"), ("240.240.122.168".into(), "2001:2::f0f0:7aa8".into()));
    }

    #[test]
    fn two_entries_of_one_host_share_the_lower_of_two_addresses() {
        let ips = allocate(["default/istio.io", "default/istio.io"].into_iter());

        assert_eq!(ips.len(), 1);
        assert_eq!(text(&ips, "default/istio.io").0, "240.240.91.120");
    }

    #[test]
    fn no_address_is_given_twice() {
        let names: Vec<String> = (0..2_000).map(|n| format!("default/host-{n}.example.com")).collect();

        let ips = allocate(names.iter().map(String::as_str));

        let distinct: std::collections::BTreeSet<_> = ips.values().map(|ip| ip.v4).collect();
        assert_eq!((ips.len(), distinct.len()), (2_000, 2_000));
        assert!(distinct.iter().all(|ip| !matches!(ip.octets()[3], 0 | 255)));
    }
}
