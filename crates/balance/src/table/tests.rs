#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::health::Health;
use crate::tests_support::host;

fn hosts(count: u16) -> Vec<Host> {
    (0..count).map(host).collect()
}

fn settings(policy: Policy) -> Settings {
    Settings { policy, ..Settings::default() }
}

fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || base::random::next(&mut seed)
}

/// A choice without a hash.
fn pick(
    table: &Table,
    cursor: &mut Cursor,
    random: &mut dyn FnMut() -> u64,
    avoid: Avoid<'_>,
) -> Option<usize> {
    table.choose(cursor, random, Choice { avoid, ..Choice::default() })
}

fn counts(table: &Table, picks: usize) -> Vec<usize> {
    let (mut cursor, mut random) = (Cursor::default(), random(7));
    let mut counts = vec![0; table.hosts().len()];
    for _ in 0..picks {
        counts[pick(table, &mut cursor, &mut random, Avoid::default()).unwrap()] += 1;
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

    for policy in [Policy::RoundRobin, Policy::Random, Policy::LEAST_REQUEST] {
        let counts = counts(&Table::new(hosts.clone(), &settings(policy)), 20_000);
        assert!(near(counts[0], 15_000), "{policy:?} {counts:?}");
    }
}

#[test]
fn the_less_busy_of_two_is_taken() {
    let hosts = hosts(2);
    let _busy: Vec<_> = (0..3).map(|_| hosts[0].state.begin()).collect();
    let table = Table::new(hosts, &settings(Policy::LEAST_REQUEST));

    // With four draws the other host is all but always found.
    assert!(counts(&table, 1_000)[1] > 900);
}

#[test]
fn being_busy_is_measured_by_weight() {
    let mut hosts = hosts(2);
    hosts[0].weight = 10;
    let _busy: Vec<_> = (0..5).map(|_| hosts[0].state.begin()).collect();
    let _one = hosts[1].state.begin();
    let table = Table::new(hosts, &settings(Policy::LEAST_REQUEST));

    // 10 / 6 against 1 / 2.
    assert!(near(counts(&table, 20_000)[0], 15_385));
}

#[test]
fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LEAST_REQUEST] {
        let table = Table::new(hosts(3), &settings(policy));
        let (mut cursor, mut random) = (Cursor::default(), random(1));
        for _ in 0..200 {
            let avoid = Avoid { hosts: &[0, 2], attempts: 5 };
            assert_eq!(pick(&table, &mut cursor, &mut random, avoid), Some(1), "{policy:?}");
        }
        let all = Avoid { hosts: &[0, 1, 2], attempts: 5 };
        assert!(pick(&table, &mut cursor, &mut random, all).is_some());
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
    assert_eq!(pick(&table, &mut Cursor::default(), &mut || 0, Avoid::default()), None);
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

    assert_eq!(pick(&table, &mut Cursor::default(), &mut || u64::MAX, Avoid::default()), Some(1));
}

#[test]
fn one_that_is_out_takes_nothing_until_it_is_back() {
    let hosts = hosts(4);
    let state = Arc::clone(&hosts[0].state);
    let table = Table::new(hosts, &Settings::default());
    state.eject(true);
    let without = table.refreshed(Duration::ZERO);
    assert_eq!(counts(&without, 300), [0, 100, 100, 100]);
    assert_eq!(
        (without.named(&without.hosts()[0].address), without.named(&without.hosts()[1].address)),
        (None, Some(1))
    );

    state.eject(false);
    assert_eq!(counts(&without.refreshed(Duration::ZERO), 400), [100, 100, 100, 100]);
}

#[test]
fn traffic_can_be_failed_instead_of_sent_anywhere() {
    let mut hosts = hosts(4);
    hosts[1..].iter_mut().for_each(|host| host.health = Health::Unhealthy);
    let usual = Table::new(hosts.clone(), &Settings::default());
    assert!(usual.is_in_panic());
    assert_eq!(counts(&usual, 400), [100, 100, 100, 100]);

    let table = Table::new(hosts, &Settings { fails_on_panic: true, ..Settings::default() });
    assert_eq!(pick(&table, &mut Cursor::default(), &mut || 0, Avoid::default()), None);
}

