//! Choice by hash: the ring and the Maglev table, filled as Envoy fills them, so that both choose the same endpoint
//! for the same key.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::hash::{hash, murmur, seeded};
use crate::host::Host;
use crate::policy::{HashFunction, Policy};

/// An endpoint by its place, and its part of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) place: usize,
    pub(crate) weight: f64,
}

/// A ring or a table over some endpoints.
#[derive(Clone, Debug)]
pub(crate) enum Circle {
    Maglev(Box<[u32]>),
    Ring(Box<[(u64, u32)]>),
}

impl Circle {
    /// Fills a ring or a table; none for a policy that does not choose by hash, and for no endpoints.
    pub(crate) fn new(parts: &[Part], hosts: &[Host], policy: Policy) -> Option<Self> {
        if parts.is_empty() {
            return None;
        }
        match policy {
            Policy::Maglev { size } => Some(Self::Maglev(maglev(parts, hosts, size))),
            Policy::RingHash { least, most, function } => {
                Some(Self::Ring(ring(parts, hosts, (least, most), function)))
            }
            Policy::LeastRequest { .. } | Policy::Random | Policy::RoundRobin => None,
        }
    }

    /// The place of the endpoint for a hash; further attempts look elsewhere.
    pub(crate) fn choose(&self, hash: u64, attempt: u32) -> Option<usize> {
        let place = match self {
            Self::Maglev(table) => {
                let turned = match attempt {
                    0 => hash,
                    // Most bits change, so that the attempts of one request do not meet again.
                    attempt => hash ^ (u64::MAX - u64::from(attempt)).wrapping_add(1),
                };
                let entry = turned.checked_rem(table.len() as u64)?;
                *table.get(usize::try_from(entry).ok()?)?
            }
            Self::Ring(ring) => {
                let next = ring.partition_point(|(at, _)| *at < hash);
                let next = if next == ring.len() { 0 } else { next };
                let next = (next as u64 + u64::from(attempt)).checked_rem(ring.len() as u64)?;
                ring.get(usize::try_from(next).ok()?)?.1
            }
        };
        usize::try_from(place).ok()
    }
}

/// What an endpoint's hash is made from.
fn key(host: &Host) -> Cow<'_, str> {
    match &host.key {
        Some(key) => Cow::Borrowed(key),
        None => Cow::Owned(host.address.to_string()),
    }
}

/// `KEY_0`, `KEY_1`, … of each endpoint, as many as its weight says, on a ring.
fn ring(
    parts: &[Part],
    hosts: &[Host],
    (least, most): (u64, u64),
    function: HashFunction,
) -> Box<[(u64, u32)]> {
    let lightest = parts.iter().fold(1.0, |lightest: f64, part| lightest.min(part.weight));
    // The lightest gets a whole number of places, unless the ring would grow too large.
    let scale = ((lightest * least as f64).ceil() / lightest).min(most as f64);
    let mut ring = Vec::new();
    // Sums over all endpoints, so that fractions are made up for by the next.
    let (mut filled, mut target) = (0.0, 0.0);
    for part in parts {
        let Some(host) = hosts.get(part.place) else { continue };
        let place = u32::try_from(part.place).unwrap_or(u32::MAX);
        let mut text = format!("{}_", key(host));
        let length = text.len();
        target += scale * part.weight;
        let mut i: u64 = 0;
        while filled < target {
            text.truncate(length);
            text.push_str(&i.to_string());
            let at = match function {
                HashFunction::Murmur => murmur(text.as_bytes()),
                HashFunction::Xx => hash(text.as_bytes()),
            };
            ring.push((at, place));
            i += 1;
            filled += 1.0;
        }
    }
    ring.sort_by_key(|(at, _)| *at);
    ring.into()
}

/// One endpoint while the table is being filled.
struct Filling {
    place: u32,
    offset: u64,
    skip: u64,
    weight: f64,
    target: f64,
    next: u64,
}

impl Filling {
    fn entry(&self, size: u64) -> u64 {
        (self.offset + self.skip.wrapping_mul(self.next)) % size
    }
}

/// Each endpoint in its turn, the heavier ones more often, takes the next free entry of its own permutation.
fn maglev(parts: &[Part], hosts: &[Host], size: u32) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    // A table of one entry has no permutation.
    let size = u64::from(size.max(2));
    let heaviest = parts.iter().fold(0.0, |heaviest: f64, part| heaviest.max(part.weight));
    let mut all: Vec<(Cow<'_, str>, &Part)> =
        parts.iter().filter_map(|part| Some((key(hosts.get(part.place)?), part))).collect();
    // The order of discovery must not matter.
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let mut entries: Vec<Filling> = all
        .iter()
        .map(|(key, part)| Filling {
            place: u32::try_from(part.place).unwrap_or(FREE - 1),
            offset: hash(key.as_bytes()) % size,
            skip: seeded(key.as_bytes(), 1) % (size - 1) + 1,
            weight: part.weight,
            target: 0.0,
            next: 0,
        })
        .collect();
    let mut table = vec![FREE; usize::try_from(size).unwrap_or(0)];
    let mut free = if entries.is_empty() || heaviest <= 0.0 { 0 } else { table.len() };
    let mut round: f64 = 0.0;
    while free > 0 {
        round += 1.0;
        for entry in &mut entries {
            if free == 0 {
                break;
            }
            if round * entry.weight < entry.target {
                continue;
            }
            entry.target += heaviest;
            // A prime size makes every permutation meet every entry.
            for _ in 0..size {
                let place = usize::try_from(entry.entry(size)).unwrap_or(0);
                entry.next += 1;
                if let Some(slot) = table.get_mut(place).filter(|slot| **slot == FREE) {
                    *slot = entry.place;
                    break;
                }
            }
            free -= 1;
        }
    }
    table.into()
}
