#![allow(clippy::unwrap_used)]

use super::*;

fn endpoint(address: &str, weight: u32) -> Endpoint {
    Endpoint { address: address.into(), port: 80, weight, drains: false, workload: String::new() }
}

/// Endpoints named after where they are, each with labels that say so.
fn placed(places: &[&'static str]) -> Vec<(Endpoint, &'static str, Labels)> {
    let one = |place: &&'static str| {
        let at = Locality::new(place);
        let labels = Labels::from([(REGION, at.region), (ZONE, at.zone), ("version", at.subzone)]);
        (endpoint(place, 1), *place, labels)
    };
    places.iter().map(one).collect()
}

fn order(places: &[&'static str], how: &Spread, from: &str, labels: &Labels) -> Vec<(String, u32, u32)> {
    let all = placed(places);
    let placed = all
        .iter()
        .map(|(endpoint, locality, labels)| Placed { endpoint: endpoint.clone(), locality, labels })
        .collect();
    let asker = Asker { locality: Locality::new(from), labels };
    let groups = spread(placed, how, asker);
    groups.into_iter().map(|group| (group.locality, group.priority, group.weight)).collect()
}

fn nearest(labels: &[&str], regions: Option<&[(&str, &str)]>) -> Spread {
    let failover = |(from, to): &(&str, &str)| Failover { from: (*from).into(), to: (*to).into() };
    Spread::Nearest {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        regions: regions.map(|regions| regions.iter().map(failover).collect()),
        joins_zones: false,
    }
}

fn priorities(places: &[&'static str], how: &Spread, from: &str, labels: &Labels) -> Vec<(String, u32)> {
    let order = order(places, how, from, labels);
    order.into_iter().map(|(locality, priority, _)| (locality, priority)).collect()
}

const PLACES: [&str; 5] = ["r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1"];

fn expected(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
    pairs.iter().map(|(place, priority)| ((*place).to_owned(), *priority)).collect()
}

#[test]
fn the_nearest_come_first_and_priorities_have_no_gaps() {
    let found = priorities(&PLACES, &nearest(&[], Some(&[])), "r1/z1/s1", &Labels::default());

    let near = [("r1/z1/s1", 0), ("r1/z1/s2", 1), ("r1/z2/s1", 2), ("r2/z1/s1", 3), ("r3/z1/s1", 3)];
    assert_eq!(found, expected(&near));
    let found = priorities(&["r2/z1", "r1/z9"], &nearest(&[], Some(&[])), "r1/z1/s1", &Labels::default());
    assert_eq!(found, expected(&[("r1/z9", 0), ("r2/z1", 1)]));
}

#[test]
fn of_other_regions_the_one_that_takes_over_comes_first() {
    let found = priorities(&PLACES, &nearest(&[], Some(&[("r1", "r3")])), "r1/z1/s1", &Labels::default());

    assert_eq!(found[3..], expected(&[("r3/z1/s1", 3), ("r2/z1/s1", 4)]));
}

#[test]
fn labels_in_common_count_from_the_first() {
    let labels = Labels::from([(REGION, "r1"), (ZONE, "z1"), ("version", "s9")]);
    let how = nearest(&[REGION, ZONE, "version=s2"], None);

    let found = priorities(&PLACES, &how, "r1/z1/s1", &labels);

    let wanted = [("r1/z1/s2", 0), ("r1/z1/s1", 1), ("r1/z2/s1", 2), ("r2/z1/s1", 3), ("r3/z1/s1", 3)];
    assert_eq!(found, expected(&wanted));
    assert!(
        priorities(&PLACES, &how, "r1/z1/s1", &Labels::default()).iter().all(|(_, priority)| *priority == 0),
        "a caller without labels has nothing in common with anyone"
    );
}

#[test]
fn zones_that_the_proxy_itself_decides_between_are_one_place() {
    let how = Spread::Nearest { labels: Vec::new(), regions: Some(Vec::new()), joins_zones: true };

    let found = priorities(&PLACES, &how, "r1/z1/s1", &Labels::default());

    assert_eq!(found.iter().map(|(_, priority)| *priority).collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
}

#[test]
fn shares_are_divided_among_the_localities_that_a_name_covers() {
    let to = [("r1/z1/*", 70), ("r1/z2/*", 20), ("r3/*", 10)];
    let rule = |from: &str| Distribute {
        from: from.into(),
        to: to.iter().map(|(to, share)| ((*to).to_owned(), *share)).collect(),
    };
    let how = Spread::Shares(vec![rule("r9/*"), rule("r1/z1/*")]);

    let found = order(&PLACES, &how, "r1/z1/s1", &Labels::default());

    let shares: Vec<_> = found.iter().map(|(place, _, weight)| (place.as_str(), *weight)).collect();
    assert_eq!(shares, [("r1/z1/s1", 35), ("r1/z1/s2", 35), ("r1/z2/s1", 20), ("r3/z1/s1", 10)]);
    let elsewhere = order(&PLACES, &how, "r2/z1/s1", &Labels::default());
    assert_eq!(elsewhere.len(), 5, "callers of no rule share evenly");
}

#[test]
fn nothing_fails_over_where_nobody_finds_out_who_is_ill() {
    let enabled = LocalitySetting { is_enabled: true, ..LocalitySetting::default() };
    let disabled = LocalitySetting::default();

    assert_eq!(by_setting(&enabled, false), (Spread::Even, Localities::Priorities));
    assert_eq!(by_setting(&disabled, true), (Spread::Even, Localities::Priorities));
    assert_eq!(by_setting(&enabled, true), (nearest(&[], Some(&[])), Localities::Priorities));
}

#[test]
fn labels_tell_a_locality() {
    let of = |pairs: &[(&str, &str)]| {
        of_labels(&Labels(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
    };

    assert_eq!(of(&[("istio-locality", "r.z.s")]), Some("r/z/s".into()));
    assert_eq!(of(&[(REGION, "r1"), (ZONE, "z1")]), Some("r1/z1".into()));
    assert_eq!(of(&[(ZONE, "z1")]), Some("/z1".into()));
    assert_eq!(of(&[("app", "web")]), None);
}

#[test]
fn weights_are_scaled_down_to_what_a_proxy_takes() {
    let labels = Labels::default();
    let placed =
        |address, locality| Placed { endpoint: endpoint(address, u32::MAX), locality, labels: &labels };
    let asker = Asker { locality: Locality::new(""), labels: &labels };
    let all = [placed("10.0.0.1", "a"), placed("10.0.0.2", "a"), placed("10.0.0.3", "b")];

    let groups = spread(all.into(), &Spread::Even, asker);

    let fits =
        |weights: &mut dyn Iterator<Item = u32>| weights.map(u64::from).sum::<u64>() <= u64::from(u32::MAX);
    assert!(fits(&mut groups.iter().map(|group| group.weight)));
    assert!(groups.iter().all(|group| fits(&mut group.endpoints.iter().map(|endpoint| endpoint.weight))));
    assert_eq!(groups[0].endpoints[0].weight, groups[0].endpoints[1].weight);
    assert!(groups[0].weight >= groups[1].weight);
}
