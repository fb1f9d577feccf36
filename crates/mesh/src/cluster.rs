//! Clusters: one per service port and subset, and the fixed ones; and the endpoints behind them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use api::load_balancer::Algorithm;
use api::sidecar::OutboundMode;
use base::{Host, Labels, Protocol};

use crate::destination_rule::Policy;
use crate::endpoint::{Members, Position};
use crate::port::Port;
use crate::proxy::{Interception, Proxy};
use crate::scope::Import;
use crate::service::{Resolution, Service};
use crate::site::Site;
use crate::slice::{Balance, Cluster, Discovery, Dns, Endpoint, EndpointGroup, Upstream};
use crate::state::State;
use crate::vantage::cluster_name;
use crate::{client_tls, policy, server, stat_name};

/// Takes nothing.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";
/// Takes what goes to undeclared destinations.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";
/// Takes requests to undeclared hosts where those are resolved by name.
pub(crate) const BY_NAME: &str = "AllowAnyDynamicDNSCluster";
/// Takes what arrives at undeclared ports of the workload.
pub(crate) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// Istio's address for what a sidecar sends to its own workload: capture leaves it alone.
const INBOUND_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// The same where there are no addresses of that family.
const INBOUND_SOURCE_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// The workloads behind clusters, by the clusters' names.
pub(crate) type Behind = BTreeMap<String, Arc<Members>>;

/// Every cluster of a proxy but those towards its own workload, and the workloads behind those that use EDS.
pub(crate) fn clusters(site: Site<'_>) -> (Vec<Arc<Cluster>>, Behind) {
    let Site { state, proxy, scope } = site;
    let mut all = vec![fixed(state, BLACK_HOLE, Discovery::Static(Vec::new()))];
    if !proxy.is_gateway() {
        all.extend(passthrough(state, proxy));
    }
    let buffer_limit = site.connections().cluster_per_connection_buffer_limit_bytes;
    all.iter_mut().for_each(|cluster| cluster.buffer_limit = buffer_limit);
    let mut all: Vec<_> = all.into_iter().map(Arc::new).collect();
    let (more, members) = of_services(site, scope.services.iter());
    all.extend(more);
    (all, members)
}

/// The clusters of some of the services a proxy may reach, and the workloads behind those that use EDS.
pub(crate) fn of_services<'a>(
    site: Site<'_>,
    services: impl Iterator<Item = &'a Import>,
) -> (Vec<Arc<Cluster>>, Behind) {
    let Site { state, proxy, .. } = site;
    let position = Arc::new(Position::of(state, proxy));
    let by_name = server::by_name(state, proxy);
    let (mut all, mut members) = (Vec::new(), Behind::new());
    for import in services {
        let rule = policy::rule(state, proxy, &import.service);
        let is_passed_on = !import.service.is_external
            && by_name.iter().any(|served| server::exposes(served, &import.service.host));
        for port in import.ports().filter(|port| port.protocol != Protocol::Udp) {
            let everyone = Labels::default();
            let mut parts = vec![Part {
                subset: "",
                labels: &everyone,
                policy: rule.map(|rule| rule.policy(port.number)).unwrap_or_default(),
            }];
            for subset in rule.into_iter().flat_map(|rule| rule.subsets.iter().map(move |s| (rule, s))) {
                let (rule, subset) = subset;
                let policy = rule.subset_policy(subset, port.number);
                parts.push(Part { subset: &subset.name, labels: &subset.labels, policy });
            }
            for part in &parts {
                let behind = members_of(state, &import.service, port, part, &position);
                let asked = is_passed_on.then(|| Members { only_secured: true, ..behind.clone() });
                let asked = asked.and_then(|behind| Some((by_sni(site, port, part, &behind)?, behind)));
                let usual = outbound(site, port, part, &behind).map(|cluster| (cluster, behind));
                for (cluster, behind) in usual.into_iter().chain(asked) {
                    if cluster.discovery == Discovery::Eds {
                        members.insert(cluster.name.clone(), Arc::new(behind));
                    }
                    all.push(Arc::new(cluster));
                }
            }
        }
    }
    (all, members)
}

/// The whole of a service, or one of its subsets.
struct Part<'a> {
    subset: &'a str,
    labels: &'a Labels,
    policy: Policy,
}

