//! Clusters: one per service port and subset, one per own port, and the fixed ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use api::destination_rule::LoadBalancer;
use base::{Host, Labels, Protocol};

use crate::destination_rule::Policy;
use crate::proxy::{Interception, Proxy};
use crate::service::{Port, Resolution, Service};
use crate::settings::OutboundPolicy;
use crate::slice::{Cluster, Discovery, Endpoint, Upstream};
use crate::snapshot::{Own, State};
use crate::view::Members;
use crate::virtual_service::cluster_name;

/// Takes nothing.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";
/// Takes what goes to undeclared destinations.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";
/// Takes what arrives at undeclared ports of the workload.
pub(crate) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// Istio's address for what a sidecar sends to its own workload: capture leaves it alone.
const INBOUND_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Every cluster of a proxy, and the workloads behind those that use EDS.
pub(crate) fn clusters(state: &State, proxy: &Proxy) -> (Vec<Arc<Cluster>>, BTreeMap<String, Members>) {
    let mut all = vec![fixed(BLACK_HOLE, Discovery::Static(Vec::new()))];
    if !proxy.is_gateway() {
        all.extend(passthrough(proxy));
        all.extend(inbound(state, proxy));
    }
    let mut members = BTreeMap::new();
    for (host, service) in &state.services.by_host {
        let rule = state.rules.lookup(host, &proxy.namespace, &service.name.namespace, &state.settings);
        let open = Policy::default();
        let whole = rule.map_or(&open, |rule| &rule.policy);
        let subsets = rule.iter().flat_map(|rule| &rule.subsets);
        let everyone = Labels::default();
        let parts: Vec<Part<'_>> = std::iter::once(Part { subset: "", labels: &everyone, policy: whole })
            .chain(subsets.map(|s| Part { subset: &s.name, labels: &s.labels, policy: &s.policy }))
            .collect();
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            for part in &parts {
                let cluster = outbound(host, service, port, part, proxy);
                if cluster.discovery == Discovery::Eds {
                    let labels = part.labels.clone();
                    let service = service.clone();
                    members.insert(cluster.name.clone(), Members { service, port: port.number, labels });
                }
                all.push(cluster);
            }
        }
    }
    (all.into_iter().map(Arc::new).collect(), members)
}

/// The endpoints of a service's port whose workloads have these labels.
pub(crate) fn endpoints(service: &Service, port: u16, labels: &Labels) -> impl Iterator<Item = Endpoint> {
    let instances = service.instances.iter().filter(move |instance| labels.selects(&instance.labels));
    instances.filter_map(move |instance| {
        Some(Endpoint {
            address: instance.address.clone(),
            port: instance.ports.get(&port).copied().filter(|port| *port != 0)?,
            weight: instance.weight,
            locality: instance.locality.clone(),
            workload: instance.workload.clone(),
        })
    })
}

/// The whole of a service, or one of its subsets.
struct Part<'a> {
    subset: &'a str,
    labels: &'a Labels,
    policy: &'a Policy,
}

fn outbound(host: &Host, service: &Service, port: &Port, part: &Part<'_>, proxy: &Proxy) -> Cluster {
    let known = || endpoints(service, port.number, part.labels).collect::<Vec<_>>();
    let discovery = match service.resolution {
        Resolution::Known => Discovery::Eds,
        Resolution::Dns => Discovery::StrictDns(known()),
        // Logical DNS means exactly one name.
        Resolution::DnsRoundRobin => match known() {
            one if one.len() == 1 => Discovery::LogicalDns(one),
            other => Discovery::StrictDns(other),
        },
        Resolution::Headless | Resolution::OfClient => of_client(service, port, proxy),
    };
    let chosen_by_us = !matches!(discovery, Discovery::OriginalDestination | Discovery::DynamicForward);
    Cluster {
        name: cluster_name(port.number, part.subset, host),
        upstream: match upstream(port.protocol) {
            // What a browser speaks to a gateway says nothing about a workload.
            Upstream::Downstream if proxy.is_gateway() => Upstream::Http1,
            upstream => upstream,
        },
        load_balancer: chosen_by_us.then(|| part.policy.load_balancer.unwrap_or(LoadBalancer::LeastRequest)),
        connect_timeout: part.policy.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        source: None,
        services: vec![service.name.clone()],
        subset: part.subset.to_owned(),
        is_external: service.is_external,
        origin: part.policy.origin.clone().or_else(|| Some(service.origin.clone())),
        discovery,
    }
}

