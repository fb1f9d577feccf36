//! Choices that are the same for the same seed.

/// A stream of choices (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `$WEFT_SEED`, else one that nobody chose.
    ///
    /// # Panics
    /// When the variable is set and is no number.
    pub fn seed() -> u64 {
        match std::env::var("WEFT_SEED") {
            Ok(seed) => seed.parse().expect("WEFT_SEED is a number"),
            Err(_) => {
                u64::from(std::process::id()) << 32
                    | u64::from(std::time::UNIX_EPOCH.elapsed().map_or(0, |t| t.subsec_nanos()))
            }
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or_default()
    }

    /// Whether it is one of `in_many`.
    pub fn once_in(&mut self, in_many: usize) -> bool {
        self.below(in_many) == 0
    }

    /// One of several.
    pub fn of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[self.below(several.len())]
    }
}
