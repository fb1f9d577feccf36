//! The routes of connections: `tls` and `tcp`.

use std::net::IpAddr;

use base::Host;
use ipnet::IpNet;

use super::destination::{gateway_ref, read_destination};
use super::{ConnectionMatch, L4Destination, TcpRoute, TlsMatch, TlsRoute};
use crate::check;
use crate::read::At;

/// Reads one entry of `tls`; the server names must be covered by the VirtualService's hosts.
pub(super) fn tls_route(at: &At<'_>, hosts: &[String]) -> TlsRoute {
    let items = at.list("match");
    if items.is_empty() {
        at.missing("match", "a route for TLS needs a match with `sniHosts`");
    }
    let matches = items
        .iter()
        .map(|item| TlsMatch { sni_hosts: sni_hosts(item, hosts), connection: connection_match(item) });
    TlsRoute { matches: matches.collect(), route: destinations(at) }
}

/// Reads one entry of `tcp`.
pub(super) fn tcp_route(at: &At<'_>) -> TcpRoute {
    TcpRoute { matches: at.list("match").iter().map(connection_match).collect(), route: destinations(at) }
}

fn sni_hosts(at: &At<'_>, hosts: &[String]) -> Vec<Host> {
    let items = at.list("sniHosts");
    if items.is_empty() {
        at.missing("sniHosts", "a match for TLS needs at least one server name");
    }
    let mut all = Vec::with_capacity(items.len());
    for item in &items {
        let Some(text) = item.node.text() else { continue };
        if text.parse::<IpAddr>().is_ok() {
            item.warn("no-effect", format!("{text} is an address, and a server name of TLS never is"));
        } else if let Some(message) = check::sni_error(text) {
            item.error("wrong-value", message);
            continue;
        }
        let name = Host::new(text);
        if text.parse::<IpAddr>().is_err()
            && !hosts.is_empty()
            && !hosts.iter().any(|host| Host::new(host).covers(&name))
        {
            item.error("wrong-value", format!("the server name {text:?} is covered by none of the hosts"));
        }
        all.push(name);
    }
    all
}

fn connection_match(at: &At<'_>) -> ConnectionMatch {
    if let Some(labels) = at.field("sourceLabels") {
        check::labels(&labels);
    }
    check::namespace(at, "sourceNamespace");
    let mut subnets: Vec<IpNet> = Vec::new();
    for item in at.list("destinationSubnets") {
        match item.node.text().map(check::network) {
            Some(Some(network)) => subnets.push(network),
            Some(None) => item.error("wrong-value", "this is neither an address nor a network"),
            None => {}
        }
    }
    ConnectionMatch {
        destination_subnets: subnets,
        port: at.port("port"),
        source_labels: at.labels("sourceLabels"),
        source_namespace: at.text("sourceNamespace").map(str::to_owned),
        gateways: at.list("gateways").iter().filter_map(gateway_ref).collect(),
    }
}

fn destinations(at: &At<'_>) -> Vec<L4Destination> {
    let routes = at.list("route");
    if routes.is_empty() {
        at.missing("route", "a route needs a destination");
    }
    let is_single = routes.len() == 1;
    let mut sum = 0u64;
    let mut all = Vec::with_capacity(routes.len());
    for route in &routes {
        let weight = if is_single { 100 } else { route.whole::<u32>("weight").unwrap_or(0) };
        sum = sum.saturating_add(u64::from(weight));
        if let Some(destination) = read_destination(route, "destination") {
            all.push(L4Destination { destination, weight });
        }
    }
    if let Some(field) = at.field("route").filter(|_| !routes.is_empty()) {
        check::weights(&field, sum);
    }
    all
}
