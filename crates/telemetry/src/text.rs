//! Numbers, addresses, times and foreign bytes as text, written into a caller's buffer without allocating.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use base::Address;

/// Writes a number in decimal.
pub(crate) fn number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Writes a number in decimal with leading zeros up to a width.
pub(crate) fn padded(value: u64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_u64.pow(place) % 10) as u8);
    }
}

/// Writes an IP address; the common kind without going through formatting.
pub(crate) fn ip(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            for (place, octet) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                number(octet.into(), out);
            }
        }
        // Writing to a vector never errs.
        IpAddr::V6(v6) => write!(out, "{v6}").unwrap_or(()),
    }
}

/// Writes `address:port`, with brackets around IPv6, or the path of a Unix socket.
pub(crate) fn address(address: &Address, out: &mut Vec<u8>) {
    let address = match address {
        Address::Ip(address) => address,
        Address::Pipe(path) => return escaped(path.as_bytes(), out),
    };
    if address.is_ipv6() {
        out.push(b'[');
    }
    ip(address.ip(), out);
    if address.is_ipv6() {
        out.push(b']');
    }
    out.push(b':');
    number(address.port().into(), out);
}

/// A time taken apart by the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Calendar {
    /// Takes apart a time since the Unix epoch: years begin in March, so that the leap day comes last.
    pub(crate) fn of(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs();
        let of_day = seconds % 86_400;
        let days = seconds / 86_400 + 719_468; // since 0000-03-01
        let era = days / 146_097; // of 400 years
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };

        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }

    /// Writes `2024-02-29`.
    pub(crate) fn date(self, out: &mut Vec<u8>) {
        padded(self.year, 4, out);
        out.push(b'-');
        padded(self.month, 2, out);
        out.push(b'-');
        padded(self.day, 2, out);
    }

    /// Writes `23:59:59`.
    pub(crate) fn clock(self, out: &mut Vec<u8>) {
        padded(self.hour, 2, out);
        out.push(b':');
        padded(self.minute, 2, out);
        out.push(b':');
        padded(self.second, 2, out);
    }
}

/// Writes `2024-02-29T23:59:59.250Z`.
pub(crate) fn iso_millis(since_epoch: Duration, out: &mut Vec<u8>) {
    let calendar = Calendar::of(since_epoch);
    calendar.date(out);
    out.push(b'T');
    calendar.clock(out);
    out.push(b'.');
    padded(since_epoch.subsec_millis().into(), 3, out);
    out.push(b'Z');
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes foreign bytes into a text line: quotes, backslashes and everything but printable ASCII become `\xNN`,
/// so that no header breaks a line in two or forges a quoted field.
pub(crate) fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if plain(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Writes foreign bytes into a JSON string, without its quotes. UTF-8 stays; other bytes are read as Latin-1.
pub(crate) fn json_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let is_utf8 = std::str::from_utf8(bytes).is_ok();
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            0x80.. if is_utf8 => out.push(*byte),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(written(|out| number(value, out)), value.to_string());
        }
    }

    #[test]
    fn times_are_written_in_iso_8601() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.250Z"),
            (951_782_399, "2000-02-28T23:59:59.250Z"),
            (951_782_400, "2000-02-29T00:00:00.250Z"),
            (1_709_251_199, "2024-02-29T23:59:59.250Z"),
            (1_735_689_599, "2024-12-31T23:59:59.250Z"),
            (4_107_542_400, "2100-03-01T00:00:00.250Z"),
        ] {
            let time = Duration::new(seconds, 250_999_999);
            assert_eq!(written(|out| iso_millis(time, out)), text);
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for text in ["127.0.0.1:80", "255.10.0.9:65535", "[::1]:1", "[2001:db8::7]:443"] {
            assert_eq!(text.parse().map(|parsed| written(|out| address(&parsed, out))), Ok(text.to_owned()));
        }
    }

    #[test]
    fn foreign_bytes_are_tamed() {
        assert_eq!(
            written(|out| escaped(b"a\"b\\c\r\n\xe2\x80\xa8", out)),
            r"a\x22b\x5cc\x0d\x0a\xe2\x80\xa8"
        );
        assert_eq!(written(|out| json_escaped(b"a\"b\\c\n", out)), r#"a\"b\\c\u000a"#);
        assert_eq!(written(|out| json_escaped("é".as_bytes(), out)), "é");
        assert_eq!(written(|out| json_escaped(b"\xe9", out)), "\\u00e9");
    }
}
