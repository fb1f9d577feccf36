//! Which filter chain takes a connection: a sieve that at each step keeps the most specific value and never
//! goes back.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base::Address;
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
    /// Where it comes from, as a PROXY header or the socket says.
    pub source: SocketAddr,
    /// The other end of the socket itself.
    pub direct_source: SocketAddr,
    /// The server name in its TLS greeting.
    pub server_name: Option<&'a str>,
    /// Whether it began with a TLS greeting.
    pub transport: Transport,
    /// The protocols its TLS greeting offers; without TLS the recognised one (`http/1.1`, `h2c`).
    pub protocols: &'a [&'a str],
}

/// The address that stands for one in a match: of a Unix socket the one that Envoy takes, which nobody has.
pub fn matched(address: &Address) -> SocketAddr {
    address.socket().unwrap_or_else(|| (Ipv4Addr::BROADCAST, 0).into())
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
    /// Ranges of the other end of the socket itself.
    pub direct_sources: Vec<Range>,
    /// Whether it comes from this machine.
    pub origin: Option<SourceOrigin>,
    /// Ranges of the address it comes from.
    pub sources: Vec<Range>,
    /// Ports it comes from.
    pub source_ports: Vec<u16>,
}

/// Whether a connection comes from this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceOrigin {
    /// It comes from elsewhere.
    External,
    /// It comes from the address it goes to, or from loopback.
    Local,
}

impl SourceOrigin {
    fn of(connection: &Connection<'_>) -> Self {
        let source = connection.source.ip().to_canonical();
        match source.is_loopback() || source == connection.destination.ip().to_canonical() {
            true => Self::Local,
            false => Self::External,
        }
    }
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
        Ok(Self {
            port: number(&message.destination_port).map(|n| some_port(n, "destination_port")).transpose()?,
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
            direct_sources: each(&message.direct_source_prefix_ranges, "direct_source_prefix_ranges", range)?,
            origin: match message.source_type {
                0 => None,
                1 => Some(SourceOrigin::Local),
                2 => Some(SourceOrigin::External),
                other => return Err(Wrong::new("source_type", format!("{other} is not known"))),
            },
            sources: each(&message.source_prefix_ranges, "source_prefix_ranges", range)?,
            source_ports: each(&message.source_ports, "source_ports", |n| some_port(*n, ""))?,
        })
    }
}

/// A port a connection can have.
pub(crate) fn some_port(number: u32, path: &str) -> Result<u16, Wrong> {
    match port(number, path)? {
        0 => Err(Wrong::new(path, "0 is not a port")),
        port => Ok(port),
    }
}

pub(crate) fn range(message: &CidrRange) -> Result<Range, Wrong> {
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
    ports: Choices<u16, Ranges<Names>>,
    default: Option<usize>,
}

/// What stands behind each value, and behind any other.
#[derive(Clone, Debug)]
struct Choices<K, T> {
    by: BTreeMap<K, T>,
    any: Option<Box<T>>,
}

/// What stands behind each range, the longest prefix first, and behind any other address.
#[derive(Clone, Debug)]
struct Ranges<T> {
    by: Vec<(Range, T)>,
    any: Option<Box<T>>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    exact: HashMap<Box<str>, Transports>,
    /// Under the suffix with its leading dot.
    suffix: HashMap<Box<str>, Transports>,
    any: Option<Transports>,
}

