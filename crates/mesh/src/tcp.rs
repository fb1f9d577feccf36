//! Connections that are passed on as they are: to where a VirtualService's `tls` or `tcp` says, else to the service
//! they were made to.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::load_balancer::HashKey;
use api::virtual_service::{ConnectionMatch, L4Destination};
use base::{Host, Origin, Protocol};

use crate::destination_rule::Policy;
use crate::exit::Exit;
use crate::policy;
use crate::port::Port;
use crate::proxy::Proxy;
use crate::scope::Import;
use crate::site::Site;
use crate::slice::{Chain, ChainMatch, Network, Share, Tcp, Terminal};
use crate::stat_name;
use crate::vantage::{Vantage, cluster_name};
use crate::virtual_service::Bound;

/// A port of a service, and how a listener comes to know that a connection is for it.
pub(crate) struct Entrance<'a> {
    pub(crate) exit: Exit<'a>,
    pub(crate) import: &'a Import,
    pub(crate) port: &'a Port,
    /// The service's network, where the listener takes more than that.
    pub(crate) network: Option<Network>,
    /// Whether nothing but the name that a TLS client asks for tells services apart.
    pub(crate) is_shared: bool,
}

/// The filter chains of a port of a service; its number is 0 where a Unix socket does not say which is meant, and then
/// only a VirtualService knows where to.
pub(crate) fn chains(entrance: &Entrance<'_>) -> Vec<Chain> {
    let Entrance { exit, import, port, .. } = entrance;
    let vantage = exit.vantage(port.number);
    let egress = exit.egress;
    let claimants = egress.claims.all(&import.service.host);
    let bound = claimants.into_iter().filter_map(|index| egress.virtual_services.get(index));
    if matches!(port.protocol, Protocol::Https | Protocol::Tls) {
        let chains: Vec<Chain> = tls(entrance, &vantage, bound);
        return if chains.is_empty() && port.number != 0 {
            vec![to_service_by_name(entrance)]
        } else {
            chains
        };
    }
    tcp(entrance, &vantage, bound)
}

fn tls<'a>(
    entrance: &Entrance<'_>,
    vantage: &Vantage<'_>,
    bound: impl Iterator<Item = &'a Arc<Bound>>,
) -> Vec<Chain> {
    let mut chains = Vec::new();
    for bound in bound {
        for (index, route) in bound.config.tls.iter().enumerate() {
            let matches = route.matches.iter().enumerate();
            for (at, condition) in matches.filter(|(_, m)| vantage.admits(&m.connection)) {
                let origin = bound.config.origin().at(format!("tls[{index}].match[{at}]"));
                let condition = ChainMatch {
                    server_names: server_names(condition.sni_hosts.iter()),
                    destinations: networks(&condition.connection, entrance.network),
                    ..ChainMatch::default()
                };
                chains.push(chain(condition, destined(vantage, bound, &route.route), origin));
            }
        }
    }
    chains
}

/// The chains by `tcp`; the first that takes every address is the last.
fn tcp<'a>(
    entrance: &Entrance<'_>,
    vantage: &Vantage<'_>,
    bound: impl Iterator<Item = &'a Arc<Bound>>,
) -> Vec<Chain> {
    let own = ChainMatch { destinations: entrance.network.into_iter().collect(), ..ChainMatch::default() };
    let mut chains = Vec::new();
    for bound in bound {
        for (index, route) in bound.config.tcp.iter().enumerate() {
            let origin = bound.config.origin().at(format!("tcp[{index}]"));
            let admitted: Vec<&ConnectionMatch> =
                route.matches.iter().filter(|condition| vantage.admits(condition)).collect();
            if admitted.is_empty() && !route.matches.is_empty() {
                continue;
            }
            let takes_all = admitted.iter().any(|condition| condition.destination_subnets.is_empty());
            let terminal = destined(vantage, bound, &route.route);
            if takes_all || route.matches.is_empty() {
                chains.push(chain(own, terminal, origin));
                return chains;
            }
            let mut destinations: Vec<Network> =
                admitted.iter().flat_map(|condition| networks(condition, None)).collect();
            destinations.sort();
            destinations.dedup();
            let condition = ChainMatch { destinations, ..ChainMatch::default() };
            chains.push(chain(condition, terminal, origin));
        }
    }
    if entrance.port.number != 0 {
        chains.push(chain(own, of_service(entrance), entrance.import.service.origin.clone()));
    }
    chains
}

