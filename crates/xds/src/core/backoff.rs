//! How long to wait before a broken stream is opened anew.

use std::time::Duration;

/// What the first random pause is drawn from.
const BASE: Duration = Duration::from_millis(100);

/// What no pause exceeds.
const MAX: Duration = Duration::from_secs(10);

/// Pauses that grow with each failure, none the first time, with full jitter.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Starts without a failure; equal seeds give equal pauses.
    pub(crate) fn new(seed: u64) -> Backoff {
        Backoff { failures: 0, random: seed }
    }

    /// Counts a failure and says how long to wait.
    pub(crate) fn pause(&mut self) -> Duration {
        let limit = match self.failures {
            0 => Duration::ZERO,
            failures => BASE.saturating_mul(1 << (failures - 1).min(16)).min(MAX),
        };
        self.failures = self.failures.saturating_add(1);
        limit.mul_f64(self.share())
    }

    /// Forgets all failures.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// A random share of one: splitmix64, which makes even neighbouring seeds unlike.
    fn share(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // 32 bits are held exactly, and far more than jitter needs.
        f64::from((mixed >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retry_is_immediate_and_no_pause_exceeds_ten_seconds() {
        let mut backoff = Backoff::new(7);

        let pauses: Vec<Duration> = (0..200).map(|_| backoff.pause()).collect();

        assert_eq!(pauses[0], Duration::ZERO);
        assert!(pauses[1] <= BASE && pauses[2] <= BASE * 2);
        assert!(pauses.iter().all(|pause| *pause <= MAX));
        assert!(pauses.iter().any(|pause| *pause > MAX / 2));
        backoff.reset();
        assert_eq!(backoff.pause(), Duration::ZERO);
    }

    #[test]
    fn proxies_with_different_seeds_come_back_at_different_moments() {
        let fifth = |seed| {
            (0..5).map(|_| Duration::ZERO).fold(Backoff::new(seed), |mut b, _| {
                b.pause();
                b
            })
        };

        assert_ne!(fifth(1).pause(), fifth(2).pause());
    }
}
