#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::health::Health;
use crate::monitor::Outcome;
use crate::tests_support::host;

struct Scene {
    detector: Detector,
    hosts: Vec<Host>,
    cluster: Arc<ClusterState>,
}

fn scene(count: u16, rules: Outlier) -> Scene {
    let hosts: Vec<Host> = (0..count).map(host).collect();
    let cluster = Arc::new(ClusterState::default());
    let mut detector = Detector::new(Arc::new(rules), Arc::clone(&cluster));
    detector.follow(&hosts);
    Scene { detector, hosts, cluster }
}

fn half() -> Outlier {
    Outlier { max_percent: 50, ..Outlier::default() }
}

impl Scene {
    /// Reports outcomes of one endpoint, and has every suspicion judged at once.
    fn report(
        &mut self,
        now: u64,
        place: usize,
        outcome: Outcome,
        times: u32,
    ) -> Vec<(Suspicion, Judgement)> {
        let mut all = Vec::new();
        let streaks = self.detector.rules().streaks;
        for _ in 0..times {
            let host = &self.hosts[place];
            for suspicion in host.state.report(outcome, &streaks) {
                let now = Duration::from_secs(now);
                all.push((suspicion, self.detector.suspect(now, &host.address, suspicion, &mut || 0)));
            }
        }
        all
    }

    fn tick(&mut self, now: u64) -> Vec<Event> {
        self.detector.tick(Duration::from_secs(now), &mut || 0)
    }

    fn is_out(&self, place: usize) -> bool {
        self.hosts[place].state.is_ejected()
    }
}

#[test]
fn five_errors_in_a_row_take_an_endpoint_out() {
    let mut scene = scene(2, half());
    assert_eq!(scene.report(0, 0, Outcome::Answer(500), 4), []);
    assert_eq!(scene.report(0, 0, Outcome::Answer(200), 1), []);
    assert_eq!(scene.report(0, 0, Outcome::Answer(500), 4), []);
    let before = scene.cluster.epoch();

    let judged = scene.report(0, 0, Outcome::Answer(500), 1);

    assert_eq!(judged, [(Suspicion::ServerErrors, Judgement::Ejected)]);
    assert!(scene.is_out(0) && !scene.is_out(1) && scene.cluster.epoch() > before);
    assert_eq!(scene.hosts[0].health(), Health::Unhealthy);
}

#[test]
fn gateway_errors_have_a_streak_of_their_own() {
    let mut rules = half();
    (rules.streaks.gateway_errors, rules.streaks.server_errors) = (3, 10);
    rules.enforcing.gateway_errors = 100;
    let mut scene = scene(2, rules);
    scene.report(0, 0, Outcome::Answer(503), 2);
    scene.report(0, 0, Outcome::Answer(500), 1);
    assert_eq!(scene.report(0, 0, Outcome::Answer(502), 2), []);

    let judged = scene.report(0, 0, Outcome::Answer(504), 1);

    assert_eq!(judged, [(Suspicion::GatewayErrors, Judgement::Ejected)]);
}

#[test]
fn two_streaks_can_be_full_at_once() {
    let mut rules = half();
    rules.enforcing.gateway_errors = 100;
    rules.enforcing.server_errors = 0;
    let mut scene = scene(2, rules);

    let judged = scene.report(0, 0, Outcome::Answer(503), 5);

    assert_eq!(
        judged,
        [(Suspicion::GatewayErrors, Judgement::Ejected), (Suspicion::ServerErrors, Judgement::Moot)]
    );
}

#[test]
fn failures_before_an_answer_count_as_errors_unless_they_are_split() {
    let mut joined = scene(2, half());
    assert_eq!(joined.report(0, 0, Outcome::ConnectFailed, 2), []);
    assert_eq!(joined.report(0, 0, Outcome::Connected, 1), []);
    assert_eq!(joined.report(0, 0, Outcome::TimedOut, 2), []);
    let last = joined.report(0, 0, Outcome::Broken, 1);
    assert_eq!(last, [(Suspicion::ServerErrors, Judgement::Ejected)]);

    let mut rules = half();
    rules.streaks.splits_local = true;
    let mut split = scene(2, rules);
    assert_eq!(split.report(0, 0, Outcome::ConnectFailed, 4), []);
    assert_eq!(split.report(0, 0, Outcome::Answer(500), 4), []);
    assert_eq!(split.report(0, 0, Outcome::Connected, 1), []);
    let last = split.report(0, 0, Outcome::TimedOut, 5);
    assert_eq!(last, [(Suspicion::LocalFailures, Judgement::Ejected)]);
}

