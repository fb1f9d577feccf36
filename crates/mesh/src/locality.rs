//! Localities: which endpoints a proxy uses first, and how they share what goes to several places.

use std::collections::BTreeMap;

use api::locality::{Distribute, Failover, LocalitySetting, ZoneAware};
use base::Labels;

use crate::slice::{Endpoint, EndpointGroup, Localities};

/// Where something runs: `region/zone/subzone`, from the front as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Locality<'a> {
    pub(crate) region: &'a str,
    pub(crate) zone: &'a str,
    pub(crate) subzone: &'a str,
}

impl<'a> Locality<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        Self { region: part(), zone: part(), subzone: part() }
    }

    /// Whether it is one that a rule names; `*` and what is not written stand for anything.
    fn is_of(self, rule: &str) -> bool {
        let rule = Locality::new(rule);
        (rule.region == "*" || rule.region == self.region)
            && ["*", "", self.zone].contains(&rule.zone)
            && ["*", "", self.subzone].contains(&rule.subzone)
    }

    /// How far away another is: 0 the same subzone, 1 the same zone, 2 the same region, 3 another region.
    fn distance(self, other: Locality<'_>) -> u32 {
        if self.region != other.region {
            3
        } else if self.zone != other.zone {
            2
        } else if self.subzone != other.subzone {
            1
        } else {
            0
        }
    }
}

/// The locality that labels tell: Istio's own label, with dots for slashes, else Kubernetes' topology.
pub(crate) fn of_labels(labels: &Labels) -> Option<String> {
    let own = ["topology.istio.io/locality", "istio-locality"].into_iter().find_map(|key| labels.value(key));
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        return Some(if own.contains('/') { own.to_owned() } else { own.replace('.', "/") });
    }
    let part = |key: &str| labels.value(key).unwrap_or_default();
    let parts = [part(REGION), part(ZONE), part(SUBZONE)];
    let text = parts.join("/");
    (parts != [""; 3]).then(|| text.trim_end_matches('/').to_owned())
}

/// Kubernetes' label of the region.
pub(crate) const REGION: &str = "topology.kubernetes.io/region";
/// Kubernetes' label of the zone.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
/// Istio's label of the part of a zone.
pub(crate) const SUBZONE: &str = "topology.istio.io/subzone";
/// Istio's label of the network.
pub(crate) const NETWORK: &str = "topology.istio.io/network";
/// Kubernetes' label of the node.
pub(crate) const NODE: &str = "kubernetes.io/hostname";

/// How a cluster's traffic is spread over localities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Over all alike.
    #[default]
    Even,
    /// By shares.
    Shares(Vec<Distribute>),
    /// The nearest first.
    Nearest {
        /// Labels, the most important first; `key=value` where not the proxy's own value counts.
        labels: Vec<String>,
        /// Whether distance counts too, and which region takes over from which.
        regions: Option<Vec<Failover>>,
        /// Whether zones of one region count as one place, between which the proxy itself decides.
        joins_zones: bool,
    },
}

/// How a setting spreads calls. Endpoints fail over only where it is found out which of them are ill.
pub(crate) fn by_setting(setting: &LocalitySetting, has_outliers: bool) -> (Spread, Localities) {
    if !setting.is_enabled {
        return (Spread::Even, Localities::Priorities);
    }
    if !setting.distribute.is_empty() {
        return (Spread::Shares(setting.distribute.clone()), Localities::Weights);
    }
    if !has_outliers {
        return (Spread::Even, Localities::Priorities);
    }
    let labels = setting.failover_priority.clone();
    let by_region = labels.is_empty() || !setting.failover.is_empty();
    let weighs = !labels.is_empty() || !setting.failover.is_empty();
    let regions = by_region.then(|| setting.failover.clone());
    let localities = if weighs { Localities::Weights } else { Localities::Priorities };
    (Spread::Nearest { labels, regions, joins_zones: false }, localities)
}

/// How a setting spreads calls of which the proxy itself sends as many as it can to its own zone.
pub(crate) fn by_zone(setting: &ZoneAware, has_outliers: bool) -> (Spread, Localities) {
    if !setting.is_enabled {
        return (Spread::Even, Localities::Priorities);
    }
    let localities = Localities::Zones { least: setting.min_cluster_size };
    if !has_outliers {
        return (Spread::Even, localities);
    }
    let labels = setting.failover_priority.clone();
    (Spread::Nearest { labels, regions: Some(setting.failover.clone()), joins_zones: true }, localities)
}

/// The proxy that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) locality: Locality<'a>,
    pub(crate) labels: &'a Labels,
}

/// An endpoint with what decides when it is used.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) locality: &'a str,
    pub(crate) labels: &'a Labels,
}

