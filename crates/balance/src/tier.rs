//! The endpoints of one priority, arranged by health and locality.

use std::time::Duration;

use crate::bounded;
use crate::circle::{Circle, Part};
use crate::group::Group;
use crate::health::Health;
use crate::host::Host;
use crate::policy::{Settings, SlowStart};

/// Shares of localities are counted in such parts of their weights.
const SCALE: f64 = 1_000_000.0;

/// Which endpoints of a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Degraded,
    Healthy,
}

/// What all priorities of a table are arranged from.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) hosts: &'a [Host],
    pub(crate) settings: &'a Settings,
    /// How the young ones grow, and the time it is.
    pub(crate) young: Option<(SlowStart, Duration)>,
}

/// The endpoints of one priority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tier {
    healthy: Vec<Share>,
    degraded: Vec<Share>,
    circle: Option<Circle>,
    parts: Vec<Part>,
}

/// A group and how much of the priority's traffic goes to it and those before it.
#[derive(Clone, Debug)]
struct Share {
    sum: u64,
    /// Its place among all groups of the table.
    id: usize,
    group: Group,
}

impl Tier {
    /// Arranges one priority; `groups` counts the groups of the whole table.
    pub(crate) fn new(priority: usize, panic: bool, scope: Scope<'_>, groups: &mut usize) -> Self {
        let Scope { hosts, settings, young } = scope;
        let here = |host: &Host| host.priority as usize == priority;
        if settings.policy.is_by_hash() {
            let parts = parts(hosts, settings, &here, |h| panic || h.health() == Health::Healthy);
            let circle = Circle::new(&parts, hosts, settings.policy);
            return Self { circle, parts, ..Self::default() };
        }
        let mut side = |fit: &dyn Fn(&Host) -> bool| {
            let shares = localities(hosts, settings, &here, fit);
            let mut sum = 0_u64;
            let shared = shares.into_iter().filter(|(weight, places)| *weight > 0 && !places.is_empty());
            let groups = shared.map(|(weight, places)| {
                sum = sum.saturating_add(weight);
                *groups += 1;
                let group = Group::new(places, hosts, settings.policy, young);
                Share { sum, id: *groups - 1, group }
            });
            groups.collect::<Vec<_>>()
        };
        if panic {
            return Self { healthy: side(&|_| true), ..Self::default() };
        }
        let healthy = side(&|host| host.health() == Health::Healthy);
        let degraded = side(&|host| host.health() == Health::Degraded);
        Self { healthy, degraded, ..Self::default() }
    }

    fn side(&self, side: Side) -> &[Share] {
        match side {
            Side::Degraded => &self.degraded,
            Side::Healthy => &self.healthy,
        }
    }

    /// The group that takes a request, and its place among all groups.
    pub(crate) fn group(&self, side: Side, random: &mut dyn FnMut() -> u64) -> Option<(usize, &Group)> {
        let shares = self.side(side);
        let place = match shares {
            [] => return None,
            [_] => 0,
            [.., last] => {
                let drawn = random() % last.sum.max(1);
                shares.partition_point(|share| share.sum <= drawn)
            }
        };
        shares.get(place).map(|share| (share.id, &share.group))
    }

    /// The groups of a side, each with its part of the traffic.
    pub(crate) fn groups(&self, side: Side) -> impl Iterator<Item = (f64, &Group)> {
        let shares = self.side(side);
        let total = shares.last().map_or(1, |share| share.sum).max(1) as f64;
        let mut before = 0;
        shares.iter().map(move |share| {
            let part = share.sum - std::mem::replace(&mut before, share.sum);
            (part as f64 / total, &share.group)
        })
    }

    /// The place of the endpoint for a hash.
    pub(crate) fn by_hash(
        &self,
        hash: u64,
        attempt: u32,
        hosts: &[Host],
        bound: Option<u32>,
    ) -> Option<usize> {
        let found = self.circle.as_ref()?.choose(hash, attempt)?;
        match bound {
            None => Some(found),
            Some(factor) => Some(bounded::choose(found, hash, &self.parts, hosts, factor)),
        }
    }
}

/// The fit endpoints of a priority, as one group or one for each locality, each with its weight.
fn localities(
    hosts: &[Host],
    settings: &Settings,
    here: &dyn Fn(&Host) -> bool,
    fit: &dyn Fn(&Host) -> bool,
) -> Vec<(u64, Vec<usize>)> {
    let places = |locality: Option<usize>| -> Vec<usize> {
        let of = |host: &Host| here(host) && locality.is_none_or(|l| host.locality == l) && fit(host);
        hosts.iter().enumerate().filter(|(_, host)| of(host)).map(|(place, _)| place).collect()
    };
    let mut groups: Vec<(u64, Vec<usize>)> = Vec::new();
    for (locality, weight) in settings.localities.iter().flatten().enumerate() {
        let fit = places(Some(locality));
        let all = hosts.iter().filter(|host| here(host) && host.locality == locality).count();
        let available = fit.len() as f64 / all.max(1) as f64 * f64::from(settings.overprovisioning) / 100.0;
        groups.push(((f64::from(*weight) * available.min(1.0) * SCALE) as u64, fit));
    }
    match groups.iter().any(|(weight, _)| *weight > 0) {
        true => groups,
        false => vec![(1, places(None))],
    }
}

/// The parts of the fit endpoints, which make up one but for what localities without any have; a locality without a
/// weight has none.
fn parts(
    hosts: &[Host],
    settings: &Settings,
    here: &dyn Fn(&Host) -> bool,
    fit: impl Fn(&Host) -> bool,
) -> Vec<Part> {
    let fit: Vec<(usize, &Host)> =
        hosts.iter().enumerate().filter(|(_, host)| here(host) && fit(host)).collect();
    let weight = |host: &Host| f64::from(host.weight.max(1));
    let mut parts = Vec::new();
    let mut add = |of: &dyn Fn(&Host) -> bool, share: f64| {
        let sum: f64 = fit.iter().filter(|(_, host)| of(host)).map(|(_, host)| weight(host)).sum();
        let all = fit.iter().filter(|(_, host)| of(host));
        parts.extend(all.map(|(place, host)| Part { place: *place, weight: weight(host) * share / sum }));
    };
    match &settings.localities {
        None => add(&|_| true, 1.0),
        Some(weights) => {
            // One of this priority counts even when none of its endpoints is fit.
            let is_here = |locality: usize| hosts.iter().any(|h| here(h) && h.locality == locality);
            let present: Vec<(usize, u32)> =
                weights.iter().copied().enumerate().filter(|(locality, _)| is_here(*locality)).collect();
            let total: f64 = present.iter().map(|(_, weight)| f64::from(*weight)).sum();
            for (locality, weight) in present.into_iter().filter(|(_, weight)| *weight > 0) {
                add(&|host| host.locality == locality, f64::from(weight) / total);
            }
        }
    }
    parts
}