/// The chain of a service that no VirtualService speaks of.
fn to_service_by_name(entrance: &Entrance<'_>) -> Chain {
    let service = &entrance.import.service;
    let mut condition =
        ChainMatch { destinations: entrance.network.into_iter().collect(), ..ChainMatch::default() };
    // What is resolved is a name of the service, or it would be anybody's.
    let is_by_name = service.port_by_name(entrance.port, entrance.exit.site.proxy).is_some();
    if entrance.is_shared || entrance.network.is_some() || is_by_name {
        let aliases = service.aliases.iter();
        condition.server_names = server_names(std::iter::once(&service.host).chain(aliases));
    }
    chain(condition, of_service(entrance), service.origin.clone())
}

fn chain(condition: ChainMatch, tcp: Tcp, origin: Origin) -> Chain {
    Chain { name: String::new(), condition, tls: None, terminal: Terminal::Tcp(tcp), origin: Some(origin) }
}

/// The networks a condition names, else the service's; one that is everything is none.
fn networks(condition: &ConnectionMatch, own: Option<Network>) -> Vec<Network> {
    let mut all: Vec<Network> = condition.destination_subnets.iter().map(|net| Network::from(*net)).collect();
    if all.is_empty() {
        all.extend(own);
    }
    all.retain(|network| network.length > 0);
    all.sort();
    all.dedup();
    all
}

/// Server names as a chain has them; `*` is every name and so none.
fn server_names<'a>(hosts: impl Iterator<Item = &'a Host>) -> Vec<String> {
    let names: BTreeSet<&str> = hosts.map(Host::as_str).collect();
    if names.contains("*") {
        return Vec::new();
    }
    names.into_iter().map(str::to_owned).collect()
}

/// Where a route of a VirtualService leads; what holds for its first destination holds for the connection.
/// Where the destinations of a route lead.
pub(crate) fn destined(vantage: &Vantage<'_>, bound: &Bound, route: &[L4Destination]) -> Tcp {
    let meta = bound.config.meta();
    let weighted = route.iter().filter(|to| route.len() == 1 || to.weight > 0);
    let shares: Vec<Share> = weighted
        .map(|to| Share {
            cluster: vantage.target(&to.destination, &meta.namespace).cluster,
            weight: to.weight.max(1),
        })
        .collect();
    let mut tcp = match shares.as_slice() {
        [only] => Tcp::to(&only.cluster).counted_as(
            route.first().and_then(|to| vantage.stat_name(&vantage.target(&to.destination, &meta.namespace))),
        ),
        _ => Tcp { stat_prefix: format!("{}.{}", meta.name, meta.namespace), shares, ..Tcp::default() },
    };
    let mut targets = route.iter().map(|to| vantage.target(&to.destination, &meta.namespace));
    tcp.forwards_by_name = targets.clone().find_map(|target| vantage.port_by_name(&target));
    let first = targets.next();
    let policy = first.map(|target| vantage.policy(&target)).unwrap_or_default();
    subject(tcp, &policy, vantage.proxy)
}

/// A connection to the service itself.
fn of_service(entrance: &Entrance<'_>) -> Tcp {
    let Site { state, proxy, .. } = entrance.exit.site;
    let service = &entrance.import.service;
    let number = entrance.port.number;
    let stat_name = stat_name::outbound(state, service, entrance.port, "");
    let mut tcp = Tcp::to(cluster_name(number, "", &service.host)).counted_as(stat_name);
    tcp.forwards_by_name = service.port_by_name(entrance.port, proxy);
    subject(tcp, &policy::of(state, proxy, &service.host, "", number), proxy)
}

/// A connection under a policy.
fn subject(mut tcp: Tcp, policy: &Policy, proxy: &Proxy) -> Tcp {
    let limits = policy.pool.as_ref().map(|pool| &pool.tcp);
    tcp.idle_timeout = limits.and_then(|limits| limits.idle_timeout).or(proxy.idle_timeout);
    tcp.max_duration = limits.and_then(|limits| limits.max_connection_duration);
    tcp.hashes_source = policy.hash_key() == Some(&HashKey::SourceIp);
    tcp.tunnel.clone_from(&policy.tunnel);
    tcp
}
