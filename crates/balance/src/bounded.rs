//! Choice by hash with a bound on how busy the chosen one may be.

use crate::circle::Part;
use crate::host::Host;

/// The endpoint for a hash, unless it has more than `factor` percent of its due: then the first of the others that
/// has not, in an order that follows from the hash.
pub(crate) fn choose(found: usize, hash: u64, parts: &[Part], hosts: &[Host], factor: u32) -> usize {
    let active = |place: usize| hosts.get(place).map_or(0, |host| host.state.active_requests());
    let overall: u64 = parts.iter().map(|part| u64::from(active(part.place))).sum();
    let slots = ((overall + 1) * u64::from(factor)).div_ceil(100);
    let overload = |part: &Part| {
        let own = (slots as f64 * part.weight).ceil().max(1.0);
        f64::from(active(part.place)) / own
    };
    let Some(first) = parts.iter().find(|part| part.place == found) else { return found };
    let mut least = (overload(first), found);
    if least.0 <= 1.0 {
        return found;
    }
    let mut order: Vec<usize> = (0..parts.len()).collect();
    let mut twister = Twister::new(hash);
    for i in 0..order.len() {
        let j = i + twister.below(order.len() - i);
        order.swap(i, j);
        let Some(part) = order.get(i).and_then(|k| parts.get(*k)).filter(|part| part.place != found) else {
            continue;
        };
        let load = overload(part);
        if load <= 1.0 {
            return part.place;
        }
        if load < least.0 {
            least = (load, part.place);
        }
    }
    least.1
}

/// The Mersenne Twister of 32 bits (MT19937), by which Envoy shuffles here.
struct Twister {
    state: Vec<u32>,
    next: usize,
}

impl Twister {
    const LENGTH: usize = 624;

    fn new(seed: u64) -> Self {
        // A seed is the low half of the hash.
        let mut word = (seed & u64::from(u32::MAX)) as u32;
        let mut state = Vec::with_capacity(Self::LENGTH);
        for i in 0..Self::LENGTH as u32 {
            if i > 0 {
                word = 1_812_433_253_u32.wrapping_mul(word ^ (word >> 30)).wrapping_add(i);
            }
            state.push(word);
        }
        Self { state, next: Self::LENGTH }
    }

    fn turn(&mut self) {
        for i in 0..Self::LENGTH {
            let word = |place: usize| self.state[place % Self::LENGTH];
            let joined = (word(i) & 0x8000_0000) | (word(i + 1) & 0x7fff_ffff);
            let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = word(i + 397) ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next >= Self::LENGTH {
            self.turn();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number below a bound, evenly.
    fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        let width = ((1_u64 << 32) / bound).max(1);
        loop {
            let drawn = u64::from(self.word()) / width;
            if drawn < bound {
                return usize::try_from(drawn).unwrap_or(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twister_is_the_standards() {
        let mut twister = Twister::new(5489);
        let words: Vec<u32> = (0..10_000).map(|_| twister.word()).collect();

        assert_eq!((words[0], words[9_999]), (3_499_211_612, 4_123_659_995));
    }
}
