//! `x-request-id`: a version 4 UUID whose version digit Envoy uses to say why a request is traced.

use std::fmt;

/// Where the digit stands.
const REASON: usize = 14;

/// Why a request is traced, as the fifteenth character of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceReason {
    /// `b`: its client asked for it.
    Client,
    /// `a`: configuration forces it.
    Forced,
    /// `4`: it is not traced.
    None,
    /// `9`: it was drawn.
    Sampled,
}

impl TraceReason {
    /// The digit.
    pub fn digit(self) -> u8 {
        match self {
            Self::Client => b'b',
            Self::Forced => b'a',
            Self::None => b'4',
            Self::Sampled => b'9',
        }
    }

    /// The reason an id gives; none where it is not a UUID or its digit says nothing.
    pub fn of(id: &[u8]) -> Option<Self> {
        if id.len() != 36 {
            return None;
        }
        match id.get(REASON)? {
            b'4' => Some(Self::None),
            b'9' => Some(Self::Sampled),
            b'a' => Some(Self::Forced),
            b'b' => Some(Self::Client),
            _ => None,
        }
    }
}

/// A request's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 36]);

impl RequestId {
    /// Makes an id of two random numbers, which the caller draws.
    pub fn of(high: u64, low: u64, reason: TraceReason) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let random = (u128::from(high) << 64) | u128::from(low);
        let random = random & !(0b11 << 62) | 0b10 << 62; // the variant of RFC 9562
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|place| !matches!(place, 8 | 13 | 18 | 23));
        for (place, shift) in places.zip((0..128).step_by(4).rev()) {
            text[place] = HEX[(random >> shift & 15) as usize];
        }
        text[REASON] = reason.digit();
        Self(text)
    }

    /// The id as a header's value.
    pub fn as_bytes(&self) -> &[u8; 36] {
        &self.0
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("invariant: hexadecimal digits and dashes")
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A given id that says another reason; none where it is not a UUID, which must then pass unchanged.
pub fn with_reason(id: &[u8], reason: TraceReason) -> Option<[u8; 36]> {
    TraceReason::of(id)?;
    let mut changed = <[u8; 36]>::try_from(id).ok()?;
    changed[REASON] = reason.digit();
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_whatever_the_numbers() {
        let ones = RequestId::of(u64::MAX, u64::MAX, TraceReason::None);
        let zeros = RequestId::of(0, 0, TraceReason::Sampled);
        let mixed = RequestId::of(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, TraceReason::None);

        assert_eq!(ones.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(zeros.as_str(), "00000000-0000-9000-8000-000000000000");
        assert_eq!(mixed.as_str(), "01234567-89ab-4def-bedc-ba9876543210");
    }

    #[test]
    fn the_reason_is_read_from_the_version_digit() {
        for reason in [TraceReason::Client, TraceReason::Forced, TraceReason::None, TraceReason::Sampled] {
            assert_eq!(TraceReason::of(RequestId::of(1, 2, reason).as_bytes()), Some(reason));
        }
        assert_eq!(TraceReason::of(b"my-own-id"), None);
        assert_eq!(TraceReason::of("ffffffff-ffff-1fff-bfff-ffffffffffff".as_bytes()), None);
    }

    #[test]
    fn a_foreign_id_keeps_all_but_its_digit() {
        let id = b"ffffffff-ffff-4fff-bfff-ffffffffffff";

        assert_eq!(with_reason(id, TraceReason::Forced), Some(*b"ffffffff-ffff-afff-bfff-ffffffffffff"));
        assert_eq!(with_reason(b"short", TraceReason::Forced), None);
    }
}
