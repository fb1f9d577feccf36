//! The local addresses of services: each has a slot, which it keeps.

use std::collections::{BTreeMap, BTreeSet};

use base::Host;

/// The last byte of an address; 0 and 255 are left alone.
const SLOTS: std::ops::RangeInclusive<u8> = 1..=254;

/// Gives every host a slot: the one it had, else the lowest free one. Hosts that are gone keep theirs until
/// slots run out, so that a service that comes back is found where it was.
pub(crate) fn assign<'a>(
    previous: &BTreeMap<Host, u8>,
    hosts: impl Iterator<Item = &'a Host>,
) -> (BTreeMap<Host, u8>, Vec<Host>) {
    let mut slots = previous.clone();
    let hosts: BTreeSet<&Host> = hosts.collect();
    let used: BTreeSet<u8> = slots.values().copied().collect();
    let free: Vec<u8> = SLOTS.filter(|slot| !used.contains(slot)).collect();
    let gone: Vec<Host> = slots.keys().filter(|host| !hosts.contains(host)).cloned().collect();
    let (mut free, mut gone) = (free.into_iter(), gone.into_iter());
    let mut left_out = Vec::new();
    for host in hosts {
        if slots.contains_key(host) {
            continue;
        }
        // A slot is taken back from a host that is gone only when there is no other.
        match free.next().or_else(|| slots.remove(&gone.next()?)) {
            Some(slot) => {
                slots.insert(host.clone(), slot);
            }
            None => left_out.push(host.clone()),
        }
    }
    (slots, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| Host::new(name)).collect()
    }

    #[test]
    fn a_host_keeps_its_slot_and_a_new_one_takes_the_lowest_free() {
        let (first, _) = assign(&BTreeMap::new(), hosts(&["b", "c"]).iter());
        let (second, _) = assign(&first, hosts(&["a", "c"]).iter());

        assert_eq!(first, BTreeMap::from([("b".into(), 1), ("c".into(), 2)]));
        assert_eq!(second.get(&Host::new("c")), Some(&2));
        assert_eq!(second.get(&Host::new("a")), Some(&3));
        assert_eq!(second.get(&Host::new("b")), Some(&1), "a host that is gone keeps its slot");
    }

    #[test]
    fn slots_of_hosts_that_are_gone_are_given_away_last() {
        let many: Vec<Host> = (0..254).map(|n| Host::new(&format!("h{n:03}"))).collect();
        let (full, left_out) = assign(&BTreeMap::new(), many.iter());
        assert!(left_out.is_empty());

        let mut next = many.clone();
        next.remove(7);
        next.push(Host::new("new"));
        let (slots, left_out) = assign(&full, next.iter());
        assert!(left_out.is_empty());
        assert_eq!(slots.get(&Host::new("new")), full.get(&Host::new("h007")));

        next.push(Host::new("one-too-many"));
        let (_, left_out) = assign(&slots, next.iter());
        assert_eq!(left_out, hosts(&["one-too-many"]));
    }
}
