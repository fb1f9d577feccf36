//! Recognises a protocol by its first bytes, as Envoy's TLS and HTTP inspectors do.

/// How every HTTP/2 connection of prior knowledge begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request line longer than this is not waited for.
const LONGEST_LINE: usize = 16 * 1024;

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/2 by prior knowledge.
    H2c,
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// Too little to tell.
    More,
    /// Something else.
    Other,
    /// A TLS record.
    Tls,
}

impl Wire {
    /// The application protocol a filter chain matches; none where it is not HTTP.
    pub fn application_protocol(self) -> Option<&'static str> {
        match self {
            Self::H2c => Some("h2c"),
            Self::Http10 => Some("http/1.0"),
            Self::Http11 => Some("http/1.1"),
            Self::More | Self::Other | Self::Tls => None,
        }
    }
}

/// Tells what a connection that begins with `bytes` speaks.
pub fn recognise(bytes: &[u8]) -> Wire {
    match bytes.first() {
        None => return Wire::More,
        Some(0x16) => return Wire::Tls,
        Some(_) => {}
    }
    match is_preface(bytes) {
        Some(true) => return Wire::H2c,
        None => return Wire::More,
        Some(false) => {}
    }
    let line = match bytes.iter().position(|b| *b == b'\n') {
        Some(end) => &bytes[..end],
        None if !could_be_request(bytes) || bytes.len() > LONGEST_LINE => return Wire::Other,
        None => return Wire::More,
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !could_be_request(line) {
        Wire::Other
    } else if line.ends_with(b" HTTP/1.1") {
        Wire::Http11
    } else if line.ends_with(b" HTTP/1.0") {
        Wire::Http10
    } else {
        Wire::Other
    }
}

/// Whether a connection is HTTP/2; none while its bytes are only the beginning of a preface.
pub fn is_preface(bytes: &[u8]) -> Option<bool> {
    let shared = bytes.len().min(PREFACE.len());
    if bytes[..shared] != PREFACE[..shared] {
        return Some(false);
    }
    (shared == PREFACE.len()).then_some(true)
}

/// Whether the bytes begin, as far as they go, with a method and a target.
fn could_be_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().position(|b| *b == b' ').unwrap_or(bytes.len());
    method > 0
        && method <= 32
        && bytes[..method].iter().all(|b| b.is_ascii_uppercase() || *b == b'-' || *b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_told_by_its_first_bytes() {
        let cases: [(&[u8], Wire); 10] = [
            (b"", Wire::More),
            (b"GET / HTTP/1.1\r\n", Wire::Http11),
            (b"GET / HTTP/1.0\r\n", Wire::Http10),
            (b"GET / HT", Wire::More),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Wire::H2c),
            (b"PRI * HTTP/2.0\r\n", Wire::More),
            (b"\x16\x03\x01", Wire::Tls),
            (b"hello there\r\n", Wire::Other),
            (b"GET / FTP/1.1\r\n", Wire::Other),
            (b"\x00\x00", Wire::Other),
        ];

        for (bytes, wire) in cases {
            assert_eq!(recognise(bytes), wire, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn every_beginning_of_a_request_line_waits_for_the_rest() {
        let line = b"POST /a/b?c=d HTTP/1.1\r\n";

        assert!((1..line.len() - 1).all(|n| recognise(&line[..n]) == Wire::More));
    }
}
