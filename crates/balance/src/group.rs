//! A set of endpoints that one choice is made among.

use std::time::Duration;

use crate::host::Host;
use crate::policy::{Policy, SlowStart};

/// Up to so many turns a rotation is laid out in advance; beyond, weighted turns are drawn.
const TURNS: u64 = 4096;
/// What a whole weight counts where parts of weights do.
const WHOLE: f64 = 1000.0;

/// Some hosts of a table, by their places, and how to choose among them.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    hosts: Box<[usize]>,
    /// The sum of the weights up to and with each host; empty where all weigh the same.
    sums: Box<[u64]>,
    /// The order of a rotation; empty where every host comes once, or too many turns were needed.
    turns: Box<[u32]>,
}

impl Group {
    pub(crate) fn new(
        hosts: Vec<usize>,
        all: &[Host],
        policy: Policy,
        young: Option<(SlowStart, Duration)>,
    ) -> Self {
        let weights: Vec<u64> =
            hosts.iter().map(|i| all.get(*i).map_or(1, |host| weight(host, young))).collect();
        let even = weights.windows(2).all(|pair| pair.first() == pair.last());
        let turns = if even || policy != Policy::RoundRobin { Vec::new() } else { rotation(&weights) };
        let sums = match even {
            true => Vec::new(),
            false => weights
                .iter()
                .scan(0_u64, |sum, weight| {
                    *sum = sum.saturating_add(*weight);
                    Some(*sum)
                })
                .collect(),
        };
        Self { hosts: hosts.into(), sums: sums.into(), turns: turns.into() }
    }

    pub(crate) fn hosts(&self) -> &[usize] {
        &self.hosts
    }

    /// The next in rotation.
    pub(crate) fn next(&self, position: &mut u32, random: &mut dyn FnMut() -> u64) -> Option<usize> {
        let turn = *position;
        *position = position.wrapping_add(1);
        if !self.turns.is_empty() {
            let place = self.turns.get(turn as usize % self.turns.len())?;
            return self.hosts.get(*place as usize).copied();
        }
        if self.sums.is_empty() {
            return self.hosts.get(turn as usize % self.hosts.len().max(1)).copied();
        }
        self.any(random())
    }

    /// One by weight.
    pub(crate) fn any(&self, random: u64) -> Option<usize> {
        let place = match self.sums.last() {
            Some(sum) => {
                let drawn = random % (*sum).max(1);
                self.sums.partition_point(|sum| *sum <= drawn)
            }
            None => usize::try_from(random % (self.hosts.len() as u64).max(1)).unwrap_or(0),
        };
        self.hosts.get(place).copied()
    }

    /// Of `choices` drawn the one with the fewest requests, the first of equals; where weights differ, one by its
    /// weight less what it is busy with.
    pub(crate) fn least(
        &self,
        all: &[Host],
        (choices, bias): (u32, f64),
        random: &mut dyn FnMut() -> u64,
    ) -> Option<usize> {
        if !self.sums.is_empty() {
            return self.biased(all, bias, random());
        }
        let mut best = self.any(random())?;
        if self.hosts.len() == 1 {
            return Some(best);
        }
        if choices == u32::MAX {
            return self.idlest(all, random());
        }
        for _ in 1..choices.max(2) {
            // A host compared with itself decides nothing; a few draws find another one.
            let other = (0..4).filter_map(|_| self.any(random())).find(|other| *other != best);
            let (Some(one), Some(two)) = (all.get(best), other.and_then(|other| all.get(other))) else {
                continue;
            };
            if two.state.active_requests() < one.state.active_requests() {
                best = other?;
            }
        }
        Some(best)
    }

    /// Of all the one with the fewest requests, the first of equals from a random one on.
    fn idlest(&self, all: &[Host], random: u64) -> Option<usize> {
        let start = usize::try_from(random % (self.hosts.len() as u64).max(1)).unwrap_or(0);
        let (before, from) = self.hosts.split_at_checked(start)?;
        let busy = |place: &&usize| all.get(**place).map_or(u32::MAX, |host| host.state.active_requests());
        from.iter().chain(before).min_by_key(busy).copied()
    }

    /// One by its weight divided by its requests, as far as the bias says.
    fn biased(&self, all: &[Host], bias: f64, random: u64) -> Option<usize> {
        let mut before = 0;
        let weights = self.hosts.iter().zip(&self.sums).map(|(place, sum)| {
            let weight = (*sum - std::mem::replace(&mut before, *sum)) as f64;
            let busy = all.get(*place).map_or(0, |host| host.state.active_requests());
            let busy = f64::from(busy) + 1.0;
            let divisor = if bias == 1.0 { busy } else { busy.powf(bias) };
            (*place, weight / divisor)
        });
        let weights: smallvec::SmallVec<[(usize, f64); 16]> = weights.collect();
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        // 53 bits are what a fraction between 0 and 1 can hold.
        let mut drawn = (random >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let found = weights.iter().find(|(_, weight)| {
            drawn -= weight;
            drawn < 0.0
        });
        found.or(weights.last()).map(|(place, _)| *place)
    }
}

/// The weight of an endpoint, as far as it has grown into it.
fn weight(host: &Host, young: Option<(SlowStart, Duration)>) -> u64 {
    let whole = host.weight.max(1);
    match young {
        None => u64::from(whole),
        Some((slow, now)) => {
            (f64::from(whole) * slow.factor(host.state.age(now)) * WHOLE).round().max(1.0) as u64
        }
    }
}

/// A smooth weighted rotation over places: each comes as often as its weight says, spread out evenly.
fn rotation(weights: &[u64]) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let total = weights.iter().fold(0_u64, |total, weight| total.saturating_add(weight / divisor));
    if total > TURNS {
        return Vec::new();
    }
    // Turn k of a host with weight w is due at (k + 1/2) / w: sorted by that, all turns are spread evenly.
    let mut due: Vec<(u64, u64, u32)> = Vec::new();
    for (place, weight) in weights.iter().enumerate() {
        let (weight, place) = (weight / divisor, u32::try_from(place).unwrap_or(u32::MAX));
        due.extend((0..weight).map(|k| (2 * k + 1, 2 * weight, place)));
    }
    due.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    due.into_iter().map(|(_, _, place)| place).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_spread_evenly() {
        assert_eq!(rotation(&[1, 3]), [1, 1, 0, 1]);
        assert_eq!(rotation(&[200, 400]), [1, 0, 1]);
        assert_eq!(rotation(&[1, 2, 4]).len(), 7);
    }

    #[test]
    fn a_rotation_too_long_is_drawn_instead() {
        assert!(rotation(&[1, 1_000_003]).is_empty());
    }
}