fn members_of(
    state: &State,
    service: &Arc<Service>,
    port: &Port,
    part: &Part<'_>,
    from: &Arc<Position>,
) -> Members {
    let (spread, _) = part.policy.spread(service, &state.settings.traffic);
    Members {
        service: service.clone(),
        port: port.number,
        labels: part.labels.clone(),
        spread,
        only_secured: false,
        from: from.clone(),
    }
}

/// The cluster of a service's port, or of a subset there; None where nothing could ever be behind it.
fn outbound(site: Site<'_>, port: &Port, part: &Part<'_>, behind: &Members) -> Option<Cluster> {
    let Site { state, proxy, .. } = site;
    let traffic = &state.settings.traffic;
    let service = &behind.service;
    let discovery = discovery(site, port, part, behind)?;
    let (_, localities) = part.policy.spread(service, traffic);
    let is_chosen_here =
        !matches!(discovery, Discovery::OriginalDestination { .. } | Discovery::DynamicForward(_));
    let balancer = part.policy.load_balancer.as_ref();
    let algorithm = balancer.and_then(|balancer| balancer.algorithm.clone());
    let limits = part.policy.limits(traffic);
    let mut cluster = Cluster {
        name: cluster_name(port.number, part.subset, &service.host),
        stat_name: stat_name::outbound(state, service, port, part.subset),
        upstream: part.policy.upstream(port.protocol, proxy, traffic),
        balance: Balance {
            algorithm: is_chosen_here.then(|| algorithm.unwrap_or(Algorithm::LeastRequest)),
            warmup: balancer.and_then(|balancer| balancer.warmup).filter(|_| is_chosen_here),
            localities,
            keeps_sessions: service.session.is_some(),
        },
        pool: limits,
        buffer_limit: site.connections().cluster_per_connection_buffer_limit_bytes,
        retry_budget: part.policy.retry_budget,
        outliers: part.policy.outliers.clone().or_else(|| traffic.outliers.clone()),
        tls: None,
        proxy_protocol: part.policy.proxy_protocol,
        source: None,
        services: vec![service.name.clone()],
        subset: part.subset.to_owned(),
        is_external: service.is_external,
        origin: part.policy.origin.clone().or_else(|| Some(service.origin.clone())),
        discovery,
    };
    match client_tls::of(state, proxy, &part.policy, service, &cluster.discovery) {
        client_tls::Wanted::Plain => {}
        client_tls::Wanted::Secured(tls) => cluster.tls = Some(*tls),
        // Without its certificates nothing may be sent, least of all as plain text.
        client_tls::Wanted::Unknown => cluster.discovery = Discovery::Static(Vec::new()),
    }
    Some(cluster)
}

fn discovery(site: Site<'_>, port: &Port, part: &Part<'_>, behind: &Members) -> Option<Discovery> {
    let Site { state, proxy, .. } = site;
    let service = &behind.service;
    let algorithm = part.policy.load_balancer.as_ref().and_then(|balancer| balancer.algorithm.as_ref());
    if algorithm == Some(&Algorithm::Passthrough) {
        return Some(Discovery::OriginalDestination { port: None });
    }
    let dns = Dns { refresh: state.settings.traffic.dns_refresh, family: proxy.dns_family() };
    // Where the mesh's shares leave nothing of it here, it is there all the same.
    let resolved = || (!behind.is_empty()).then(|| behind.groups());
    match service.resolution {
        Resolution::Known => Some(Discovery::Eds),
        Resolution::Dns => Some(Discovery::StrictDns(resolved()?, dns)),
        // Logical DNS means exactly one name.
        Resolution::DnsRoundRobin => Some(match resolved()? {
            one if count(&one) == 1 => Discovery::LogicalDns(one, dns),
            other => Discovery::StrictDns(other, dns),
        }),
        Resolution::DnsOfClient => {
            let tells_its_name = port.protocol.is_http() || port.protocol == Protocol::Tls;
            tells_its_name.then_some(Discovery::DynamicForward(proxy.dns_family()))
        }
        Resolution::Headless | Resolution::OfClient => Some(of_client(service, port, proxy)),
    }
}