/// Where clients choose the endpoint: they have, if their connection was captured.
fn of_client(service: &Service, port: &Port, proxy: &Proxy) -> Discovery {
    if proxy.is_gateway() {
        Discovery::Eds
    } else if proxy.interception != Interception::None {
        Discovery::OriginalDestination
    } else if proxy.local.is_some() && service.resolution == Resolution::OfClient && port.protocol.is_http() {
        // Nothing is captured, so only the name a request carries tells where it goes.
        Discovery::DynamicForward
    } else {
        Discovery::Eds
    }
}

fn upstream(protocol: Protocol) -> Upstream {
    match protocol {
        Protocol::Auto => Upstream::Downstream,
        protocol if protocol.is_http2() => Upstream::Http2,
        protocol if protocol.is_http() => Upstream::Http1,
        _ => Upstream::Tcp,
    }
}

fn fixed(name: &str, discovery: Discovery) -> Cluster {
    Cluster {
        name: name.to_owned(),
        upstream: if matches!(discovery, Discovery::Static(_)) {
            Upstream::Tcp
        } else {
            Upstream::Downstream
        },
        discovery,
        load_balancer: None,
        connect_timeout: CONNECT_TIMEOUT,
        source: None,
        services: Vec::new(),
        subset: String::new(),
        is_external: false,
        origin: None,
    }
}

fn passthrough(proxy: &Proxy) -> Vec<Cluster> {
    if proxy.local.is_some() {
        return vec![fixed(PASSTHROUGH, Discovery::DynamicForward)];
    }
    let mut inbound = fixed(INBOUND_PASSTHROUGH, Discovery::OriginalDestination);
    inbound.source = Some(INBOUND_SOURCE);
    vec![fixed(PASSTHROUGH, Discovery::OriginalDestination), inbound]
}

/// The cluster for what nobody declared.
pub(crate) fn catch_all(state: &State) -> &'static str {
    match state.settings.outbound {
        OutboundPolicy::AllowAny => PASSTHROUGH,
        OutboundPolicy::RegistryOnly => BLACK_HOLE,
    }
}

/// Istio's name of the cluster for one of the workload's own ports.
pub(crate) fn inbound_name(target: u16) -> String {
    format!("inbound|{target}||")
}

/// The workload's own ports, one cluster each: several services may lead to one.
fn inbound(state: &State, proxy: &Proxy) -> Vec<Cluster> {
    // Without capture nothing arrives, except where the addresses are ours to choose.
    if proxy.interception == Interception::None && proxy.local.is_none() {
        return Vec::new();
    }
    by_target(state.own(proxy))
        .into_iter()
        .filter_map(|(target, own)| own_port(target, &own, proxy))
        .collect()
}

/// Own ports by the workload's port; what speaks no protocol a proxy takes is left out.
pub(crate) fn by_target(own: Vec<Own>) -> BTreeMap<u16, Vec<Own>> {
    let mut ports: BTreeMap<u16, Vec<Own>> = BTreeMap::new();
    for own in own.into_iter().filter(|own| own.port.protocol != Protocol::Udp) {
        ports.entry(own.target).or_default().push(own);
    }
    ports
}

fn own_port(target: u16, own: &[Own], proxy: &Proxy) -> Option<Cluster> {
    let first = own.first()?;
    let mut cluster = fixed(&inbound_name(target), Discovery::OriginalDestination);
    if let Some(local) = proxy.local {
        cluster.discovery = Discovery::Static(vec![Endpoint {
            address: local.program().to_string(),
            port: proxy.program_ports.get(&target).copied().unwrap_or(target),
            weight: 1,
            locality: String::new(),
            workload: String::new(),
        }]);
    } else {
        cluster.source = Some(INBOUND_SOURCE);
    }
    cluster.upstream = upstream(first.port.protocol);
    cluster.origin = Some(first.service.origin.clone());
    for own in own {
        if !cluster.services.contains(&own.service.name) {
            cluster.services.push(own.service.name.clone());
        }
    }
    Some(cluster)
}
