#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::health::Health;
use crate::policy::Settings;
use crate::table::{Choice, Cursor, Table};
use crate::tests_support::host;

/// What a real Envoy chose for the keys `key-0`, `key-1`, … in a header: one line for each kind of cluster.
const ENVOY: &str = include_str!("envoy.txt");

/// The seven endpoints of Envoy's clusters.
fn hosts() -> Vec<Host> {
    (23_100..23_107).map(host).collect()
}

fn weighted() -> Vec<Host> {
    (1..).zip(hosts()).map(|(weight, host)| Host { weight, ..host }).collect()
}

fn keyed(key: fn(usize) -> String) -> Vec<Host> {
    hosts().into_iter().enumerate().map(|(i, host)| Host { key: Some(key(i).into()), ..host }).collect()
}

fn sick(places: &[usize]) -> Vec<Host> {
    let mut hosts = hosts();
    places.iter().for_each(|place| hosts[*place].health = Health::Unhealthy);
    hosts
}

fn by(policy: Policy) -> Settings {
    Settings { policy, ..Settings::default() }
}

/// The endpoints and settings behind the name of a line.
fn cluster(name: &str) -> (Vec<Host>, Settings) {
    let ring = |least, most, function| by(Policy::RingHash { least, most, function });
    let apart = || {
        let mut hosts = hosts();
        hosts[3..].iter_mut().for_each(|host| host.locality = 1);
        hosts
    };
    let localities = Some(vec![3, 1]);
    match name {
        "ring" => (hosts(), by(Policy::RING_HASH)),
        "ring-small" => (hosts(), ring(10, 16, HashFunction::Xx)),
        "ring-weighted" => (weighted(), by(Policy::RING_HASH)),
        "ring-cut-weighted" => (weighted(), ring(20, 30, HashFunction::Xx)),
        "ring-murmur" => (hosts(), ring(1024, 8 << 20, HashFunction::Murmur)),
        "ring-hostname" => (keyed(|i| format!("host-{i}.example")), by(Policy::RING_HASH)),
        "ring-key" => (keyed(|i| format!("key{i}")), by(Policy::RING_HASH)),
        "ring-localities" => (apart(), Settings { localities, ..by(Policy::RING_HASH) }),
        "ring-lost-locality" | "maglev-lost-locality" | "ring-lame-locality" => {
            let mut hosts = apart();
            let sick = if name == "ring-lame-locality" { 2 } else { 3 };
            hosts[..sick].iter_mut().for_each(|host| host.health = Health::Unhealthy);
            let policy = if name.starts_with("ring") { Policy::RING_HASH } else { Policy::MAGLEV };
            (hosts, Settings { localities, ..by(policy) })
        }
        "ring-panic" => (sick(&[0, 1, 2, 3]), by(Policy::RING_HASH)),
        "ring-priorities" => {
            let mut hosts = sick(&[0, 1]);
            hosts[4..].iter_mut().for_each(|host| host.priority = 1);
            (hosts, by(Policy::RING_HASH))
        }
        "maglev" => (hosts(), by(Policy::MAGLEV)),
        "maglev-small" => (hosts(), by(Policy::Maglev { size: 101 })),
        "maglev-weighted" => (weighted(), by(Policy::MAGLEV)),
        "maglev-localities" => (apart(), Settings { localities, ..by(Policy::MAGLEV) }),
        "maglev-sick" => (sick(&[2, 5]), by(Policy::MAGLEV)),
        other => panic!("no cluster {other}"),
    }
}

fn chosen(table: &Table, keys: usize) -> String {
    let one = |i: usize| {
        let hash = Some(hash(format!("key-{i}").as_bytes()));
        let choice = Choice { hash, ..Choice::default() };
        let place = table.choose(&mut Cursor::default(), &mut || panic!("nothing is random"), choice);
        place.map_or('?', |place| char::from(b'a' + u8::try_from(place).unwrap()))
    };
    (0..keys).map(one).collect()
}

#[test]
fn the_endpoint_of_a_key_is_envoys() {
    for line in ENVOY.lines() {
        let (name, expected) = line.split_once(' ').unwrap();
        let (hosts, settings) = cluster(name);

        let chosen = chosen(&Table::new(hosts, &settings), expected.len());

        let same = chosen.chars().zip(expected.chars()).filter(|(one, other)| one == other).count();
        assert_eq!(same, expected.len(), "{name}: {same} of {} keys", expected.len());
    }
}

