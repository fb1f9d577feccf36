//! Routes from a workload: virtual hosts for every service and for every host that only a VirtualService names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::virtual_service::GatewayRef;
use base::{Host, Protocol};

use crate::cluster::PASSTHROUGH;
use crate::proxy::Proxy;
use crate::service::Service;
use crate::settings::OutboundPolicy;
use crate::slice::{Route, RouteSlice, Side, VirtualHost};
use crate::snapshot::State;
use crate::virtual_service::{Vantage, cluster_name};

/// Istio's name of the routes of the HTTP proxy listener.
pub(crate) const HTTP_PROXY: &str = "http_proxy";

/// The routes of one service port, chosen by host.
pub(crate) fn of_port(state: &State, proxy: &Proxy, port: u16) -> RouteSlice {
    let mut hosts = hosts(&Table::new(state, proxy, port), &|domain| vec![domain]);
    hosts.extend(itself(proxy, |ip| vec![ip]));
    finish(state, &port.to_string(), true, hosts)
}

/// The routes of the HTTP proxy listener: every HTTP port of every service, chosen by host and port.
pub(crate) fn of_http_proxy(state: &State, proxy: &Proxy) -> RouteSlice {
    let services = state.services.by_host.values();
    let ports = services.flat_map(|service| &service.ports).filter(|port| takes_requests(port.protocol));
    let mut ports: BTreeSet<u16> = ports.map(|port| port.number).collect();
    // Hosts that only a VirtualService names are found at HTTP's own port.
    ports.insert(80);
    let mut all = Vec::new();
    for port in &ports {
        all.extend(hosts(&Table::new(state, proxy, *port), &|domain| with_port(domain, *port)));
    }
    ports.extend(proxy.http_proxy_port);
    all.extend(itself(proxy, |ip| ports.iter().flat_map(|port| with_port(ip.clone(), *port)).collect()));
    finish(state, HTTP_PROXY, false, all)
}

/// How a client asks for a host and port: HTTP's own port goes without saying.
fn with_port(domain: String, port: u16) -> Vec<String> {
    let named = format!("{domain}:{port}");
    if port == 80 { vec![named, domain] } else { vec![named] }
}

/// A local sidecar's own outbound side: a request for it that were forwarded would come back for ever.
fn itself(proxy: &Proxy, spell: impl FnOnce(String) -> Vec<String>) -> Option<VirtualHost> {
    let domains = spell(proxy.local?.outbound().to_string());
    Some(VirtualHost::new("block_loop", domains, vec![Route::Block]))
}

/// The routes of one service's port behind an address of its own.
pub(crate) fn of_service(state: &State, proxy: &Proxy, service: &Arc<Service>, port: u16) -> RouteSlice {
    let vantage = Vantage { state, proxy, gateway: &GatewayRef::Mesh, port };
    let name = service_route(&service.host, port);
    let routes = service_routes(&vantage, service);
    let host = VirtualHost::new(name.clone(), vec!["*".into()], routes);
    RouteSlice::new(&name, Side::Outbound, true, vec![host])
}

/// Istio's name of the routes behind a service's own address.
pub(crate) fn service_route(host: &Host, port: u16) -> String {
    format!("{host}:{port}")
}

/// Whether requests to a port are routed one by one, or may turn out to be.
pub(crate) fn takes_requests(protocol: Protocol) -> bool {
    protocol.is_http() || protocol == Protocol::Auto
}

/// Lets no domain occur twice, the first host that has it keeps it, and puts the catch-all last.
fn finish(state: &State, name: &str, ignores_port: bool, mut hosts: Vec<VirtualHost>) -> RouteSlice {
    let mut seen = BTreeSet::new();
    for host in &mut hosts {
        host.domains.retain(|domain| seen.insert(domain.clone()));
    }
    hosts.retain(|host| !host.domains.is_empty());
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    if !seen.contains("*") {
        hosts.push(catch_all(state));
    }
    RouteSlice::new(name, Side::Outbound, ignores_port, hosts)
}

fn catch_all(state: &State) -> VirtualHost {
    let (name, route) = match state.settings.outbound {
        OutboundPolicy::AllowAny => (
            "allow_any",
            Route::Default {
                name: "allow_any".into(),
                cluster: PASSTHROUGH.into(),
                operation: String::new(),
                origin: None,
            },
        ),
        OutboundPolicy::RegistryOnly => ("block_all", Route::Block),
    };
    VirtualHost::new(name, vec!["*".into()], vec![route])
}

