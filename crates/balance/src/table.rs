//! The endpoints of a cluster, arranged so that a choice is a few look-ups.

#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::group::Group;
use crate::health::{Count, Health, available, loads};
use crate::host::Host;

/// Endpoints of a priority beyond this are never chosen.
const MAX_PRIORITY: usize = 128;

/// How an endpoint is chosen among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The one with the fewest requests of so many drawn.
    LeastRequest {
        /// How many are drawn, at least 2.
        choices: u32,
    },
    /// Any, by weight.
    Random,
    /// Each in its turn, by weight.
    RoundRobin,
}

/// How a table is arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How an endpoint is chosen among equals.
    pub policy: Policy,
    /// Below this share of usable endpoints, in percent, health is disregarded; 0 for never.
    pub panic_percent: u32,
    /// How much healthy endpoints can carry beside their own share, in percent; Envoy's is 140.
    pub overprovisioning: u32,
    /// The weights of the localities; none where localities have no say.
    pub localities: Option<Vec<u32>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { policy: Policy::RoundRobin, panic_percent: 50, overprovisioning: 140, localities: None }
    }
}

/// Which endpoints a retry would rather not take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Avoid<'a> {
    /// Their places in the table.
    pub hosts: &'a [usize],
    /// How often another is looked for before the choice stands.
    pub attempts: u32,
}

/// A worker's place in the rotations of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    positions: SmallVec<[u32; 4]>,
    start: u32,
}

impl Cursor {
    /// Begins somewhere in the rotation, so that workers do not march in step.
    pub fn starting_at(start: u32) -> Self {
        Self { positions: SmallVec::new(), start }
    }

    fn position(&mut self, group: usize) -> &mut u32 {
        if self.positions.len() <= group {
            self.positions.resize(group + 1, self.start);
        }
        &mut self.positions[group]
    }
}

/// The endpoints of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Table {
    hosts: Vec<Host>,
    groups: Vec<Share>,
    total: u64,
    policy: Option<Policy>,
}

/// A group and how much of the traffic goes to it and those before it.
#[derive(Clone, Debug)]
struct Share {
    sum: u64,
    group: Group,
}

impl Table {
    /// Arranges endpoints.
    pub fn new(hosts: Vec<Host>, settings: &Settings) -> Self {
        // A number of a priority is foreign input: one beyond any use is not to cost memory, nor to be reached.
        let highest = hosts.iter().map(|host| host.priority as usize).filter(|p| *p <= MAX_PRIORITY).max();
        let priorities = highest.map_or(0, |highest| highest + 1);
        let mut counts = vec![Count::default(); priorities];
        for host in &hosts {
            if let Some(count) = counts.get_mut(host.priority as usize) {
                count.add(host.health);
            }
        }
        let mut table = Self { hosts, groups: Vec::new(), total: 0, policy: Some(settings.policy) };
        let loads = loads(&counts, settings.overprovisioning, settings.panic_percent);
        for (priority, load) in loads.into_iter().enumerate() {
            if load.panic {
                table.add(priority, u64::from(load.healthy), settings, |_| true);
                continue;
            }
            table.add(priority, u64::from(load.healthy), settings, |health| health == Health::Healthy);
            table.add(priority, u64::from(load.degraded), settings, |health| health == Health::Degraded);
        }
        table
    }

    /// Adds the endpoints of a priority that are fit, as one group or one for each locality.
    fn add(&mut self, priority: usize, load: u64, settings: &Settings, is_fit: impl Fn(Health) -> bool) {
        if load == 0 {
            return;
        }
        let places = |locality: Option<usize>| -> Vec<usize> {
            let of = |host: &Host| {
                host.priority as usize == priority && locality.is_none_or(|l| host.locality == l)
            };
            let fit = self.hosts.iter().enumerate().filter(|(_, host)| of(host) && is_fit(host.health));
            fit.map(|(place, _)| place).collect()
        };
        let mut groups: Vec<(u64, Vec<usize>)> = Vec::new();
        for (locality, weight) in settings.localities.iter().flatten().enumerate() {
            let of = |host: &&Host| host.priority as usize == priority && host.locality == locality;
            let (fit, all) = (places(Some(locality)), self.hosts.iter().filter(of).count());
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let share = available(count(fit.len()), count(all), settings.overprovisioning);
            groups.push((u64::from(*weight) * u64::from(share), fit));
        }
        let weights: u64 = groups.iter().map(|(weight, _)| weight).sum();
        if weights == 0 {
            groups = vec![(1, places(None))];
        }
        let weights: u64 = groups.iter().map(|(weight, _)| weight).sum();
        for (weight, places) in groups {
            // Scaled, so that a small share of a small load is not lost in rounding.
            let share = (u128::from(load) * u128::from(weight) * 1_000_000 / u128::from(weights)).max(1);
            if weight > 0 && !places.is_empty() {
                self.total = self.total.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
                let group = Group::new(places, &self.hosts, settings.policy);
                self.groups.push(Share { sum: self.total, group });
            }
        }
    }

    /// The endpoints, in the order they were given.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The place of the endpoint that takes the next request; none where none is usable.
    pub fn pick(
        &self,
        cursor: &mut Cursor,
        random: &mut dyn FnMut() -> u64,
        avoid: Avoid<'_>,
    ) -> Option<usize> {
        let place = match self.groups.len() {
            0 => return None,
            1 => 0,
            _ => {
                let drawn = random() % self.total.max(1);
                self.groups.partition_point(|share| share.sum <= drawn)
            }
        };
        let group = &self.groups.get(place)?.group;
        let mut choose = || match self.policy? {
            Policy::LeastRequest { choices } => group.least(&self.hosts, choices, random),
            Policy::Random => group.any(random()),
            Policy::RoundRobin => group.next(cursor.position(place), random),
        };
        let mut found = choose()?;
        for _ in 0..avoid.attempts {
            if !avoid.hosts.contains(&found) {
                return Some(found);
            }
            found = choose()?;
        }
        if avoid.attempts > 0 && avoid.hosts.contains(&found) {
            // Few endpoints and bad luck: a retry must not depend on it.
            let other = group.hosts().iter().find(|place| !avoid.hosts.contains(place));
            return Some(other.copied().unwrap_or(found));
        }
        Some(found)
    }

    /// The share of the traffic each endpoint can expect while all are equally busy, between 0 and 1.
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.hosts.len()];
        let mut before = 0;
        for Share { sum, group } in &self.groups {
            let part = (sum - before) as f64 / self.total.max(1) as f64;
            before = *sum;
            let weight =
                |place: &usize| self.hosts.get(*place).map_or(0.0, |host| f64::from(host.weight.max(1)));
            let total: f64 = group.hosts().iter().map(weight).sum();
            for place in group.hosts() {
                if let Some(share) = shares.get_mut(*place) {
                    *share += part * weight(place) / total;
                }
            }
        }
        shares
    }
}
