//! The hashes by which an endpoint is chosen, bit for bit those of Envoy.

use xxhash_rust::xxh64::xxh64;

/// xxHash of 64 bits, without a seed: what keys and values are hashed by.
pub fn hash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// The same of several values: each is the seed of the next.
pub fn hash_all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    values.into_iter().fold(0, |seed, value| xxh64(value, seed))
}

pub(crate) fn seeded(bytes: &[u8], seed: u64) -> u64 {
    xxh64(bytes, seed)
}

/// Joins the hash so far with that of a further rule; turned by a bit, so that two equal rules do not cancel out.
pub fn join(before: Option<u64>, new: u64) -> u64 {
    before.map_or(0, |before| before.rotate_left(1)) ^ new
}

/// MurmurHash2 of 64 bits as libstdc++ has it, with its seed.
pub(crate) fn murmur(bytes: &[u8]) -> u64 {
    const MUL: u64 = (0xc6a4_a793 << 32) + 0x5bd1_e995;
    const SEED: u64 = 0xc70f_6907;
    let mix = |v: u64| v ^ (v >> 47);
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MUL);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        hash ^= mix(word.wrapping_mul(MUL)).wrapping_mul(MUL);
        hash = hash.wrapping_mul(MUL);
    }
    if !words.remainder().is_empty() {
        hash ^= words.remainder().iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        hash = hash.wrapping_mul(MUL);
    }
    mix(mix(hash).wrapping_mul(MUL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(b"foo"), 0x33bf_00a8_59c4_ba3f);
        assert_eq!(hash_all([b"foo".as_slice()]), hash(b"foo"));
        assert_ne!(hash_all([b"foo".as_slice(), b"bar"]), hash_all([b"bar".as_slice(), b"foo"]));
        assert_eq!(murmur(b"hello"), 2_762_169_579_135_187_400);
    }

    #[test]
    fn equal_rules_do_not_cancel_each_other_out() {
        assert_eq!(join(None, 5), 5);
        assert_eq!(join(Some(1 << 63), 1), 0);
        assert_ne!(join(Some(5), 5), 0);
    }
}
