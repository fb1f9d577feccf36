//! Tunnels a local program asks its sidecar's HTTP proxy for (CONNECT): each goes where a connection to that host and
//! port would, the host counting as the name a TLS client asks for.

use std::collections::BTreeSet;

use base::{Host, Protocol};

use crate::exit::Exit;
use crate::port::Port;
use crate::scope::Import;
use crate::site::Site;
use crate::slice::{Chain, Route, Tcp, Terminal};
use crate::tcp::{self, Entrance};
use crate::unknown;

/// The tunnels to a port of a service: each host, the service's own first, and where it leads.
///
/// Requests are routed one by one, which those in a tunnel cannot be: to a port that takes nothing else there is none.
pub(crate) fn of_service(exit: Exit<'_>, import: &Import, port: &Port) -> Vec<(Host, Route)> {
    if port.protocol.is_http() || port.protocol == Protocol::Udp {
        return Vec::new();
    }
    let service = &import.service.host;
    let chains = tcp::chains(&Entrance { exit, import, port, network: None, is_shared: true });
    // Which network a host is in shows only once it is resolved.
    let chains: Vec<Chain> =
        chains.into_iter().filter(|chain| chain.condition.destinations.is_empty()).collect();
    let named = chains.iter().flat_map(|chain| &chain.condition.server_names).map(|name| Host::new(name));
    let others: BTreeSet<Host> = named.filter(|name| name != service && service.covers(name)).collect();
    std::iter::once(service.clone())
        .chain(others)
        .map(|host| {
            let route = taking(&chains, &host).map_or_else(|| unknown(exit.site), through);
            (host, route)
        })
        .collect()
}

/// Where tunnels to hosts that nobody declared lead.
pub(crate) fn unknown(site: Site<'_>) -> Route {
    let tcp = unknown::cluster_of_requests(site).map(Tcp::to);
    Route::Connect { tcp, origin: None }
}

/// The chain that takes a server name: the one that names it most exactly, the first of equals.
fn taking<'a>(chains: &'a [Chain], host: &Host) -> Option<&'a Chain> {
    let exactness = |chain: &Chain| -> Option<usize> {
        let names = &chain.condition.server_names;
        let covering = names.iter().map(|name| Host::new(name)).filter(|name| name.covers(host));
        match names.is_empty() {
            true => Some(0),
            false => covering.map(|name| if name == *host { usize::MAX } else { name.as_str().len() }).max(),
        }
    };
    let fitting = chains.iter().filter_map(|chain| Some((exactness(chain)?, chain)));
    // Of equals `max_by_key` gives the last.
    fitting.rev().max_by_key(|(exactness, _)| *exactness).map(|(_, chain)| chain)
}

fn through(chain: &Chain) -> Route {
    let tcp = match &chain.terminal {
        Terminal::Http(_) => None,
        Terminal::Tcp(tcp) => Some(tcp.clone()),
    };
    Route::Connect { tcp, origin: chain.origin.clone() }
}

#[cfg(test)]
mod tests;
