#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::host::HostState;

fn host(port: u16) -> Host {
    Host {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        weight: 1,
        priority: 0,
        locality: 0,
        health: Health::Healthy,
        state: Arc::new(HostState::default()),
    }
}

fn hosts(count: u16) -> Vec<Host> {
    (0..count).map(host).collect()
}

fn settings(policy: Policy) -> Settings {
    Settings { policy, ..Settings::default() }
}

/// SplitMix64.
fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn counts(table: &Table, picks: usize) -> Vec<usize> {
    let (mut cursor, mut random) = (Cursor::default(), random(7));
    let mut counts = vec![0; table.hosts().len()];
    for _ in 0..picks {
        counts[table.pick(&mut cursor, &mut random, Avoid::default()).unwrap()] += 1;
    }
    counts
}

fn near(count: usize, expected: usize) -> bool {
    count.abs_diff(expected) < 400
}

#[test]
fn a_rotation_gives_each_its_turn() {
    assert_eq!(counts(&Table::new(hosts(3), &settings(Policy::RoundRobin)), 300), [100, 100, 100]);
}

#[test]
fn a_rotation_follows_weights_exactly() {
    let mut hosts = hosts(3);
    (hosts[0].weight, hosts[1].weight) = (5, 2);

    assert_eq!(counts(&Table::new(hosts, &settings(Policy::RoundRobin)), 800), [500, 200, 100]);
}

#[test]
fn long_rotations_and_random_choices_follow_weights_in_the_mean() {
    let mut hosts = hosts(2);
    (hosts[0].weight, hosts[1].weight) = (3_000_000, 1_000_001);

    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastRequest { choices: 2 }] {
        let counts = counts(&Table::new(hosts.clone(), &settings(policy)), 20_000);
        assert!(near(counts[0], 15_000), "{policy:?} {counts:?}");
    }
}

#[test]
fn the_less_busy_of_two_is_taken() {
    let hosts = hosts(2);
    let _busy: Vec<_> = (0..3).map(|_| hosts[0].state.begin()).collect();
    let table = Table::new(hosts, &settings(Policy::LeastRequest { choices: 2 }));

    // With four draws the other host is all but always found.
    assert!(counts(&table, 1_000)[1] > 900);
}

#[test]
fn being_busy_is_measured_by_weight() {
    let mut hosts = hosts(2);
    hosts[0].weight = 10;
    let _busy: Vec<_> = (0..5).map(|_| hosts[0].state.begin()).collect();
    let _one = hosts[1].state.begin();
    let table = Table::new(hosts, &settings(Policy::LeastRequest { choices: 2 }));

    assert!(counts(&table, 1_000)[0] > 900);
}

#[test]
fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastRequest { choices: 2 }] {
        let table = Table::new(hosts(3), &settings(policy));
        let (mut cursor, mut random) = (Cursor::default(), random(1));
        for _ in 0..200 {
            let avoid = Avoid { hosts: &[0, 2], attempts: 5 };
            assert_eq!(table.pick(&mut cursor, &mut random, avoid), Some(1), "{policy:?}");
        }
        let all = Avoid { hosts: &[0, 1, 2], attempts: 5 };
        assert!(table.pick(&mut cursor, &mut random, all).is_some());
    }
}

#[test]
fn the_unhealthy_are_left_out_until_too_few_are_left() {
    let mut hosts = hosts(4);
    hosts[0].health = Health::Unhealthy;
    assert_eq!(counts(&Table::new(hosts.clone(), &Settings::default()), 300), [0, 100, 100, 100]);

    (hosts[1].health, hosts[2].health) = (Health::Draining, Health::Unhealthy);
    assert_eq!(counts(&Table::new(hosts.clone(), &Settings::default()), 400), [100, 100, 100, 100]);

    let never = Settings { panic_percent: 0, ..Settings::default() };
    assert_eq!(counts(&Table::new(hosts.clone(), &never), 400), [0, 0, 0, 400]);

    hosts[3].health = Health::Unhealthy;
    let table = Table::new(hosts, &never);
    assert_eq!(table.pick(&mut Cursor::default(), &mut || 0, Avoid::default()), None);
}

#[test]
fn the_next_priority_takes_what_the_first_cannot() {
    let mut hosts = hosts(4);
    (hosts[2].priority, hosts[3].priority) = (1, 1);
    assert_eq!(counts(&Table::new(hosts.clone(), &Settings::default()), 400), [200, 200, 0, 0]);

    hosts[0].health = Health::Unhealthy;
    let counts = counts(&Table::new(hosts, &Settings::default()), 20_000);
    assert!(counts[0] == 0 && near(counts[1], 14_000) && near(counts[2], 3_000), "{counts:?}");
}

#[test]
fn localities_share_by_weight_and_lose_it_with_their_health() {
    let mut hosts = hosts(4);
    (hosts[2].locality, hosts[3].locality) = (1, 1);
    let by = Settings { localities: Some(vec![3, 1]), ..Settings::default() };
    let counts_of = |hosts: Vec<Host>| counts(&Table::new(hosts, &by), 20_000);

    let even = counts_of(hosts.clone());
    assert!(near(even[0], 7_500) && near(even[2], 2_500), "{even:?}");

    hosts[0].health = Health::Unhealthy;
    let lame = counts_of(hosts);
    // 3 × 70 % against 1 × 100 %.
    assert!(near(lame[1], 13_548) && near(lame[2], 3_226), "{lame:?}");
}

#[test]
fn a_table_tells_what_each_can_expect() {
    let mut hosts = hosts(3);
    hosts[0].weight = 2;
    hosts[2].priority = 1;

    let shares = Table::new(hosts, &Settings::default()).shares();

    assert_eq!(shares, [2.0 / 3.0, 1.0 / 3.0, 0.0]);
}

#[test]
fn absurd_priorities_and_weights_are_survived() {
    let mut hosts = hosts(2);
    (hosts[0].priority, hosts[0].weight, hosts[1].weight) = (u32::MAX, u32::MAX, 0);

    let table = Table::new(hosts, &settings(Policy::RoundRobin));

    assert_eq!(table.pick(&mut Cursor::default(), &mut || u64::MAX, Avoid::default()), Some(1));
}