fn hosts(table: &Table<'_>, spell: &dyn Fn(String) -> Vec<String>) -> Vec<VirtualHost> {
    let Vantage { state, proxy, port, .. } = table.vantage;
    let virtual_host = |host: &Host, domains: Vec<String>, routes| {
        VirtualHost::new(format!("{host}:{port}"), domains.into_iter().flat_map(spell).collect(), routes)
    };
    let mut hosts: Vec<VirtualHost> = Vec::new();
    // Before the services: a VirtualService for another name of a service takes that name from it.
    for (host, routes) in table.other_hosts() {
        hosts.push(virtual_host(host, vec![host.to_string()], routes));
    }
    for service in table.services.values() {
        let mut named = domains(&service.host, &proxy.id.domain);
        for alias in &service.aliases {
            named.extend(domains(alias, &proxy.id.domain));
        }
        named.extend(state.virtual_ips(service, proxy).into_iter().map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }));
        hosts.push(virtual_host(&service.host, named, service_routes(&table.vantage, service)));
    }
    hosts
}

/// The services of one port and who routes for them.
struct Table<'a> {
    vantage: Vantage<'a>,
    services: BTreeMap<&'a Host, &'a Arc<Service>>,
}

impl<'a> Table<'a> {
    fn new(state: &'a State, proxy: &'a Proxy, port: u16) -> Self {
        let services = state
            .services
            .by_host
            .iter()
            .filter(|(_, service)| service.port(port).is_some_and(|port| takes_requests(port.protocol)));
        Self {
            vantage: Vantage { state, proxy, gateway: &GatewayRef::Mesh, port },
            services: services.collect(),
        }
    }

    /// Hosts that are no service of this port, of VirtualServices that have another host here; of those that
    /// have none anywhere near, at port 80.
    fn other_hosts(&self) -> Vec<(&'a Host, Vec<Route>)> {
        let mut served = BTreeSet::new();
        let mut present: BTreeSet<usize> = BTreeSet::new();
        for host in self.services.keys() {
            if let Some((name, claimants)) = self.vantage.state.claims.of(host) {
                served.insert(name);
                present.extend(claimants);
            }
        }
        let mut others = Vec::new();
        let state = self.vantage.state;
        for (host, claimants) in state.claims.iter() {
            // A service that lacks this port is not there, whatever a VirtualService says about its others.
            if served.contains(host) || state.services.by_host.contains_key(host) {
                continue;
            }
            let here: Vec<usize> = claimants
                .iter()
                .copied()
                .filter(|index| self.vantage.port == 80 || present.contains(index))
                .collect();
            if let Some(routes) = first_routes(&self.vantage, &here) {
                others.push((host, routes));
            }
        }
        others
    }
}

/// The routes of a service: of the oldest VirtualService for it that says anything here, else to itself.
fn service_routes(vantage: &Vantage<'_>, service: &Service) -> Vec<Route> {
    let claimants = vantage.state.claims.of(&service.host).map(|(_, claimants)| claimants);
    if let Some(routes) = first_routes(vantage, claimants.unwrap_or_default()) {
        return routes;
    }
    let port = vantage.port;
    vec![Route::Default {
        name: "default".into(),
        cluster: cluster_name(port, "", &service.host),
        operation: format!("{}:{port}/*", service.host),
        origin: Some(service.origin.clone()),
    }]
}

fn first_routes(vantage: &Vantage<'_>, claimants: &[usize]) -> Option<Vec<Route>> {
    claimants.iter().find_map(|index| {
        let routes = vantage.routes(vantage.state.virtual_services.get(*index)?);
        (!routes.is_empty()).then_some(routes)
    })
}

/// The names a host goes by for a client in a DNS domain (`demo.svc.cluster.local`).
fn domains(host: &Host, client: &str) -> Vec<String> {
    let full = host.as_str();
    let mut domains = vec![full.to_owned()];
    if !host.is_wildcard() {
        domains.push(format!("{full}."));
        domains.extend(short_names(full, client));
    }
    domains
}

/// What DNS search completes to a full name for a client in a DNS domain `NAMESPACE.svc.SUFFIX`.
fn short_names(full: &str, client: &str) -> Vec<String> {
    let Some((namespace, zone)) = client.split_once('.') else { return Vec::new() };
    let Some(local) = full.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.')) else {
        return Vec::new();
    };
    let kind = zone.split('.').next().unwrap_or_default();
    match local.strip_suffix(namespace).and_then(|rest| rest.strip_suffix('.')) {
        Some(name) if !name.is_empty() => {
            vec![name.to_owned(), format!("{local}.{kind}"), local.to_owned()]
        }
        _ => vec![local.to_owned(), format!("{local}.{kind}")],
    }
}

#[cfg(test)]
mod tests;
