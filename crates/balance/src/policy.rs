//! What a cluster says about the choice of its endpoints.

use std::time::Duration;

use crate::health::Health;

/// How an endpoint is chosen among equals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// The one with the fewest requests of so many drawn.
    LeastRequest {
        /// How many are drawn, at least 2.
        choices: u32,
        /// How much being busy counts against a weight, where weights differ: 0 not at all, 1 in full.
        bias: f64,
    },
    /// By a hash, from a table that each endpoint has permuted for itself.
    Maglev {
        /// The entries of the table, a prime number.
        size: u32,
    },
    /// Any, by weight.
    Random,
    /// By a hash, from a ring on which each endpoint has many places.
    RingHash {
        /// The fewest places of the ring.
        least: u64,
        /// The most.
        most: u64,
        /// How a place is found.
        function: HashFunction,
    },
    /// Each in its turn, by weight.
    RoundRobin,
}

impl Policy {
    /// Least request as it is where nothing else is said: the less busy of two.
    pub const LEAST_REQUEST: Self = Self::LeastRequest { choices: 2, bias: 1.0 };
    /// Maglev with Envoy's usual table.
    pub const MAGLEV: Self = Self::Maglev { size: 65_537 };
    /// Ring hash with Envoy's usual ring.
    pub const RING_HASH: Self = Self::RingHash { least: 1024, most: 8 << 20, function: HashFunction::Xx };

    /// Whether the choice follows from a hash.
    pub fn is_by_hash(self) -> bool {
        matches!(self, Self::Maglev { .. } | Self::RingHash { .. })
    }
}

/// How an endpoint's places on a ring are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// MurmurHash2 of 64 bits, as libstdc++ has it.
    Murmur,
    /// xxHash of 64 bits.
    Xx,
}

/// How an endpoint that is new gets its share by and by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// After this time it has its whole share.
    pub window: Duration,
    /// How the share grows: 1 evenly, more than 1 sooner.
    pub aggression: f64,
    /// The least share it begins with, between 0 and 1.
    pub least: f64,
}

impl SlowStart {
    /// The part of its weight that an endpoint of this age has.
    pub fn factor(&self, age: Duration) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        let passed = age.max(Duration::from_millis(1)).as_secs_f64() / self.window.as_secs_f64();
        let grown = if self.aggression == 1.0 { passed } else { passed.powf(1.0 / self.aggression) };
        grown.max(self.least).min(1.0)
    }
}

/// How a table is arranged.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How an endpoint is chosen among equals.
    pub policy: Policy,
    /// Below this share of usable endpoints, in percent, health is disregarded; 0 for never.
    pub panic_percent: u32,
    /// Whether nothing is chosen there, instead of anything.
    pub fails_on_panic: bool,
    /// How much healthy endpoints can carry beside their own share, in percent; Envoy's is 140.
    pub overprovisioning: u32,
    /// The weights of the localities; none where localities have no say.
    pub localities: Option<Vec<u32>>,
    /// How new endpoints get their share by and by.
    pub slow_start: Option<SlowStart>,
    /// The share of its due, in percent, beyond which an endpoint found by hash is passed over; none for never.
    pub bounded_load: Option<u32>,
    /// In what health an endpoint may be that is asked for by its address.
    pub named: Vec<Health>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::RoundRobin,
            panic_percent: 50,
            fails_on_panic: false,
            overprovisioning: 140,
            localities: None,
            slow_start: None,
            bounded_load: None,
            named: vec![Health::Healthy, Health::Degraded],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(aggression: f64, least: f64, seconds: u64) -> u32 {
        let slow = SlowStart { window: Duration::from_secs(10), aggression, least };
        (slow.factor(Duration::from_secs(seconds)) * 100.0).round() as u32
    }

    #[test]
    fn a_new_endpoint_grows_into_its_share() {
        assert_eq!([0, 1, 5, 9, 10, 60].map(|s| percent(1.0, 0.1, s)), [10, 10, 50, 90, 100, 100]);
        assert_eq!([1, 5].map(|s| percent(2.0, 0.1, s)), [32, 71]);
        assert_eq!(percent(0.5, 0.0, 5), 25);
    }
}
