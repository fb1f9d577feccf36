//! Which filter chain takes a connection: a sieve that at each step keeps the most specific value and never
//! goes back.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use proto::envoy::config::core::v3::CidrRange;
use proto::envoy::config::listener::v3::FilterChainMatch;

use crate::read::{Wrong, each, named, number, port, refuse};

/// Above this many combinations of values one chain's match is refused.
const COMBINATIONS: usize = 1 << 16;

/// What is known of a connection when its filter chain is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Where it was going, before any redirection.
    pub destination: SocketAddr,
    /// The server name in its TLS greeting.
    pub server_name: Option<&'a str>,
    /// Whether it began with a TLS greeting.
    pub transport: Transport,
    /// The protocols its TLS greeting offers; without TLS the recognised one (`http/1.1`, `h2c`).
    pub protocols: &'a [&'a str],
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Anything but TLS.
    RawBuffer,
    /// A TLS greeting.
    Tls,
}

impl Transport {
    /// Envoy's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RawBuffer => "raw_buffer",
            Self::Tls => "tls",
        }
    }
}

/// The values one filter chain takes; an empty list or none takes any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainMatch {
    /// The original destination's port.
    pub port: Option<u16>,
    /// Ranges of the original destination's address, as address and prefix length.
    pub ranges: Vec<Range>,
    /// Server names, exact or `*.suffix`.
    pub server_names: Vec<String>,
    /// TLS or not.
    pub transport: Option<Transport>,
    /// Protocols of which one must be offered.
    pub protocols: Vec<String>,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// An address with all bits beyond the prefix cleared.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Range {
    fn new(address: IpAddr, prefix: u8) -> Self {
        Self { address: cleared(address, prefix), prefix }
    }

    /// Whether an address lies in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && cleared(address, self.prefix) == self.address
    }
}

fn cleared(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(
            (v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)).into(),
        ),
        IpAddr::V6(v6) => IpAddr::V6(
            (v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)).into(),
        ),
    }
}

impl ChainMatch {
    pub(crate) fn compile(message: &FilterChainMatch) -> Result<Self, Wrong> {
        refuse(!message.address_suffix.is_empty(), "address_suffix")?;
        refuse(message.suffix_len.is_some(), "suffix_len")?;
        refuse(!message.direct_source_prefix_ranges.is_empty(), "direct_source_prefix_ranges")?;
        refuse(message.source_type != 0, "source_type")?;
        refuse(!message.source_prefix_ranges.is_empty(), "source_prefix_ranges")?;
        refuse(!message.source_ports.is_empty(), "source_ports")?;
        Ok(Self {
            port: number(&message.destination_port).map(|n| port(n, "destination_port")).transpose()?,
            ranges: each(&message.prefix_ranges, "prefix_ranges", range)?,
            server_names: each(&message.server_names, "server_names", |name| server_name(name))?,
            transport: match message.transport_protocol.as_str() {
                "" => None,
                "raw_buffer" => Some(Transport::RawBuffer),
                "tls" => Some(Transport::Tls),
                other => return Err(Wrong::new("transport_protocol", format!("{other:?} is not supported"))),
            },
            protocols: each(&message.application_protocols, "application_protocols", |name| {
                named(name, "").map(|name| name.to_string())
            })?,
        })
    }
}

fn range(message: &CidrRange) -> Result<Range, Wrong> {
    let address: IpAddr = message.address_prefix.parse().map_err(|_| {
        Wrong::new("address_prefix", format!("{:?} is not an IP address", message.address_prefix))
    })?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = number(&message.prefix_len).unwrap_or(0);
    match u8::try_from(prefix) {
        Ok(prefix) if u32::from(prefix) <= width => Ok(Range::new(address, prefix)),
        _ => Err(Wrong::new("prefix_len", format!("{prefix} is more than {width}"))),
    }
}

fn server_name(name: &str) -> Result<String, Wrong> {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if rest.is_empty() || rest.contains('*') {
        return Err(Wrong::new("", format!("{name:?} is neither a name nor *.suffix")));
    }
    Ok(name.to_ascii_lowercase())
}

/// The filter chains of one listener by what they match; a chain is known by its place in the list.
#[derive(Clone, Debug, Default)]
pub struct Sieve {
    ports: HashMap<u16, Ranges>,
    any: Option<Ranges>,
    default: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Ranges {
    /// Longest prefix first.
    by: Vec<(Range, Names)>,
    any: Option<Names>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    exact: HashMap<Box<str>, Transports>,
    /// Under the suffix with its leading dot.
    suffix: HashMap<Box<str>, Transports>,
    any: Option<Transports>,
}

#[derive(Clone, Debug, Default)]
struct Transports {
    by: BTreeMap<Transport, Protocols>,
    any: Option<Protocols>,
}

#[derive(Clone, Debug, Default)]
struct Protocols {
    by: BTreeMap<Box<str>, usize>,
    any: Option<usize>,
}

impl Sieve {
    /// Arranges chains by what they match; `default` takes what none of them does.
    ///
    /// # Errors
    /// Two chains match the same connections equally well: their places are named.
    pub fn new(matches: &[ChainMatch], default: Option<usize>) -> Result<Self, String> {
        let mut sieve = Self { default, ..Self::default() };
        for (place, wanted) in matches.iter().enumerate() {
            sieve.insert(wanted, place)?;
        }
        let all = sieve.ports.values_mut().chain(&mut sieve.any);
        all.for_each(|ranges| ranges.by.sort_by_key(|(range, _)| std::cmp::Reverse(range.prefix)));
        Ok(sieve)
    }

