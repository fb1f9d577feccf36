//! The time formats `%START_TIME(…)%` takes: ISO 8601 by default, else strftime's common directives.

use std::time::Duration;

use crate::text::{self, Calendar};

/// A compiled time format.
#[derive(Clone, Debug)]
pub(crate) struct TimeFormat(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Clock,
    Date,
    Day,
    /// Fractions of a second, in so many digits.
    Fraction(u32),
    Hour,
    IsoMillis,
    Literal(char),
    Minute,
    Month,
    Second,
    SinceEpoch,
    Year,
}

impl TimeFormat {
    /// Compiles a format; none where it has a directive not known here. The empty one is ISO 8601 in milliseconds.
    pub(super) fn parse(format: &str) -> Option<Self> {
        if format.is_empty() {
            return Some(Self(vec![Piece::IsoMillis]));
        }
        let mut pieces = Vec::new();
        let mut chars = format.chars();
        while let Some(char) = chars.next() {
            if char != '%' {
                // A quote or a line end of the format's own would pass into JSON unescaped.
                if char.is_control() || matches!(char, '"' | '\\') {
                    return None;
                }
                pieces.push(Piece::Literal(char));
                continue;
            }
            match chars.next()? {
                '%' => pieces.push(Piece::Literal('%')),
                'd' => pieces.push(Piece::Day),
                'f' => pieces.push(Piece::Fraction(9)),
                'F' => pieces.push(Piece::Date),
                'H' => pieces.push(Piece::Hour),
                'm' => pieces.push(Piece::Month),
                'M' => pieces.push(Piece::Minute),
                's' => pieces.push(Piece::SinceEpoch),
                'S' => pieces.push(Piece::Second),
                'T' => pieces.push(Piece::Clock),
                'Y' => pieces.push(Piece::Year),
                'z' => pieces.extend("+0000".chars().map(Piece::Literal)),
                'Z' => pieces.extend("UTC".chars().map(Piece::Literal)),
                digit @ '1'..='9' => {
                    let digits = digit.to_digit(10)?;
                    (chars.next() == Some('f')).then_some(())?;
                    pieces.push(Piece::Fraction(digits));
                }
                _ => return None,
            }
        }
        Some(Self(pieces))
    }

    pub(super) fn write(&self, time: Duration, out: &mut Vec<u8>) {
        if let [Piece::IsoMillis] = self.0.as_slice() {
            return text::iso_millis(time, out);
        }
        let calendar = Calendar::of(time);
        for piece in &self.0 {
            match piece {
                Piece::Clock => calendar.clock(out),
                Piece::Date => calendar.date(out),
                Piece::Day => text::padded(calendar.day, 2, out),
                Piece::Fraction(digits) => {
                    let nanos = u64::from(time.subsec_nanos());
                    text::padded(nanos / 10_u64.pow(9 - digits), *digits, out);
                }
                Piece::Hour => text::padded(calendar.hour, 2, out),
                Piece::IsoMillis => text::iso_millis(time, out),
                Piece::Literal(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                Piece::Minute => text::padded(calendar.minute, 2, out),
                Piece::Month => text::padded(calendar.month, 2, out),
                Piece::Second => text::padded(calendar.second, 2, out),
                Piece::SinceEpoch => text::number(time.as_secs(), out),
                Piece::Year => text::padded(calendar.year, 4, out),
            }
        }
    }
}
