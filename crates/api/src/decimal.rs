//! Numbers with a fraction that can be compared and hashed.

use std::hash::{Hash, Hasher};

/// A finite number, such as a share in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Decimal(f64);

impl Decimal {
    /// Takes a finite number; None of anything else.
    pub fn new(value: f64) -> Option<Self> {
        // Minus zero becomes zero, so that equal numbers have equal bits.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

// Every value is finite, so each equals itself.
impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_are_taken() {
        assert_eq!(Decimal::new(f64::NAN), None);
        assert_eq!(Decimal::new(f64::INFINITY), None);
        assert_eq!(Decimal::new(12.5).map(Decimal::value), Some(12.5));
        assert_eq!(Decimal::new(-0.0).map(|d| d.value().to_bits()), Some(0));
    }
}