#[test]
fn no_more_than_the_share_allowed_is_out() {
    for (hosts, percent, always, expected) in
        [(10, 10, false, 1), (9, 10, false, 0), (9, 10, true, 1), (4, 50, false, 2), (3, 100, false, 3)]
    {
        let mut scene =
            scene(hosts, Outlier { max_percent: percent, always_one: always, ..Outlier::default() });
        for place in 0..usize::from(hosts) {
            scene.report(0, place, Outcome::Answer(500), 5);
        }

        assert_eq!(scene.detector.ejected(), expected, "{hosts} hosts, {percent} %, {always}");
    }
}

#[test]
fn a_streak_that_came_to_nothing_begins_anew() {
    let mut scene = scene(1, half());
    let judged = scene.report(0, 0, Outcome::Answer(500), 10);

    let overflow = (Suspicion::ServerErrors, Judgement::Overflow);
    assert_eq!(judged, [overflow, overflow]);
}

#[test]
fn each_further_time_out_lasts_longer_and_good_times_shorten_it() {
    let mut scene = scene(2, half());
    scene.report(0, 0, Outcome::Answer(500), 5);
    assert_eq!(scene.tick(29), []);
    assert_eq!(scene.tick(30), [Event::Returned(scene.hosts[0].address.clone())]);
    assert!(!scene.is_out(0));

    scene.report(30, 0, Outcome::Answer(500), 5);
    assert_eq!(scene.tick(80), []);
    assert_eq!(scene.tick(90).len(), 1);

    // One interval well: one base time forgiven.
    scene.tick(100);
    scene.report(100, 0, Outcome::Answer(500), 5);
    assert_eq!(scene.tick(159), []);
    assert_eq!(scene.tick(160).len(), 1);
}

#[test]
fn no_time_out_is_longer_than_the_longest() {
    let mut scene = scene(2, Outlier { max_time: Duration::from_secs(60), ..half() });
    let mut now = 0;
    for _ in 0..5 {
        scene.report(now, 0, Outcome::Answer(500), 5);
        now += 60;
        assert_eq!(scene.tick(now).len(), 1);
    }
}

#[test]
fn jitter_keeps_endpoints_from_returning_together() {
    let rules = Outlier { max_jitter: Duration::from_secs(10), ..half() };
    let mut scene = scene(2, rules);
    let address = scene.hosts[0].address.clone();
    let mut draws = [0, 7_000].into_iter();
    let mut random = || draws.next().unwrap();

    scene.detector.suspect(Duration::ZERO, &address, Suspicion::ServerErrors, &mut random);

    assert_eq!(scene.tick(36), []);
    assert_eq!(scene.tick(37).len(), 1);
}

#[test]
fn suspicions_are_acted_upon_as_often_as_is_enforced() {
    let mut rules = half();
    rules.enforcing.server_errors = 30;
    let mut scene = scene(2, rules);
    let address = scene.hosts[0].address.clone();
    let mut judged =
        |drawn: u64| scene.detector.suspect(Duration::ZERO, &address, Suspicion::ServerErrors, &mut || drawn);

    assert_eq!([30, 99].map(&mut judged), [Judgement::NotEnforced; 2]);
    assert_eq!([129, 29].map(&mut judged), [Judgement::Ejected, Judgement::Moot]);
}

/// Envoy's documented example: a mean of 90 and a deviation of 10 make a threshold of 71.
#[test]
fn the_threshold_is_the_mean_less_so_many_deviations() {
    let rates = [80.0, 100.0];

    assert!((threshold(rates.into_iter(), 1900) - 71.0).abs() < 1e-9);
}

#[test]
fn one_far_below_the_others_is_taken_out_by_its_rate() {
    let mut scene = scene(10, half());
    for place in 0..10 {
        // Not five in a row.
        for i in 0..100 {
            let status = if place == 3 && i % 2 == 0 { 500 } else { 200 };
            scene.report(0, place, Outcome::Answer(status), 1);
        }
    }

    let events = scene.tick(10);

    let address = scene.hosts[3].address.clone();
    assert_eq!(events, [Event::Judged(address, Suspicion::SuccessRate, Judgement::Ejected)]);
    assert_eq!(scene.tick(20), [], "an interval begins with nothing");
}

