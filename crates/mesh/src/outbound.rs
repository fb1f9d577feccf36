//! Routes from a workload: virtual hosts for every service and for every host that only a VirtualService names.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use base::{Host, Protocol};

use crate::exit::Exit;
use crate::scope::Import;
use crate::service::{Resolution, Service};
use crate::site::Site;
use crate::slice::{Route, RouteSlice, Side, VirtualHost};
use crate::vantage::{Vantage, cluster_name};
use crate::{connect, policy, unknown};

/// Istio's name of the routes of the HTTP proxy listener.
pub(crate) const HTTP_PROXY: &str = "http_proxy";

/// The virtual host of a local sidecar's own address.
const LOOP: &str = "block_loop";

impl<'a> Exit<'a> {
    /// The routes of one service port, chosen by host.
    pub(crate) fn of_port(&self, port: u16) -> RouteSlice {
        let mut hosts = self.hosts(port, &|domain| vec![domain]);
        hosts.extend(itself(self.site, |ip| vec![ip]));
        slice(self.site, &port.to_string(), true, complete(self.site, hosts))
    }

    /// The routes of a listener that leads wherever the egress listener does, under its name.
    pub(crate) fn of_everything(&self, name: &str) -> RouteSlice {
        everything(self.site, name, |_| Some(*self))
    }

    /// Adds tunnels to what takes more than requests at a port.
    fn open_tunnels(&self, port: u16, hosts: &mut Vec<VirtualHost>) {
        for import in self.egress.services.at_port(port) {
            let tunnels = import.port(port).map(|port| connect::of_service(*self, import, port));
            for (host, route) in tunnels.into_iter().flatten() {
                let name = format!("{host}:{port}");
                match hosts.iter_mut().find(|known| known.name == name) {
                    Some(known) => known.routes.push(route),
                    None => {
                        let own = host == import.service.host;
                        let names = if own { self.domains(&import.service) } else { vec![host.to_string()] };
                        let domains = names.iter().map(|domain| format!("{domain}:{port}"));
                        hosts.push(VirtualHost::new(name, domains.collect(), vec![route]));
                    }
                }
            }
        }
    }

    /// The routes of one service's port behind an address of its own.
    pub(crate) fn of_service(&self, service: &Service, port: u16) -> RouteSlice {
        let name = service_route(&service.host, port);
        let routes = self.service_routes(&self.vantage(port), service);
        let mut host = VirtualHost::new(name.clone(), vec!["*".into()], routes);
        host.session.clone_from(&service.session);
        slice(self.site, &name, true, vec![host])
    }

    fn hosts(&self, port: u16, spell: &dyn Fn(String) -> Vec<String>) -> Vec<VirtualHost> {
        let vantage = self.vantage(port);
        let virtual_host = |host: &Host, domains: Vec<String>, routes| {
            VirtualHost::new(format!("{host}:{port}"), domains.into_iter().flat_map(spell).collect(), routes)
        };
        let mut hosts: Vec<VirtualHost> = Vec::new();
        // Before the services: a VirtualService for another name of a service takes that name from it.
        for (host, routes) in self.other_hosts(&vantage) {
            hosts.push(virtual_host(host, vec![authority(host)], routes));
        }
        let services = self.egress.services.at_port(port).filter(|import| has_requests(import, port));
        for Import { service, .. } in services {
            let domains = self.domains(service);
            let mut host = virtual_host(&service.host, domains, self.service_routes(&vantage, service));
            host.session.clone_from(&service.session);
            hosts.push(host);
        }
        hosts
    }

    /// Hosts that are no service of this port, of VirtualServices that route for one that is; at port 80, of all.
    fn other_hosts(&self, vantage: &Vantage<'_>) -> Vec<(&'a Host, Vec<Route>)> {
        let services = &self.egress.services;
        let here = || services.at_port(vantage.port);
        let mut present: BTreeSet<usize> = BTreeSet::new();
        for import in here().filter(|import| has_requests(import, vantage.port)) {
            if let Some((_, claimants)) = self.egress.claims.of(&import.service.host) {
                present.extend(claimants);
            }
        }
        let is_service = |host: &Host| match host.is_wildcard() {
            true => here().any(|import| host.covers(&import.service.host)),
            false => services.by_host(host).is_some_and(|import| import.port(vantage.port).is_some()),
        };
        let mut others = Vec::new();
        for (host, claimants) in self.egress.claims.iter() {
            let here = claimants.iter().copied();
            let mut here = here.filter(|index| vantage.port == 80 || present.contains(index)).peekable();
            if here.peek().is_none() || is_service(host) {
                continue;
            }
            if let Some(routes) = self.first_routes(vantage, here) {
                others.push((host, routes));
            }
        }
        others
    }

    /// The routes of a service: of the first VirtualService for it that says anything here, else to itself.
    fn service_routes(&self, vantage: &Vantage<'_>, service: &Service) -> Vec<Route> {
        let claimants = self.egress.claims.of(&service.host).map(|(_, claimants)| claimants);
        if let Some(routes) = self.first_routes(vantage, claimants.into_iter().flatten().copied()) {
            return routes;
        }
        let port = vantage.port;
        vec![Route::Default {
            name: "default".into(),
            cluster: cluster_name(port, "", &service.host),
            operation: format!("{}:{port}/*", service.host),
            hash: policy::of(vantage.state, vantage.proxy, &service.host, "", port).hash_key().cloned(),
            origin: Some(service.origin.clone()),
        }]
    }

