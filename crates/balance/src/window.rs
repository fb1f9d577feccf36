//! How many things began within a time that moves along.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Into how many parts the time is divided: what began in one part is forgotten together, as in Envoy.
const PARTS: u32 = 10;

/// The present part, and those before it that still count.
const SLOTS: usize = 11;

/// Counts what began within a time: all workers write, all read, nobody waits.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// In each the number of a part in the upper half, and what began in it in the lower.
    slots: [AtomicU64; SLOTS],
}

impl Window {
    /// Counts one more.
    pub(crate) fn add(&self, interval: Duration, now: Duration) {
        let part = part(interval, now);
        let place = usize::try_from(part).unwrap_or(0) % SLOTS;
        let Some(slot) = self.slots.get(place) else { return };
        let fresh = u64::from(part) << 32;
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            let (of, count) = split(held);
            // What is of another part is too old to count, or was counted by another interval.
            Some(if of == part { fresh | u64::from(count.saturating_add(1)) } else { fresh | 1 })
        });
    }

    /// How many there were.
    pub(crate) fn count(&self, interval: Duration, now: Duration) -> u32 {
        let part = part(interval, now);
        let held = self.slots.iter().map(|slot| split(slot.load(Ordering::Relaxed)));
        let lately = held.filter(|(of, _)| part.wrapping_sub(*of) <= PARTS);
        lately.fold(0, |sum, (_, count)| sum.saturating_add(count))
    }
}

/// The number of the part it is now. Numbers come again, but not before all else is long forgotten.
fn part(interval: Duration, now: Duration) -> u32 {
    let long = (interval / PARTS).as_nanos().max(1);
    u32::try_from((now.as_nanos() / long) & u128::from(u32::MAX)).unwrap_or(0)
}

fn split(held: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    (half(held >> 32), half(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_began_counts_for_the_whole_time_and_at_most_a_part_longer() {
        let window = Window::default();
        (0..3).for_each(|_| window.add(SECOND, at(5_050)));
        window.add(SECOND, at(5_550));

        let counts = [5_550, 5_999, 6_050, 6_099, 6_100, 6_599, 6_600].map(|ms| window.count(SECOND, at(ms)));

        assert_eq!(counts, [4, 4, 4, 4, 1, 1, 0]);
    }

    #[test]
    fn what_was_counted_long_ago_makes_room() {
        let window = Window::default();
        for ms in (0..50_000).step_by(70) {
            window.add(SECOND, at(ms));
        }

        assert!((14..=16).contains(&window.count(SECOND, at(50_000))));
        assert_eq!(window.count(SECOND, at(500_000)), 0);
    }

    #[test]
    fn another_interval_begins_anew() {
        let window = Window::default();
        (0..9).for_each(|_| window.add(SECOND, at(100_000)));

        let longer = Duration::from_secs(60);
        window.add(longer, at(100_001));

        assert_eq!(window.count(longer, at(100_001)), 1);
        assert_eq!(window.count(Duration::from_nanos(3), at(100_001)), 0);
    }
}