fn count(groups: &[EndpointGroup]) -> usize {
    groups.iter().map(|group| group.endpoints.len()).sum()
}

/// Where clients choose the endpoint: they have, if their connection was captured.
fn of_client(service: &Service, port: &Port, proxy: &Proxy) -> Discovery {
    if proxy.is_gateway() {
        Discovery::Eds
    } else if proxy.interception != Interception::None {
        let target = port.target_number();
        Discovery::OriginalDestination { port: (target != port.number).then_some(target) }
    } else if proxy.local.is_some() && service.resolution == Resolution::OfClient {
        // Nothing is captured, so where a connection goes is told by the name a request, a tunnel or a TLS client
        // asks for; or by the address the service is known to have.
        match service.goes_by_name(port, proxy) {
            true => Discovery::DynamicForward(proxy.dns_family()),
            false => Discovery::Static(vec![own_addresses(service, port)]),
        }
    } else {
        Discovery::Eds
    }
}

/// The addresses a service is known by, as endpoints.
fn own_addresses(service: &Service, port: &Port) -> EndpointGroup {
    let endpoint = |ip: IpAddr| Endpoint {
        address: ip.to_string(),
        port: port.target_number(),
        weight: 1,
        drains: false,
        workload: String::new(),
    };
    let endpoints = service.virtual_ips().map(endpoint).collect();
    EndpointGroup { locality: String::new(), priority: 0, weight: 1, endpoints }
}

/// Istio's name of a port or a subset there as a server name.
pub(crate) fn sni_name(port: u16, subset: &str, host: &Host) -> String {
    format!("outbound_.{port}_.{subset}_.{host}")
}

/// The cluster by which a gateway passes on what asks for a service by server name: as it comes, TLS and all.
fn by_sni(site: Site<'_>, port: &Port, part: &Part<'_>, behind: &Members) -> Option<Cluster> {
    let policy = Policy { tls: None, proxy_protocol: None, ..part.policy.clone() };
    let plain = Part { subset: part.subset, labels: part.labels, policy };
    let mut cluster = outbound(site, port, &plain, behind)?;
    cluster.name = sni_name(port.number, part.subset, &behind.service.host);
    // Its numbers are not those of calls that end TLS here.
    cluster.stat_name = None;
    Some(cluster)
}

/// A cluster that no service stands behind.
pub(crate) fn fixed(state: &State, name: &str, discovery: Discovery) -> Cluster {
    let traffic = &state.settings.traffic;
    let limits = Policy::default().limits(&crate::settings::Traffic { pool: None, ..traffic.clone() });
    Cluster {
        name: name.to_owned(),
        stat_name: None,
        upstream: if matches!(discovery, Discovery::Static(_)) {
            Upstream::Tcp
        } else {
            Upstream::Downstream
        },
        discovery,
        balance: Balance::default(),
        pool: limits,
        buffer_limit: None,
        retry_budget: None,
        outliers: None,
        tls: None,
        proxy_protocol: None,
        source: None,
        services: Vec::new(),
        subset: String::new(),
        is_external: false,
        origin: None,
    }
}

/// The address that a sidecar's connections to its own workload come from.
pub(crate) fn inbound_source(proxy: &Proxy) -> IpAddr {
    if proxy.addresses.iter().any(IpAddr::is_ipv4) { INBOUND_SOURCE } else { INBOUND_SOURCE_6 }
}

fn passthrough(state: &State, proxy: &Proxy) -> Vec<Cluster> {
    let by_name = |name| fixed(state, name, Discovery::DynamicForward(proxy.dns_family()));
    let mut all = Vec::new();
    if state.settings.outbound == OutboundMode::AllowAnyDynamicDns {
        let mut unknown = by_name(BY_NAME);
        unknown.tls = state.settings.outbound_tls.as_ref().and_then(client_tls::of_unknown);
        all.push(unknown);
    }
    if proxy.local.is_some() {
        all.push(by_name(PASSTHROUGH));
        return all;
    }
    let to_client = |name| fixed(state, name, Discovery::OriginalDestination { port: None });
    let mut inbound = to_client(INBOUND_PASSTHROUGH);
    inbound.source = Some(inbound_source(proxy));
    all.extend([to_client(PASSTHROUGH), inbound]);
    all
}