#[test]
fn the_order_of_endpoints_does_not_matter() {
    for policy in [Policy::RING_HASH, Policy::MAGLEV] {
        let mut turned = hosts();
        turned.reverse();
        let back = |c: char| char::from(b'a' + (b'g' - u8::try_from(c).unwrap()));

        let one = chosen(&Table::new(hosts(), &by(policy)), 500);
        let other = chosen(&Table::new(turned, &by(policy)), 500);

        assert_eq!(one, other.chars().map(back).collect::<String>());
    }
}

#[test]
fn few_keys_move_when_an_endpoint_goes() {
    for policy in [Policy::RING_HASH, Policy::MAGLEV] {
        let before = chosen(&Table::new(hosts(), &by(policy)), 2_000);
        let after = chosen(&Table::new(sick(&[3]), &by(policy)), 2_000);

        let stayed = before.chars().zip(after.chars()).filter(|(b, _)| *b != 'd');
        let moved = stayed.filter(|(before, after)| before != after).count();
        assert!(!after.contains('d') && moved < 250, "{policy:?}: {moved} moved");
    }
}

#[test]
fn further_attempts_look_elsewhere() {
    for policy in [Policy::RING_HASH, Policy::MAGLEV] {
        let table = Table::new(hosts(), &by(policy));
        let mut found = [0; 7];
        for i in 0..200 {
            let hash = Some(hash(format!("{i}").as_bytes()));
            let place = |avoid| {
                let choice = Choice { hash, avoid, ..Choice::default() };
                table.choose(&mut Cursor::default(), &mut || 0, choice).unwrap()
            };
            let first = place(crate::table::Avoid::default());
            let second = place(crate::table::Avoid { hosts: &[first], attempts: 10 });
            found[usize::from(first != second)] += 1;
        }
        assert!(found[1] > 195, "{policy:?}: {found:?}");
    }
}

#[test]
fn odd_sizes_and_weights_are_survived() {
    let none = Table::new(sick(&[0, 1, 2, 3, 4, 5, 6]), &Settings { panic_percent: 0, ..by(Policy::MAGLEV) });
    assert_eq!(chosen(&none, 1), "?");
    for size in [0, 1, 2, 3] {
        assert_eq!(chosen(&Table::new(hosts(), &by(Policy::Maglev { size })), 3).len(), 3);
    }
    for (least, most) in [(0, 0), (1, 1), (0, 8)] {
        let policy = Policy::RingHash { least, most, function: HashFunction::Xx };
        assert_eq!(chosen(&Table::new(hosts(), &by(policy)), 3).len(), 3);
    }
    let mut heavy = hosts();
    heavy[0].weight = u32::MAX;
    assert_eq!(chosen(&Table::new(heavy, &by(Policy::MAGLEV)), 3), "aaa");
}

#[test]
fn without_a_hash_any_endpoint_is_chosen() {
    let table = Table::new(hosts(), &by(Policy::MAGLEV));
    let mut seed = 3;

    let chosen: std::collections::BTreeSet<_> = (0..200)
        .map(|_| {
            table.choose(&mut Cursor::default(), &mut || base::random::next(&mut seed), Choice::default())
        })
        .collect();

    assert_eq!(chosen.len(), 7);
}

#[test]
fn one_that_has_more_than_its_due_is_passed_over() {
    let settings = Settings { bounded_load: Some(120), ..by(Policy::RING_HASH) };
    let hosts = hosts();
    let states: Vec<_> = hosts.iter().map(|host| Arc::clone(&host.state)).collect();
    let table = Table::new(hosts, &settings);
    let all = chosen(&table, 50);
    let first = usize::from(all.as_bytes()[0] - b'a');
    let _busy: Vec<_> = (0..20).map(|_| states[first].begin()).collect();

    let now = chosen(&table, 50);

    assert!(!now.contains(char::from(b'a' + u8::try_from(first).unwrap())), "{now}");
    assert_eq!(now, chosen(&table, 50), "the other one follows from the hash too");
}
