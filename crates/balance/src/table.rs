//! The endpoints of a cluster, arranged so that a choice is a few look-ups.

#[cfg(test)]
mod tests;

use std::time::Duration;

use base::Address;
use smallvec::SmallVec;

use crate::health::{Count, Load, loads, spread};
use crate::host::Host;
use crate::policy::{Policy, Settings};
use crate::tier::{Scope, Side, Tier};

/// Endpoints of a priority beyond this are never chosen.
const MAX_PRIORITY: usize = 128;

/// Which endpoints a retry would rather not take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Avoid<'a> {
    /// Their places in the table, in the order they were tried.
    pub hosts: &'a [usize],
    /// How often another is looked for before the choice stands.
    pub attempts: u32,
}

/// What one choice depends on beside the table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// The hash of what must stay together; none for a random one.
    pub hash: Option<u64>,
    /// Which endpoints a retry would rather not take.
    pub avoid: Avoid<'a>,
    /// The endpoints that were tried so far, in order, where that moves a retry to other priorities.
    pub tried: &'a [usize],
    /// After how many of them their priorities are left out; none for never.
    pub priority_frequency: Option<u32>,
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
    settings: Settings,
    counts: Vec<Count>,
    loads: Vec<Load>,
    tiers: Vec<Tier>,
    /// Whether some endpoint has not yet grown into its share.
    is_young: bool,
}

impl Table {
    /// Arranges endpoints, none of them young.
    pub fn new(hosts: Vec<Host>, settings: &Settings) -> Self {
        Self::arranged(hosts, settings.clone(), Duration::MAX)
    }

    /// The same endpoints as they are at this time: who is out, and how far the young ones have grown. To be asked
    /// for when the cluster's epoch has moved, and now and then while [`Table::is_young`].
    pub fn refreshed(&self, now: Duration) -> Self {
        Self::arranged(self.hosts.clone(), self.settings.clone(), now)
    }

    fn arranged(hosts: Vec<Host>, settings: Settings, now: Duration) -> Self {
        // A number of a priority is foreign input: one beyond any use is not to cost memory, nor to be reached.
        let highest = hosts.iter().map(|host| host.priority as usize).filter(|p| *p <= MAX_PRIORITY).max();
        let priorities = highest.map_or(0, |highest| highest + 1);
        let mut counts = vec![Count::default(); priorities];
        for host in &hosts {
            if let Some(count) = counts.get_mut(host.priority as usize) {
                count.add(host.health());
            }
        }
        let loads = loads(&counts, settings.overprovisioning, settings.panic_percent);
        let young = settings.slow_start.filter(|_| now != Duration::MAX).map(|slow| (slow, now));
        let is_young = young.is_some_and(|(slow, now)| hosts.iter().any(|h| h.state.age(now) < slow.window));
        let mut groups = 0;
        let tiers = loads
            .iter()
            .enumerate()
            .map(|(priority, load)| {
                let fails = load.panic && settings.fails_on_panic;
                let hosts: &[Host] = if fails { &[] } else { &hosts };
                Tier::new(priority, load.panic, Scope { hosts, settings: &settings, young }, &mut groups)
            })
            .collect();
        Self { hosts, settings, counts, loads, tiers, is_young }
    }

    /// The endpoints, in the order they were given.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Whether some endpoint has not yet grown into its share.
    pub fn is_young(&self) -> bool {
        self.is_young
    }

    /// Whether health is disregarded in some priority that gets traffic.
    pub fn is_in_panic(&self) -> bool {
        self.loads.iter().any(|load| load.panic && load.healthy > 0)
    }

    /// The place of the endpoint at an address, as a session asks for it, where its health allows it.
    pub fn named(&self, address: &Address) -> Option<usize> {
        let place = self.hosts.iter().position(|host| host.address == *address)?;
        let host = self.hosts.get(place)?;
        self.settings.named.contains(&host.health()).then_some(place)
    }