/// Groups endpoints by locality and by the priority they have for a proxy.
pub(crate) fn spread(placed: Vec<Placed<'_>>, spread: &Spread, asker: Asker<'_>) -> Vec<EndpointGroup> {
    let mut groups: BTreeMap<(u32, &str), Vec<Endpoint>> = BTreeMap::new();
    for each in placed {
        let rank = rank(&each, spread, asker);
        groups.entry((rank, each.locality)).or_default().push(each.endpoint);
    }
    let mut ranks: Vec<u32> = groups.keys().map(|(rank, _)| *rank).collect();
    ranks.dedup();
    let mut all: Vec<EndpointGroup> = groups
        .into_iter()
        .filter_map(|((rank, locality), mut endpoints)| {
            endpoints.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
            endpoints.dedup_by(|a, b| (&a.address, a.port) == (&b.address, b.port));
            let weight = endpoints.iter().fold(0u32, |sum, one| sum.saturating_add(one.weight)).max(1);
            bound(endpoints.iter_mut().map(|endpoint| &mut endpoint.weight));
            Some(EndpointGroup {
                locality: locality.to_owned(),
                priority: u32::try_from(ranks.binary_search(&rank).ok()?).ok()?,
                weight,
                endpoints,
            })
        })
        .collect();
    if let Spread::Shares(rules) = spread
        && let Some(rule) = rules.iter().find(|rule| asker.locality.is_of(&rule.from))
    {
        share(&mut all, rule);
    }
    bound(all.iter_mut().map(|group| &mut group.weight));
    all
}

/// Scales weights down where their sum is more than a proxy takes.
fn bound<'a>(weights: impl Iterator<Item = &'a mut u32>) {
    let weights: Vec<_> = weights.collect();
    let sum: u64 = weights.iter().map(|weight| u64::from(**weight)).sum();
    let divisor = u32::try_from(sum.div_ceil(u64::from(u32::MAX / 2))).unwrap_or(u32::MAX);
    if sum > u64::from(u32::MAX) {
        weights.into_iter().for_each(|weight| *weight = (*weight / divisor).max(1));
    }
}

/// The lower the earlier.
fn rank(placed: &Placed<'_>, spread: &Spread, asker: Asker<'_>) -> u32 {
    let Spread::Nearest { labels, regions, joins_zones } = spread else { return 0 };
    let count = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let knows_itself = !asker.labels.0.is_empty();
    let agreed = labels.iter().take_while(|label| agrees(label, placed, asker)).count();
    let by_labels = match knows_itself {
        true => count.saturating_sub(u32::try_from(agreed).unwrap_or(u32::MAX)),
        false => 0,
    };
    let Some(failover) = regions else { return by_labels };
    let there = Locality::new(placed.locality);
    let mut distance = asker.locality.distance(there);
    if *joins_zones && distance < 3 {
        distance = 0;
    }
    // Of the other regions the one that is named comes first.
    let named = failover.iter().find(|failover| failover.from == asker.locality.region);
    if distance == 3 && named.is_some_and(|failover| failover.to != there.region) {
        distance = 4;
    }
    by_labels.saturating_mul(5).saturating_add(distance)
}

/// The label that an entry of a priority list is about.
pub(crate) fn key(label: &str) -> &str {
    label.split_once('=').map_or(label, |(key, _)| key)
}

/// The labels that tell a proxy's locality, and which others decide how near an endpoint is to it by default.
pub(crate) const TELLING: [&str; 7] =
    ["istio-locality", "topology.istio.io/locality", REGION, ZONE, SUBZONE, NETWORK, NODE];

fn agrees(label: &str, placed: &Placed<'_>, asker: Asker<'_>) -> bool {
    let (key, wanted) = match label.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (label, asker.labels.value(label)),
    };
    wanted.unwrap_or_default() == placed.labels.value(key).unwrap_or_default()
}

/// Gives each locality its share; one that is not named gets nothing. A share of several localities is divided
/// by their weights.
fn share(groups: &mut Vec<EndpointGroup>, rule: &Distribute) {
    let mut shares: Vec<Option<u32>> = vec![None; groups.len()];
    // The more exact a name, the earlier it takes what it names.
    let mut named: Vec<(&String, u32)> = rule.to.iter().map(|(to, share)| (to, *share)).collect();
    named.sort_by_key(|(to, _)| (to.contains('*'), std::cmp::Reverse(to.len())));
    for (to, share) in named {
        let free = |(index, group): (usize, &EndpointGroup)| {
            let is_free = shares.get(index).is_some_and(Option::is_none);
            (is_free && Locality::new(&group.locality).is_of(to)).then_some((index, u64::from(group.weight)))
        };
        let taken: Vec<(usize, u64)> = groups.iter().enumerate().filter_map(free).collect();
        let total: u64 = taken.iter().map(|(_, weight)| weight).sum();
        for (index, weight) in taken {
            let part = (weight * u64::from(share)).div_ceil(total.max(1));
            if let Some(slot) = shares.get_mut(index) {
                *slot = Some(u32::try_from(part).unwrap_or(u32::MAX));
            }
        }
    }
    let mut shares = shares.into_iter();
    groups.retain_mut(|group| match shares.next().flatten() {
        Some(share) if share > 0 => {
            group.weight = share;
            true
        }
        _ => false,
    });
}

#[cfg(test)]
mod tests;