    fn first_routes(
        &self,
        vantage: &Vantage<'_>,
        mut claimants: impl Iterator<Item = usize>,
    ) -> Option<Vec<Route>> {
        claimants.find_map(|index| {
            let routes = vantage.routes(self.egress.virtual_services.get(index)?);
            (!routes.is_empty()).then_some(routes)
        })
    }

    /// Every name a service goes by.
    fn domains(&self, service: &Service) -> Vec<String> {
        let Site { state, proxy, .. } = self.site;
        let mut named = domains(&service.host, &proxy.id.domain);
        for alias in &service.aliases {
            named.extend(domains(alias, &proxy.id.domain));
        }
        if service.resolution == Resolution::Headless {
            // Each of its workloads has a name below the service's.
            let below: Vec<String> = named.iter().map(|name| format!("*.{name}")).collect();
            named.extend(below);
        }
        named.extend(state.virtual_ips(service, proxy).into_iter().map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }));
        named
    }
}

/// The routes of the HTTP proxy listener: of each port through the egress listener that has it.
pub(crate) fn of_http_proxy(site: Site<'_>) -> RouteSlice {
    everything(site, HTTP_PROXY, |port| Exit::at_port(site, port))
}

/// Every HTTP port of every service, chosen by host and port; what is at a port is seen through its exit.
fn everything<'a>(site: Site<'a>, name: &str, exit: impl Fn(u16) -> Option<Exit<'a>>) -> RouteSlice {
    let mut ports: BTreeSet<u16> =
        site.scope.egress.iter().flat_map(|egress| egress.services.ports()).collect();
    // Hosts that only a VirtualService names are found at HTTP's own port.
    ports.insert(80);
    let exits: Vec<(u16, Exit<'_>)> =
        ports.into_iter().filter_map(|port| Some((port, exit(port)?))).collect();
    let (mut all, mut of_requests) = (Vec::new(), BTreeSet::from([80]));
    for (port, exit) in &exits {
        if *port == 80 || exit.egress.services.at_port(*port).any(|import| has_requests(import, *port)) {
            of_requests.insert(*port);
            all.extend(exit.hosts(*port, &|domain| with_port(domain, *port)));
        }
    }
    of_requests.extend(site.proxy.http_proxy_port);
    all.extend(itself(site, |ip| of_requests.iter().flat_map(|port| with_port(ip.clone(), *port)).collect()));
    let is_local = site.proxy.local.is_some();
    if is_local {
        exits.iter().for_each(|(port, exit)| exit.open_tunnels(*port, &mut all));
    }
    let mut all = complete(site, all);
    if is_local {
        close_the_rest(site, &mut all);
    }
    slice(site, name, false, all)
}

/// Treats tunnels to where only requests are routed as those to hosts that nobody declared.
fn close_the_rest(site: Site<'_>, hosts: &mut [VirtualHost]) {
    let is_tunnel = |route: &Route| matches!(route, Route::Connect { .. });
    for host in hosts.iter_mut().filter(|host| !host.routes.iter().any(is_tunnel)) {
        host.routes.push(match host.name == LOOP {
            true => Route::Connect { tcp: None, origin: None },
            false => connect::unknown(site),
        });
    }
}

/// A local sidecar's own outbound side: a request for it that were forwarded would come back for ever.
fn itself(site: Site<'_>, spell: impl FnOnce(String) -> Vec<String>) -> Option<VirtualHost> {
    let domains = spell(site.proxy.local?.outbound().to_string());
    Some(VirtualHost::new(LOOP, domains, vec![Route::Block]))
}

/// Lets no domain occur twice, the first host that has it keeps it, and puts the catch-all last.
fn complete(site: Site<'_>, mut hosts: Vec<VirtualHost>) -> Vec<VirtualHost> {
    let mut seen = BTreeSet::new();
    for host in &mut hosts {
        host.domains.retain(|domain| seen.insert(domain.clone()));
    }
    hosts.retain(|host| !host.domains.is_empty());
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    if !seen.contains("*") {
        hosts.push(unknown::virtual_host(site));
    }
    hosts
}

fn slice(site: Site<'_>, name: &str, ignores_port: bool, hosts: Vec<VirtualHost>) -> RouteSlice {
    let retries = site.state.settings.requests.retries.clone();
    RouteSlice::new(name, Side::Outbound, ignores_port, hosts).with_retries(retries)
}

/// A host as a request names it: an address of IPv6 stands in brackets.
fn authority(host: &Host) -> String {
    match host.as_str().parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => host.to_string(),
    }
}

/// How a client asks for a host and port: HTTP's own port goes without saying.
fn with_port(domain: String, port: u16) -> Vec<String> {
    let named = format!("{domain}:{port}");
    if port == 80 { vec![named, domain] } else { vec![named] }
}

/// Istio's name of the routes behind a service's own address.
pub(crate) fn service_route(host: &Host, port: u16) -> String {
    format!("{host}:{port}")
}

fn has_requests(import: &Import, port: u16) -> bool {
    import.port(port).is_some_and(|port| takes_requests(port.protocol))
}

/// Whether requests to a port are routed one by one, or may turn out to be.
fn takes_requests(protocol: Protocol) -> bool {
    protocol.is_http() || protocol == Protocol::Auto
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
