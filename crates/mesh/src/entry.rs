//! Outbound listeners in the making: what services want of one address and port, and which of them gives way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::Bind;
use base::Protocol;

use crate::slice::{Chain, ChainMatch, Terminal};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    /// Whatever address a connection is for.
    Any,
    /// This one.
    Ip(IpAddr),
    /// A Unix socket.
    Pipe(Arc<str>),
}

impl From<Bind> for At {
    fn from(bind: Bind) -> Self {
        match bind {
            Bind::Ip(ip) => Self::Ip(ip),
            Bind::Pipe(path) => Self::Pipe(path),
        }
    }
}

/// An address and port; of a Unix socket the port is 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) at: At,
    pub(crate) port: u16,
}

impl Place {
    /// Where a port is listened on; a Unix socket has no number.
    pub(crate) fn new(at: At, port: u16) -> Self {
        let port = if matches!(at, At::Pipe(_)) { 0 } else { port };
        Self { at, port }
    }
}

/// What a service wants of a place.
pub(crate) struct Opening {
    pub(crate) protocol: Protocol,
    /// Whether the address is listened on, rather than dispatched to.
    pub(crate) is_bound: bool,
    pub(crate) chains: Vec<Chain>,
    /// More addresses of the same listener.
    pub(crate) additional: Vec<IpAddr>,
}

/// What is listened for at a place.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) is_bound: bool,
    pub(crate) chains: Vec<Chain>,
    pub(crate) additional: Vec<IpAddr>,
    protocol: Protocol,
    sort: Sort,
    is_locked: bool,
}

/// What a listener tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// HTTP from everything else.
    Auto,
    /// Nothing: it is all HTTP.
    Http,
    /// Nothing, or addresses and server names.
    Tcp,
}

impl Sort {
    fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Auto => Self::Auto,
            protocol if protocol.is_http() => Self::Http,
            _ => Self::Tcp,
        }
    }
}

/// The listeners, by place.
#[derive(Debug, Default)]
pub(crate) struct Entries(BTreeMap<Place, Entry>);

impl Entries {
    /// Closes every place that is there: what is opened later finds it taken.
    pub(crate) fn lock(&mut self) {
        self.0.values_mut().for_each(|entry| entry.is_locked = true);
    }

    /// Opens a place, or adds to what is open there. Requests and other bytes share a place by looking at what
    /// comes; of two that want the same connections the first keeps them.
    pub(crate) fn open(&mut self, place: Place, opening: Opening) {
        let incoming = Sort::of(opening.protocol);
        let Some(entry) = self.0.get_mut(&place) else {
            self.0.insert(place, Entry::new(opening));
            return;
        };
        if entry.is_locked {
            return;
        }
        entry.additional.extend(&opening.additional);
        match (entry.sort, incoming) {
            (Sort::Auto | Sort::Http, Sort::Http) | (Sort::Auto, Sort::Auto) => {}
            _ if server_speaks_first(entry.protocol, opening.protocol) => {}
            (Sort::Http, Sort::Auto) => {
                let additional = std::mem::take(&mut entry.additional);
                *entry = Entry { additional, ..Entry::new(opening) };
            }
            (Sort::Tcp, Sort::Tcp) | (Sort::Auto, Sort::Tcp) => entry.merge(opening.chains),
            (Sort::Tcp, Sort::Auto | Sort::Http) | (Sort::Http, Sort::Tcp) => {
                entry.merge(opening.chains);
                entry.sort = Sort::Auto;
            }
        }
    }

    /// Everything that was opened. An address that has a place of its own is nobody's further one.
    pub(crate) fn finish(self) -> impl Iterator<Item = (Place, Entry)> {
        let own: BTreeSet<Place> =
            self.0.keys().filter(|place| matches!(place.at, At::Ip(_))).cloned().collect();
        self.0.into_iter().map(move |(place, mut entry)| {
            entry.additional.retain(|ip| !own.contains(&Place::new(At::Ip(*ip), place.port)));
            (place, entry)
        })
    }
}

impl Entry {
    fn new(opening: Opening) -> Self {
        // A listener that takes only what looks like HTTP has room for the rest.
        let looks = |chain: &Chain| matches!(chain.terminal, Terminal::Http(_)) && chain.condition.is_http;
        let sort = match Sort::of(opening.protocol) {
            Sort::Http if opening.chains.iter().any(looks) => Sort::Auto,
            sort => sort,
        };
        let mut entry = Self {
            is_bound: opening.is_bound,
            chains: Vec::new(),
            additional: opening.additional,
            protocol: opening.protocol,
            sort,
            is_locked: false,
        };
        entry.merge(opening.chains);
        entry
    }

    /// Adds chains, each for the connections that no chain takes so far: a proxy refuses a listener two chains of
    /// which want the same.
    fn merge(&mut self, incoming: Vec<Chain>) {
        for mut chain in incoming {
            if self.chains.iter().all(|known| leaves(&known.condition, &mut chain.condition)) {
                self.chains.push(chain);
            }
        }
    }
}

/// Whether a known condition leaves something to a new one, which loses what is not left.
fn leaves(known: &ChainMatch, new: &mut ChainMatch) -> bool {
    if (known.is_http, known.is_tls, known.destination_port)
        != (new.is_http, new.is_tls, new.destination_port)
    {
        return true;
    }
    let share_networks = share(&known.destinations, &new.destinations);
    let share_names = share(&known.server_names, &new.server_names);
    if !share_networks || !share_names {
        return true;
    }
    if known.destinations == new.destinations {
        !new.server_names.is_empty() && subtract(&mut new.server_names, &known.server_names)
    } else if known.server_names == new.server_names {
        subtract(&mut new.destinations, &known.destinations)
    } else {
        false
    }
}

/// Whether two lists have something in common; of two that are empty, everything.
fn share<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.is_empty() && b.is_empty() || a.iter().any(|item| b.contains(item))
}

/// Takes items away; whether any is left.
fn subtract<T: PartialEq>(from: &mut Vec<T>, items: &[T]) -> bool {
    from.retain(|item| !items.contains(item));
    !from.is_empty()
}

/// Whether one of two different protocols is one whose server speaks first: waiting for the client's first bytes
/// would wait for ever.
fn server_speaks_first(a: Protocol, b: Protocol) -> bool {
    a != b && [a, b].iter().any(|protocol| matches!(protocol, Protocol::Mongo | Protocol::Mysql))
}

#[cfg(test)]
mod tests;