    /// The place of the endpoint that takes a request; none where none is usable.
    pub fn choose(
        &self,
        cursor: &mut Cursor,
        random: &mut dyn FnMut() -> u64,
        choice: Choice<'_>,
    ) -> Option<usize> {
        if self.settings.policy.is_by_hash() {
            return self.by_hash(choice.hash.unwrap_or_else(random), choice);
        }
        let (tier, side) = self.tier(choice, random)?;
        let (id, group) = tier.group(side, random)?;
        let mut one = || match self.settings.policy {
            Policy::LeastRequest { choices, bias } => group.least(&self.hosts, (choices, bias), random),
            Policy::RoundRobin => group.next(cursor.position(id), random),
            Policy::Maglev { .. } | Policy::Random | Policy::RingHash { .. } => group.any(random()),
        };
        let avoid = choice.avoid;
        let mut found = one()?;
        for _ in 0..avoid.attempts {
            if !avoid.hosts.contains(&found) {
                return Some(found);
            }
            found = one()?;
        }
        if avoid.attempts > 0 && avoid.hosts.contains(&found) {
            // Few endpoints and bad luck: a retry must not depend on it.
            let other = group.hosts().iter().find(|place| !avoid.hosts.contains(place));
            return Some(other.copied().unwrap_or(found));
        }
        Some(found)
    }

    /// The endpoint for a hash, which also draws the priority.
    fn by_hash(&self, hash: u64, choice: Choice<'_>) -> Option<usize> {
        let (tier, _) = self.tier(choice, &mut || hash)?;
        let attempts = choice.avoid.attempts;
        let mut found = None;
        for attempt in 0..=attempts {
            found = Some(tier.by_hash(hash, attempt, &self.hosts, self.settings.bounded_load)?);
            if found.is_none_or(|place| !choice.avoid.hosts.contains(&place)) {
                break;
            }
        }
        found
    }

    /// The priority a request goes to, and whether to its healthy or its degraded endpoints.
    fn tier(&self, choice: Choice<'_>, random: &mut dyn FnMut() -> u64) -> Option<(&Tier, Side)> {
        if let (None, [tier], [load]) = (choice.priority_frequency, &*self.tiers, &*self.loads)
            && load.degraded == 0
        {
            return Some((tier, Side::Healthy));
        }
        let moved;
        let loads = match choice.priority_frequency {
            Some(frequency) if choice.tried.len() >= frequency as usize => {
                moved = self.moved(choice.tried, frequency);
                &moved
            }
            _ => &self.loads,
        };
        let drawn = u32::try_from(random() % 100).unwrap_or(0) + 1;
        let mut sum = 0;
        for (tier, load) in self.tiers.iter().zip(loads) {
            sum += load.healthy;
            if drawn <= sum {
                return Some((tier, Side::Healthy));
            }
        }
        for (tier, load) in self.tiers.iter().zip(loads) {
            sum += load.degraded;
            if drawn <= sum {
                return Some((tier, Side::Degraded));
            }
        }
        None
    }

    /// The loads of the priorities without those that were tried, in portions of so many.
    fn moved(&self, tried: &[usize], frequency: u32) -> Vec<Load> {
        let mut without = vec![false; self.counts.len()];
        let mut loads = None;
        for portion in tried.chunks_exact((frequency as usize).max(1)) {
            let priorities = portion.iter().filter_map(|place| self.hosts.get(*place)).map(|h| h.priority);
            for priority in priorities {
                if let Some(flag) = without.get_mut(priority as usize) {
                    *flag = true;
                }
            }
            let factor = self.settings.overprovisioning;
            loads = spread(&self.counts, factor, &without).or_else(|| {
                // All were tried: begin anew with all.
                without.fill(false);
                spread(&self.counts, factor, &without)
            });
        }
        loads.unwrap_or_else(|| self.loads.clone())
    }

    /// The share of the traffic each endpoint can expect while all are equally busy, between 0 and 1.
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.hosts.len()];
        let all: u32 = self.loads.iter().map(|load| load.healthy + load.degraded).sum();
        for (tier, load) in self.tiers.iter().zip(&self.loads) {
            for (side, percent) in [(Side::Healthy, load.healthy), (Side::Degraded, load.degraded)] {
                let part = f64::from(percent) / f64::from(all.max(1));
                for (within, group) in tier.groups(side) {
                    let weight = |place: &usize| {
                        self.hosts.get(*place).map_or(0.0, |host| f64::from(host.weight.max(1)))
                    };
                    let total: f64 = group.hosts().iter().map(weight).sum();
                    for place in group.hosts() {
                        if let Some(share) = shares.get_mut(*place) {
                            *share += part * within * weight(place) / total;
                        }
                    }
                }
            }
        }
        shares
    }
}
