//! Random numbers from a seed, so that who owns the seed can repeat a decision.

/// The next number of a sequence (SplitMix64).
///
/// ```
/// let mut seed = 7;
/// assert_ne!(base::random::next(&mut seed), base::random::next(&mut seed));
/// ```
pub fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
