//! How much of the traffic each priority and locality gets, from how many of its endpoints are healthy.

/// What discovery says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Used only where the healthy ones do not suffice.
    Degraded,
    /// Takes no new requests, but for want of any other.
    Draining,
    /// Takes requests.
    Healthy,
    /// As if it were not there, but for want of any other.
    Unhealthy,
}

/// How many endpoints of a set there are, and are usable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) all: u32,
    pub(crate) healthy: u32,
    pub(crate) degraded: u32,
}

impl Count {
    pub(crate) fn add(&mut self, health: Health) {
        self.all += 1;
        match health {
            Health::Degraded => self.degraded += 1,
            Health::Draining | Health::Unhealthy => {}
            Health::Healthy => self.healthy += 1,
        }
    }
}

/// The share of `part` in `all` in percent, `factor` percent of it, at most 100.
pub(crate) fn available(part: u32, all: u32, factor: u32) -> u32 {
    if all == 0 {
        return 0;
    }
    let share = u64::from(part) * u64::from(factor) / u64::from(all);
    u32::try_from(share.min(100)).unwrap_or(100)
}

/// What one priority gets of the traffic, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// For its healthy endpoints.
    pub(crate) healthy: u32,
    /// For its degraded ones.
    pub(crate) degraded: u32,
    /// Whether health is disregarded here because too few endpoints are well.
    pub(crate) panic: bool,
}

/// Divides the traffic among priorities as Envoy does: each takes what its healthy endpoints can carry, with
/// `factor` percent of head-room, the rest spills to the next, then to degraded ones; a priority below the panic
/// threshold uses all its endpoints.
pub(crate) fn loads(counts: &[Count], factor: u32, panic_percent: u32) -> Vec<Load> {
    let healthy: Vec<u32> = counts.iter().map(|c| available(c.healthy, c.all, factor)).collect();
    let degraded: Vec<u32> = counts.iter().map(|c| available(c.degraded, c.all, factor)).collect();
    let total = healthy.iter().chain(&degraded).sum::<u32>().min(100);
    let mut loads = vec![Load::default(); counts.len()];
    if total < 100 {
        for (load, count) in loads.iter_mut().zip(counts) {
            let usable = (count.healthy + count.degraded) * 100;
            load.panic = panic_percent > 0 && usable < panic_percent * count.all.max(1);
        }
        if loads.iter().all(|load| load.panic) {
            return panicking(counts);
        }
    }
    if total == 0 {
        return loads;
    }
    let mut rest = 100;
    for (load, available) in loads.iter_mut().zip(&healthy) {
        load.healthy = rest.min(available * 100 / total);
        rest -= load.healthy;
    }
    for (load, available) in loads.iter_mut().zip(&degraded) {
        load.degraded = rest.min(available * 100 / total);
        rest -= load.degraded;
    }
    // What rounding left over goes to the first that can take anything.
    if let Some(first) = loads.iter_mut().find(|load| load.healthy > 0) {
        first.healthy += rest;
    } else if let Some(first) = loads.iter_mut().find(|load| load.degraded > 0) {
        first.degraded += rest;
    }
    loads
}

/// Divides the traffic among the priorities that are not left out, degraded endpoints counting as healthy ones;
/// none where none of them can take any.
pub(crate) fn spread(counts: &[Count], factor: u32, without: &[bool]) -> Option<Vec<Load>> {
    let of = |(count, without): (&Count, &bool)| match without {
        true => 0,
        false => available(count.healthy, count.all, factor) + available(count.degraded, count.all, factor),
    };
    let available: Vec<u32> = counts.iter().zip(without).map(of).collect();
    let total = available.iter().sum::<u32>().min(100);
    if total == 0 {
        return None;
    }
    let mut rest = 100;
    let mut loads = vec![Load::default(); counts.len()];
    // What rounding left over goes round once more, from the first on.
    while rest > 0 {
        for (load, available) in loads.iter_mut().zip(&available) {
            let part = rest.min(available * 100 / total);
            load.healthy += part;
            rest -= part;
        }
    }
    Some(loads)
}

/// Every priority is in panic: traffic follows the number of endpoints.
fn panicking(counts: &[Count]) -> Vec<Load> {
    let all: u32 = counts.iter().map(|c| c.all).sum();
    let mut rest = 100;
    let mut loads: Vec<Load> = counts
        .iter()
        .map(|count| {
            let healthy = (count.all * 100).checked_div(all).map_or(0, |share| rest.min(share));
            rest -= healthy;
            Load { healthy, degraded: 0, panic: true }
        })
        .collect();
    if let Some(first) = loads.iter_mut().find(|load| load.healthy > 0) {
        first.healthy += rest;
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(all: u32, healthy: u32) -> Count {
        Count { all, healthy, degraded: 0 }
    }

    fn shares(counts: &[Count], panic: u32) -> Vec<u32> {
        loads(counts, 140, panic).iter().map(|load| load.healthy).collect()
    }

    #[test]
    fn a_priority_spills_only_when_its_head_room_is_used_up() {
        for (well, expected) in
            [(100, [100, 0]), (72, [100, 0]), (71, [99, 1]), (50, [70, 30]), (25, [35, 65]), (0, [0, 100])]
        {
            assert_eq!(shares(&[healthy(100, well), healthy(100, 100)], 50), expected, "{well} healthy");
        }
    }

    #[test]
    fn what_is_too_little_for_all_is_scaled_up() {
        assert_eq!(shares(&[healthy(100, 25), healthy(100, 25)], 0), [50, 50]);
        assert_eq!(shares(&[healthy(100, 5), healthy(100, 0), healthy(100, 10)], 0), [34, 0, 66]);
    }

    #[test]
    fn below_the_threshold_everywhere_health_is_disregarded() {
        let loads = loads(&[healthy(10, 1), healthy(30, 1)], 140, 50);

        assert!(loads.iter().all(|load| load.panic));
        assert_eq!(loads.iter().map(|load| load.healthy).collect::<Vec<_>>(), [25, 75]);
    }

    #[test]
    fn without_a_threshold_nobody_panics() {
        assert_eq!(loads(&[healthy(10, 0)], 140, 0), [Load::default()]);
        assert_eq!(loads(&[], 140, 50), []);
    }

    #[test]
    fn degraded_endpoints_take_what_the_healthy_cannot() {
        let counts = [Count { all: 100, healthy: 25, degraded: 25 }];

        let loads = loads(&counts, 140, 0);

        assert_eq!((loads[0].healthy, loads[0].degraded), (50, 50));
    }
}
