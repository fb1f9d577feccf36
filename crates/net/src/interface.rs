//! The addresses of this machine's interfaces, as the kernel lists them.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// `AF_NETLINK`, by which the kernel is asked, and its part that knows, `NETLINK_ROUTE`.
const NETLINK: (i32, i32) = (16, 0);
/// `RTM_GETADDR` with `NLM_F_REQUEST` and `NLM_F_DUMP`: all there are.
const ASK: (u16, u16) = (22, 0x301);
/// `RTM_NEWADDR`, one of them.
const TOLD: u16 = 20;
/// `IFA_ADDRESS`, and `IFA_LOCAL`, which goes before it where a link has two ends.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// `AF_INET` and `AF_INET6`.
const V4: u8 = 2;
const V6: u8 = 10;

/// The lengths of a message's own head and of what is told of an address before its attributes.
const HEAD: usize = 16;
const ABOUT: usize = 8;
/// The kernel writes no more at once, and answers as it is asked.
const LONGEST: usize = 32 * 1024;
const MOST_READS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(1);

/// The machine's address towards others: the first of the family that is not loopback, else loopback.
pub fn address(is_v6: bool) -> IpAddr {
    let (family, loopback) = match is_v6 {
        false => (V4, IpAddr::V4(Ipv4Addr::LOCALHOST)),
        true => (V6, IpAddr::V6(Ipv6Addr::LOCALHOST)),
    };
    match addresses(family) {
        Ok(all) => all.into_iter().find(|ip| !is_loopback(*ip)).unwrap_or(loopback),
        Err(error) => {
            tracing::debug!(%error, "the kernel does not tell the machine's addresses");
            loopback
        }
    }
}

/// Whether an address is the one of loopback; to Envoy, the others of 127.0.0.0/8 are as good as any.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST
}

fn addresses(family: u8) -> io::Result<Vec<IpAddr>> {
    let mut socket =
        Socket::new(Domain::from(NETLINK.0), Type::RAW.cloexec(), Some(Protocol::from(NETLINK.1)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut question = Vec::with_capacity(HEAD + ABOUT);
    question.extend_from_slice(&24_u32.to_ne_bytes());
    question.extend_from_slice(&ASK.0.to_ne_bytes());
    question.extend_from_slice(&ASK.1.to_ne_bytes());
    question.extend_from_slice(&[0; 8]);
    question.extend_from_slice(&[family, 0, 0, 0, 0, 0, 0, 0]);
    socket.send(&question)?;
    let mut all = Vec::new();
    let mut bytes = vec![0; LONGEST];
    for _ in 0..MOST_READS {
        let read = socket.read(&mut bytes)?;
        if !take(bytes.get(..read).unwrap_or_default(), family, &mut all) {
            break;
        }
    }
    Ok(all)
}

/// Takes the addresses of one reading; whether more is to come.
fn take(mut bytes: &[u8], family: u8, all: &mut Vec<IpAddr>) -> bool {
    while let Some((message, rest)) = piece(bytes, u32_at(bytes), HEAD) {
        bytes = rest;
        // Whatever else comes is the end or an error.
        if u16_at(message, 4) != Some(TOLD) {
            return false;
        }
        if message.get(HEAD) == Some(&family) {
            all.extend(told(message.get(HEAD + ABOUT..).unwrap_or_default()));
        }
    }
    true
}

/// The address among the attributes of a message.
fn told(mut attributes: &[u8]) -> Option<IpAddr> {
    let (mut address, mut local) = (None, None);
    while let Some((attribute, rest)) = piece(attributes, u16_at(attributes, 0).map(usize::from), 4) {
        attributes = rest;
        let value = attribute.get(4..).unwrap_or_default();
        match u16_at(attribute, 2) {
            Some(ADDRESS) => address = ip(value),
            Some(LOCAL) => local = ip(value),
            _ => {}
        }
    }
    local.or(address)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// What is so long, its own head included, and what follows it at the next multiple of four.
fn piece(bytes: &[u8], length: Option<usize>, least: usize) -> Option<(&[u8], &[u8])> {
    let length = length.filter(|length| *length >= least)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((bytes.get(..length)?, rest))
}

fn u32_at(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn message(ty: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEAD + payload.len()).unwrap();
        [&length.to_ne_bytes()[..], &ty.to_ne_bytes(), &[0; 10], payload].concat()
    }

    fn attribute(ty: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&length.to_ne_bytes()[..], &ty.to_ne_bytes(), value, &padding].concat()
    }

    #[test]
    fn the_own_end_of_a_link_counts_and_names_are_passed_over() {
        let about = |family: u8| vec![family, 24, 0, 0, 1, 0, 0, 0];
        let first =
            [about(V4), attribute(ADDRESS, &[10, 0, 0, 9]), attribute(LOCAL, &[10, 0, 0, 1])].concat();
        let second = [about(V4), attribute(3, b"eth0\0"), attribute(ADDRESS, &[10, 0, 0, 2])].concat();
        let other = [about(V6), attribute(ADDRESS, &[0; 16])].concat();
        let bytes = [message(TOLD, &first), message(TOLD, &second), message(TOLD, &other)].concat();
        let mut all = Vec::new();

        assert!(take(&bytes, V4, &mut all));
        assert!(!take(&message(3, &[0; 4]), V4, &mut all));

        assert_eq!(all, [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])]);
    }

    #[test]
    fn what_is_cut_short_is_no_address() {
        let whole = [vec![V4, 24, 0, 0, 1, 0, 0, 0], attribute(ADDRESS, &[10, 0, 0, 9])].concat();
        let whole = message(TOLD, &whole);

        for end in 0..whole.len() {
            let mut all = Vec::new();
            take(&whole[..end], V4, &mut all);
            assert_eq!(all, Vec::<IpAddr>::new(), "{end}");
        }
    }

    #[test]
    fn the_address_is_one_that_can_be_listened_on() {
        assert!(TcpListener::bind((address(false), 0)).is_ok());
    }
}