#[test]
fn rates_are_judged_among_enough_endpoints_with_enough_requests() {
    for (hosts, requests) in [(4, 100), (10, 99)] {
        let mut scene = scene(hosts, half());
        for place in 0..usize::from(hosts) {
            for i in 0..requests {
                let status = if place == 0 && i % 2 == 0 { 500 } else { 200 };
                scene.report(0, place, Outcome::Answer(status), 1);
            }
        }
        assert_eq!(scene.tick(10), [], "{hosts} endpoints, {requests} requests");
    }
}

#[test]
fn a_fixed_share_of_failures_is_judged_where_it_is_enforced() {
    let mut rules = half();
    rules.enforcing.failure_percentage = 100;
    rules.enforcing.success_rate = 0;
    rules.streaks.server_errors = 0;
    let mut scene = scene(5, rules);
    for place in 0..5 {
        for i in 0..100 {
            let fails = (place == 1 && i < 85) || (place == 2 && i < 84);
            scene.report(0, place, Outcome::Answer(if fails { 500 } else { 200 }), 1);
        }
    }

    let events = scene.tick(10);

    let address = scene.hosts[1].address.clone();
    assert!(events.contains(&Event::Judged(address, Suspicion::FailurePercentage, Judgement::Ejected)));
    assert!(scene.is_out(1) && !scene.is_out(2), "{events:?}");
}

#[test]
fn who_stays_keeps_its_past_and_who_goes_is_forgotten() {
    let mut scene = scene(2, half());
    scene.report(0, 0, Outcome::Answer(500), 5);
    let stays = scene.hosts[0].clone();

    scene.detector.follow(&[stays, host(7), host(8)]);
    assert_eq!(scene.detector.ejected(), 1);
    assert_eq!(scene.tick(30).len(), 1);

    scene.detector.follow(&[]);
    assert_eq!(scene.report(40, 0, Outcome::Answer(500), 5)[0].1, Judgement::Moot);
}

#[test]
fn detectors_are_kept_by_cluster() {
    let mut detectors = Detectors::default();
    let (rules, cluster) = (Arc::new(half()), Arc::new(ClusterState::default()));
    let hosts = [host(1), host(2)];
    detectors.follow(&"c".into(), &rules, &cluster, &hosts);
    let judged = detectors.of("c").unwrap().suspect(
        Duration::ZERO,
        &hosts[0].address,
        Suspicion::ServerErrors,
        &mut || 0,
    );
    assert_eq!(judged, Judgement::Ejected);

    detectors.follow(&"c".into(), &rules, &cluster, &hosts);
    assert_eq!(detectors.of("c").unwrap().ejected(), 1);
    detectors.retain(|name| name != "c");
    assert_eq!(detectors.all().count(), 0);
}

proptest! {
    #[test]
    fn never_more_are_out_than_allowed_and_none_for_longer_than_the_longest(
        steps in prop::collection::vec((0_usize..6, 0_u8..8, 0_u64..20), 1..200),
        percent in 0_u32..120,
    ) {
        let rules = Outlier { max_percent: percent, max_time: Duration::from_secs(60), ..Outlier::default() };
        let mut scene = scene(6, rules);
        let mut now = 0;
        let mut out_since = [None; 6];
        for (place, what, passed) in steps {
            now += passed;
            match what {
                0 => { scene.tick(now); }
                1 | 2 => { scene.report(now, place, Outcome::Answer(200), 1); }
                3 => { scene.report(now, place, Outcome::TimedOut, 2); }
                _ => { scene.report(now, place, Outcome::Answer(503), 3); }
            }
            prop_assert!(scene.detector.ejected() * 100 <= percent as usize * 6);
            for (place, since) in out_since.iter_mut().enumerate() {
                match (scene.is_out(place), &since) {
                    (true, None) => *since = Some(now),
                    (true, Some(since)) if what == 0 => prop_assert!(now - since < 60),
                    (true, Some(_)) => {}
                    (false, _) => *since = None,
                }
            }
        }
    }
}