    fn insert(&mut self, wanted: &ChainMatch, place: usize) -> Result<(), String> {
        let count = [wanted.ranges.len(), wanted.server_names.len(), wanted.protocols.len()]
            .iter()
            .fold(1_usize, |product, n| product.saturating_mul((*n).max(1)));
        if count > COMBINATIONS {
            return Err(format!("filter_chains[{place}] matches too many combinations"));
        }
        let ranges = match wanted.port {
            Some(port) => self.ports.entry(port).or_default(),
            None => self.any.get_or_insert_default(),
        };
        for range in options(&wanted.ranges) {
            let names = ranges.at(range.copied());
            for name in options(&wanted.server_names) {
                let transports = names.at(name.map(String::as_str));
                let protocols = match wanted.transport {
                    Some(transport) => transports.by.entry(transport).or_default(),
                    None => transports.any.get_or_insert_default(),
                };
                for protocol in options(&wanted.protocols) {
                    let before = match protocol {
                        Some(protocol) => protocols.by.insert(protocol.as_str().into(), place),
                        None => protocols.any.replace(place),
                    };
                    if let Some(before) = before.filter(|before| *before != place) {
                        return Err(format!(
                            "filter_chains[{before}] and filter_chains[{place}] match alike"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// The place of the chain that takes a connection.
    pub fn select(&self, connection: &Connection<'_>) -> Option<usize> {
        self.search(connection).or(self.default)
    }

    fn search(&self, connection: &Connection<'_>) -> Option<usize> {
        let ranges = self.ports.get(&connection.destination.port()).or(self.any.as_ref())?;
        let ip = connection.destination.ip().to_canonical();
        let names = ranges.by.iter().find(|(range, _)| range.contains(ip));
        let names = names.map(|(_, names)| names).or(ranges.any.as_ref())?;
        let transports = names.search(connection.server_name)?;
        let protocols = transports.by.get(&connection.transport).or(transports.any.as_ref())?;
        let offered = connection.protocols.iter().find_map(|name| protocols.by.get(*name));
        offered.or(protocols.any.as_ref()).copied()
    }

    /// Whether the choice among the chains for a port may depend on TLS.
    pub fn asks_tls(&self, port: u16) -> bool {
        self.names(port).any(|names| {
            !names.exact.is_empty()
                || !names.suffix.is_empty()
                || names.transports().any(|t| !t.by.is_empty())
        })
    }

    /// Whether the choice among the chains for a port may depend on the protocols offered or recognised.
    pub fn asks_protocols(&self, port: u16) -> bool {
        self.names(port)
            .flat_map(Names::transports)
            .flat_map(|t| t.by.values().chain(&t.any))
            .any(|protocols| !protocols.by.is_empty())
    }

    fn names(&self, port: u16) -> impl Iterator<Item = &Names> {
        let ranges = self.ports.get(&port).or(self.any.as_ref());
        ranges.into_iter().flat_map(|ranges| ranges.by.iter().map(|(_, names)| names).chain(&ranges.any))
    }
}

impl Ranges {
    fn at(&mut self, range: Option<Range>) -> &mut Names {
        // A range of every address is as good as none.
        let Some(range) = range.filter(|range| range.prefix > 0) else {
            return self.any.get_or_insert_default();
        };
        let place = match self.by.iter().position(|(known, _)| *known == range) {
            Some(place) => place,
            None => {
                self.by.push((range, Names::default()));
                self.by.len() - 1
            }
        };
        &mut self.by[place].1
    }
}

impl Names {
    fn at(&mut self, name: Option<&str>) -> &mut Transports {
        match name {
            None => self.any.get_or_insert_default(),
            Some(name) => match name.strip_prefix('*') {
                Some(suffix) => self.suffix.entry(suffix.into()).or_default(),
                None => self.exact.entry(name.into()).or_default(),
            },
        }
    }

    fn search(&self, name: Option<&str>) -> Option<&Transports> {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return self.any.as_ref() };
        if let Some(found) = self.exact.get(name.as_str()) {
            return Some(found);
        }
        // The first dot first: the longest suffix.
        let suffixes = name.match_indices('.').filter(|(dot, _)| *dot > 0).map(|(dot, _)| &name[dot..]);
        suffixes.into_iter().find_map(|suffix| self.suffix.get(suffix)).or(self.any.as_ref())
    }

    fn transports(&self) -> impl Iterator<Item = &Transports> {
        self.exact.values().chain(self.suffix.values()).chain(&self.any)
    }
}

/// Every value, or none once where there is no value.
fn options<T>(values: &[T]) -> impl Iterator<Item = Option<&T>> {
    let none = values.is_empty().then_some(None);
    values.iter().map(Some).chain(none)
}
