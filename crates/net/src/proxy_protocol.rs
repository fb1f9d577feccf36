//! The PROXY protocol, both versions: who a connection is really from, told in its first bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// A header of version 1 is never longer, its line's end included.
const LONGEST_V1: usize = 107;

/// The versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preamble {
    /// Too little to tell.
    More,
    /// No header.
    None,
    /// A whole header of so many bytes; the ends where it names any.
    Header {
        /// Its version.
        version: Version,
        /// How many bytes it has.
        length: usize,
        /// The client's end and the one it connected to.
        ends: Option<(SocketAddr, SocketAddr)>,
    },
    /// A header that breaks the rules.
    Malformed,
}

/// Reads the header at the start of a connection.
pub fn read(bytes: &[u8]) -> Preamble {
    if is_start(bytes, SIGNATURE) {
        return v2(bytes);
    }
    if is_start(bytes, b"PROXY ") {
        return v1(bytes);
    }
    Preamble::None
}

/// Whether bytes begin with `start`, as far as they go.
fn is_start(bytes: &[u8], start: &[u8]) -> bool {
    let shared = bytes.len().min(start.len());
    bytes[..shared] == start[..shared]
}

fn v1(bytes: &[u8]) -> Preamble {
    let window = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_V1 { Preamble::More } else { Preamble::Malformed };
    };
    let Ok(line) = std::str::from_utf8(&window[..end]) else { return Preamble::Malformed };
    let mut words = line.split(' ').skip(1);
    let ends = match words.next() {
        Some("UNKNOWN") => None,
        Some(family @ ("TCP4" | "TCP6")) => match ends_of_words(family == "TCP4", words) {
            Some(ends) => Some(ends),
            None => return Preamble::Malformed,
        },
        _ => return Preamble::Malformed,
    };
    Preamble::Header { version: Version::V1, length: end + 2, ends }
}

fn ends_of_words<'a>(
    is_v4: bool,
    mut words: impl Iterator<Item = &'a str>,
) -> Option<(SocketAddr, SocketAddr)> {
    let mut ip = || {
        let ip: IpAddr = words.next()?.parse().ok()?;
        (ip.is_ipv4() == is_v4).then_some(ip)
    };
    let (from, to) = (ip()?, ip()?);
    let mut port = || words.next()?.parse().ok();
    let ends = (SocketAddr::new(from, port()?), SocketAddr::new(to, port()?));
    words.next().is_none().then_some(ends)
}

fn v2(bytes: &[u8]) -> Preamble {
    let Some(head) = bytes.get(12..16) else { return Preamble::More };
    let [version_command, family, high, low] = *head else { return Preamble::More };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return Preamble::Malformed,
    };
    let Some(body) = bytes.get(16..16 + length) else { return Preamble::More };
    let ends = match (is_local, family) {
        (false, 0x11 | 0x12) => match ends_v4(body) {
            Some(ends) => Some(ends),
            None => return Preamble::Malformed,
        },
        (false, 0x21 | 0x22) => match ends_v6(body) {
            Some(ends) => Some(ends),
            None => return Preamble::Malformed,
        },
        // A check by the proxy itself, a Unix socket, or what nobody has specified yet: no ends.
        _ => None,
    };
    Preamble::Header { version: Version::V2, length: 16 + length, ends }
}

fn ends_v4(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(body.get(at..at + 4)?).ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(<[u8; 2]>::try_from(body.get(at..at + 2)?).ok()?));
    Some((SocketAddrV4::new(ip(0)?, port(8)?).into(), SocketAddrV4::new(ip(4)?, port(10)?).into()))
}

fn ends_v6(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(body.get(at..at + 16)?).ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(<[u8; 2]>::try_from(body.get(at..at + 2)?).ok()?));
    Some((
        SocketAddrV6::new(ip(0)?, port(32)?, 0, 0).into(),
        SocketAddrV6::new(ip(16)?, port(34)?, 0, 0).into(),
    ))
}

/// What an upstream is told of the connection it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// How it is written.
    pub version: Version,
    /// The client's end and ours; none where they cannot be told, as those of a Unix socket.
    pub ends: Option<(SocketAddr, SocketAddr)>,
}

/// Writes the header that tells an upstream who a connection is from.
pub fn write(Header { version, ends }: Header) -> Vec<u8> {
    let Some((from, to)) = ends else {
        return match version {
            Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
            Version::V2 => [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat(),
        };
    };
    let is_v4 = from.is_ipv4() && to.is_ipv4();
    match version {
        Version::V1 => {
            let family = if is_v4 { "TCP4" } else { "TCP6" };
            let text = |ip: IpAddr| match (is_v4, ip) {
                (false, IpAddr::V4(v4)) => v4.to_ipv6_mapped().to_string(),
                (_, ip) => ip.to_string(),
            };
            let (a, b) = (text(from.ip()), text(to.ip()));
            format!("PROXY {family} {a} {b} {} {}\r\n", from.port(), to.port()).into_bytes()
        }
        Version::V2 => {
            let mut bytes = SIGNATURE.to_vec();
            bytes.push(0x21);
            bytes.extend_from_slice(if is_v4 { &[0x11, 0, 12] } else { &[0x21, 0, 36] });
            for ip in [from.ip(), to.ip()] {
                match (is_v4, ip) {
                    (_, IpAddr::V6(v6)) => bytes.extend_from_slice(&v6.octets()),
                    (true, IpAddr::V4(v4)) => bytes.extend_from_slice(&v4.octets()),
                    (false, IpAddr::V4(v4)) => bytes.extend_from_slice(&v4.to_ipv6_mapped().octets()),
                }
            }
            bytes.extend_from_slice(&from.port().to_be_bytes());
            bytes.extend_from_slice(&to.port().to_be_bytes());
            bytes
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ends(from: &str, to: &str) -> (SocketAddr, SocketAddr) {
        (from.parse().unwrap(), to.parse().unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let pairs = [ends("1.2.3.4:5", "6.7.8.9:443"), ends("[2001:db8::1]:5", "[2001:db8::2]:443")];

        for (version, (from, to)) in
            [Version::V1, Version::V2].into_iter().flat_map(|v| pairs.map(|p| (v, p)))
        {
            let header = write(Header { version, ends: Some((from, to)) });
            let wanted = Preamble::Header { version, length: header.len(), ends: Some((from, to)) };

            assert_eq!(read(&[&header[..], b"GET /"].concat()), wanted);
            for cut in 0..header.len() {
                assert_eq!(read(&header[..cut]), Preamble::More, "{version:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn ends_that_cannot_be_told_are_not() {
        for version in [Version::V1, Version::V2] {
            let header = write(Header { version, ends: None });

            assert_eq!(read(&header), Preamble::Header { version, length: header.len(), ends: None });
        }
    }

    #[test]
    fn a_header_that_names_nobody_is_skipped() {
        let local = [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat();

        assert_eq!(read(&local), Preamble::Header { version: Version::V2, length: 16, ends: None });
        assert_eq!(
            read(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nx"),
            Preamble::Header { version: Version::V1, length: 35, ends: None }
        );
    }

    #[test]
    fn what_breaks_the_rules_is_told_from_what_is_no_header() {
        let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let short = [&SIGNATURE[..], &[0x21, 0x11, 0, 4, 1, 2, 3, 4]].concat();

        for bytes in [
            &b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"[..],
            b"PROXY TCP4 ::1 ::2 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            b"PROXY TCP9 1.2.3.4 5.6.7.8 1 2\r\n",
            &endless,
            &short,
        ] {
            assert_eq!(read(bytes), Preamble::Malformed, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Preamble::None);
    }
}
