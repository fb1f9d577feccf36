//! Durations as Istio's YAML writes them: a protobuf duration in Go's notation (`1h`, `1.5s`, `100ms`).

use std::time::Duration;

/// Parses `1h2m3.5s`-like text; the units are h, m, s, ms, us (or µs) and ns.
///
/// # Errors
/// Says what is wrong with the text; negative durations are refused.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err("a duration is empty; write for example 1.5s or 250ms".into());
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at(letters);
        let nanos = unit_nanos(unit)
            .ok_or_else(|| format!("{text:?} is not a duration; write for example 1.5s or 250ms"))?;
        total = total
            .checked_add(scaled(number, nanos).ok_or_else(|| format!("{text:?} is not a duration"))?)
            .ok_or_else(|| format!("{text:?} is too long a duration"))?;
        rest = next;
    }
    Ok(total)
}

/// Writes a duration the way [`parse`] reads it, in its largest exact unit below an hour.
pub fn render(d: Duration) -> String {
    let nanos = d.as_nanos();
    if nanos == 0 {
        "0s".into()
    } else if nanos.is_multiple_of(1_000_000_000) {
        format!("{}s", nanos / 1_000_000_000)
    } else if nanos.is_multiple_of(1_000_000) {
        format!("{}ms", nanos / 1_000_000)
    } else if nanos.is_multiple_of(1_000) {
        format!("{}us", nanos / 1_000)
    } else {
        format!("{nanos}ns")
    }
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

/// `number` × `nanos`, exact to the nanosecond, without floating point.
fn scaled(number: &str, nanos: u64) -> Option<Duration> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(nanos)?;
    let mut unit = nanos;
    for digit in part.chars() {
        unit /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?).checked_mul(unit)?)?;
    }
    Some(Duration::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_notation_is_read_exactly() {
        assert_eq!(parse("1h2m3.5s"), Ok(Duration::from_millis(3_723_500)));
        assert_eq!(parse("0.000000001s"), Ok(Duration::from_nanos(1)));
        assert_eq!(parse(".5s"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("7s"), Ok(Duration::from_secs(7)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "5", "s", "-1s", "1.s.", "1x", "9999999999999h", "1s ", "1.2.3s"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_rendered_is_read_back() {
        for d in [0, 1, 1_500, 250_000_000, 90_000_000_000].map(Duration::from_nanos) {
            assert_eq!(parse(&render(d)), Ok(d));
        }
    }
}