#[test]
fn a_new_endpoint_gets_its_share_by_and_by() {
    let slow = crate::policy::SlowStart { window: Duration::from_secs(10), aggression: 1.0, least: 0.1 };
    let hosts = hosts(2);
    hosts[0].state.arrive(Duration::ZERO);
    hosts[1].state.arrive(Duration::from_secs(100));
    hosts[1].state.arrive(Duration::from_secs(200));
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LEAST_REQUEST] {
        let settings = Settings { slow_start: Some(slow), ..settings(policy) };
        let table = Table::new(hosts.clone(), &settings);
        assert!(!table.is_young() && near(counts(&table, 20_000)[1], 10_000), "{policy:?}");

        for (now, expected) in [(100, 1_818), (105, 6_667), (110, 10_000)] {
            let table = table.refreshed(Duration::from_secs(now));
            assert_eq!(table.is_young(), now < 110);
            let counts = counts(&table, 20_000);
            assert!(near(counts[1], expected), "{policy:?} at {now}: {counts:?}");
        }
    }
}

#[test]
fn a_bias_of_nothing_leaves_only_weights() {
    let mut hosts = hosts(2);
    hosts[0].weight = 3;
    let _busy: Vec<_> = (0..50).map(|_| hosts[0].state.begin()).collect();
    let indifferent = settings(Policy::LeastRequest { choices: 2, bias: 0.0 });

    assert!(near(counts(&Table::new(hosts.clone(), &indifferent), 20_000)[0], 15_000));
    assert!(counts(&Table::new(hosts, &settings(Policy::LEAST_REQUEST)), 1_000)[0] < 120);
}

#[test]
fn a_full_scan_always_finds_the_idle_one() {
    let hosts = hosts(40);
    let _busy: Vec<_> =
        hosts.iter().enumerate().filter(|(i, _)| *i != 17).map(|(_, h)| h.state.begin()).collect();
    let table = Table::new(hosts, &settings(Policy::LeastRequest { choices: u32::MAX, bias: 1.0 }));

    assert_eq!(counts(&table, 100)[17], 100);
}

#[test]
fn a_retry_moves_on_to_the_next_priority_and_round_again() {
    let mut hosts = hosts(4);
    (hosts[2].priority, hosts[3].priority) = (1, 1);
    let table = Table::new(hosts, &Settings::default());
    let priority = |tried: &[usize]| {
        let choice = Choice { tried, priority_frequency: Some(2), ..Choice::default() };
        let mut random = random(5);
        let places: Vec<usize> =
            (0..50).map(|_| table.choose(&mut Cursor::default(), &mut random, choice).unwrap()).collect();
        let all: std::collections::BTreeSet<u32> =
            places.into_iter().map(|place| table.hosts()[place].priority).collect();
        all.into_iter().collect::<Vec<_>>()
    };

    assert_eq!(priority(&[]), [0]);
    assert_eq!(priority(&[0]), [0]);
    assert_eq!(priority(&[0, 1]), [1]);
    assert_eq!(priority(&[0, 1, 2]), [1]);
    assert_eq!(priority(&[0, 1, 2, 3]), [0], "all were tried: anew");
    assert_eq!(priority(&[0, 1, 2, 3, 0, 1]), [1]);
}

#[test]
fn a_session_keeps_to_an_endpoint_as_long_as_its_health_allows() {
    let mut hosts = hosts(3);
    (hosts[1].health, hosts[2].health) = (Health::Draining, Health::Unhealthy);
    let named = |settings: &Settings| {
        let table = Table::new(hosts.clone(), settings);
        hosts.iter().map(|host| table.named(&host.address)).collect::<Vec<_>>()
    };

    assert_eq!(named(&Settings::default()), [Some(0), None, None]);
    let draining = vec![Health::Healthy, Health::Draining];
    assert_eq!(named(&Settings { named: draining, ..Settings::default() }), [Some(0), Some(1), None]);
}
