//! Content digests: equal bytes, equal digest; the key under which slices and resources are shared.

use std::fmt;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3Default;

/// A 128-bit XXH3 digest of content; not meant to withstand an adversary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub u128);

impl Digest {
    /// Digests one run of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes))
    }

    /// Digests anything hashable, as long as its `Hash` is a function of its content.
    pub fn of_value<T: Hash + ?Sized>(value: &T) -> Self {
        let mut digester = Digester::default();
        value.hash(&mut digester);
        digester.digest()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Builds a [`Digest`] piece by piece; usable wherever a [`Hasher`] is.
#[derive(Clone, Default)]
pub struct Digester(Xxh3Default);

impl Digester {
    /// The digest of everything written so far.
    pub fn digest(&self) -> Digest {
        Digest(self.0.digest128())
    }
}

impl Hasher for Digester {
    fn finish(&self) -> u64 {
        self.0.digest()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_has_one_digest() {
        assert_eq!(Digest::of_value(&("a", 1)), Digest::of_value(&("a", 1)));
        assert_ne!(Digest::of_value(&("a", 1)), Digest::of_value(&("a", 2)));
    }
}