type Transports = Choices<Transport, Protocols>;
type Protocols = Choices<Box<str>, Direct>;
type Direct = Ranges<Origins>;
type Origins = Choices<SourceOrigin, Sources>;
type Sources = Ranges<SourcePorts>;
type SourcePorts = Choices<u16, usize>;

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
        Ok(sieve)
    }

    fn insert(&mut self, wanted: &ChainMatch, place: usize) -> Result<(), String> {
        let lengths = [
            wanted.ranges.len(),
            wanted.server_names.len(),
            wanted.protocols.len(),
            wanted.direct_sources.len(),
            wanted.sources.len(),
            wanted.source_ports.len(),
        ];
        let count = lengths.iter().fold(1_usize, |product, n| product.saturating_mul((*n).max(1)));
        if count > COMBINATIONS {
            return Err(format!("filter_chains[{place}] matches too many combinations"));
        }
        let ranges = self.ports.at(wanted.port);
        for range in options(&wanted.ranges) {
            let names = ranges.at(range.copied());
            for name in options(&wanted.server_names) {
                let protocols = names.at(name.map(String::as_str)).at(wanted.transport);
                for protocol in options(&wanted.protocols) {
                    let direct = protocols.at(protocol.map(|name| name.as_str().into()));
                    insert_source(direct, wanted, place)?;
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
        let ranges = self.ports.search(&connection.destination.port())?;
        let names = ranges.search(connection.destination.ip())?;
        let protocols = names.search(connection.server_name)?.search(&connection.transport)?;
        let offered = connection.protocols.iter().find_map(|name| protocols.by.get(*name));
        let direct = offered.or(protocols.any.as_deref())?;
        let origins = direct.search(connection.direct_source.ip())?;
        let sources = match origins.by.is_empty() {
            true => origins.any.as_deref(),
            false => origins.search(&SourceOrigin::of(connection)),
        };
        let ports = sources?.search(connection.source.ip())?;
        ports.search(&connection.source.port()).copied()
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
            .flat_map(Choices::all)
            .any(|protocols| !protocols.by.is_empty())
    }

    fn names(&self, port: u16) -> impl Iterator<Item = &Names> {
        self.ports.search(&port).into_iter().flat_map(Ranges::all)
    }
}

/// The steps that ask where a connection comes from.
fn insert_source(direct: &mut Direct, wanted: &ChainMatch, place: usize) -> Result<(), String> {
    for range in options(&wanted.direct_sources) {
        let sources = direct.at(range.copied()).at(wanted.origin);
        for range in options(&wanted.sources) {
            let ports = sources.at(range.copied());
            for port in options(&wanted.source_ports) {
                let before = match port {
                    Some(port) => ports.by.insert(*port, place),
                    None => ports.any.replace(Box::new(place)).map(|before| *before),
                };
                if let Some(before) = before.filter(|before| *before != place) {
                    return Err(format!("filter_chains[{before}] and filter_chains[{place}] match alike"));
                }
            }
        }
    }
    Ok(())
}

impl<K, T> Default for Choices<K, T> {
    fn default() -> Self {
        Self { by: BTreeMap::new(), any: None }
    }
}

impl<K: Ord, T> Choices<K, T> {
    fn at(&mut self, key: Option<K>) -> &mut T
    where
        T: Default,
    {
        match key {
            Some(key) => self.by.entry(key).or_default(),
            None => self.any.get_or_insert_default(),
        }
    }

    fn search(&self, key: &K) -> Option<&T> {
        self.by.get(key).or(self.any.as_deref())
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.by.values().chain(self.any.as_deref())
    }
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { by: Vec::new(), any: None }
    }
}

impl<T: Default> Ranges<T> {
    fn at(&mut self, range: Option<Range>) -> &mut T {
        // A range of every address is as good as none.
        let Some(range) = range.filter(|range| range.prefix > 0) else {
            return self.any.get_or_insert_default();
        };
        let place = match self.by.iter().position(|(known, _)| *known == range) {
            Some(place) => place,
            None => {
                let place = self.by.partition_point(|(known, _)| known.prefix >= range.prefix);
                self.by.insert(place, (range, T::default()));
                place
            }
        };
        &mut self.by[place].1
    }
}

impl<T> Ranges<T> {
    fn search(&self, address: IpAddr) -> Option<&T> {
        let address = address.to_canonical();
        let found = self.by.iter().find(|(range, _)| range.contains(address));
        found.map(|(_, found)| found).or(self.any.as_deref())
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.by.iter().map(|(_, found)| found).chain(self.any.as_deref())
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
