//! The fields of a Service, and from a document to a [`Service`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use base::Protocol;

use super::{Exposure, Service, ServicePort, TargetPort};
use crate::check;
use crate::export::ExportTo;
use crate::meta::Meta;
use crate::read::At;
use crate::schema::{Field, LABELS, PORT, Shape, TEXTS, ok, refused, warned, warned_unless};

const ALL_ENDPOINTS: &str = "every endpoint is used";
const OUTSIDE: &str = "nothing outside the mesh is set up";

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("type", Shape::Word(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])),
    ok("selector", LABELS),
    ok("clusterIP", Shape::Text),
    ok("clusterIPs", TEXTS),
    ok("ports", Shape::List(&Shape::Object(PORTS))),
    ok("externalName", Shape::Text),
    ok("publishNotReadyAddresses", Shape::Bool),
    warned_unless("ipFamilies", TEXTS, &["IPv4"], "addresses are as written"),
    warned_unless("ipFamilyPolicy", Shape::Text, &["SingleStack"], "addresses are as written"),
    ok("internalTrafficPolicy", Shape::Word(&["Cluster", "Local"])),
    warned_unless("externalTrafficPolicy", Shape::Text, &["Cluster"], ALL_ENDPOINTS),
    warned_unless(
        "sessionAffinity",
        Shape::Text,
        &["None"],
        "requests of one client may go to several endpoints",
    ),
    warned("sessionAffinityConfig", Shape::Any, "requests of one client may go to several endpoints"),
    ok("trafficDistribution", Shape::Text),
    warned("allocateLoadBalancerNodePorts", Shape::Bool, OUTSIDE),
    warned("externalIPs", TEXTS, OUTSIDE),
    warned("healthCheckNodePort", PORT, OUTSIDE),
    warned("loadBalancerClass", Shape::Text, OUTSIDE),
    warned("loadBalancerIP", Shape::Text, OUTSIDE),
    refused("loadBalancerSourceRanges", TEXTS, "clients outside these networks would be let in"),
];

const PORTS: &[Field] = &[
    ok("name", Shape::Text),
    ok("port", PORT),
    ok("targetPort", Shape::IntOrText),
    warned_unless("protocol", Shape::Word(&["TCP", "UDP", "SCTP"]), &["TCP", "UDP"], "only TCP is carried"),
    ok("appProtocol", Shape::Text),
    warned("nodePort", PORT, OUTSIDE),
];

/// The annotation that says who sees a Service.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>, meta: &Meta) -> Service {
    let exposure = match spec.text("type") {
        Some("ExternalName") => Exposure::ExternalName,
        Some("LoadBalancer") => Exposure::LoadBalancer,
        Some("NodePort") => Exposure::NodePort,
        _ => Exposure::ClusterIp,
    };
    let headless =
        spec.text("clusterIP") == Some("None") || spec.texts("clusterIPs").iter().any(|ip| ip == "None");
    if let Some(selector) = spec.field("selector") {
        check::labels(&selector);
    }
    let ports = ports(spec);
    if ports.is_empty() && !headless && exposure != Exposure::ExternalName && spec.list("ports").is_empty() {
        spec.missing("ports", "a Service needs at least one port");
    }
    Service {
        exposure,
        selector: spec.labels("selector"),
        cluster_ips: cluster_ips(spec),
        headless,
        ports,
        external_name: external_name(spec, exposure),
        is_node_local: spec.text("internalTrafficPolicy") == Some("Local"),
        traffic_distribution: spec.owned("trafficDistribution"),
        publishes_not_ready: spec.bool("publishNotReadyAddresses").unwrap_or(false),
        export_to: export_to(spec, meta),
    }
}

fn export_to(spec: &At<'_>, meta: &Meta) -> Option<ExportTo> {
    let words: Vec<&str> = meta.annotations.get(EXPORT_TO)?.split(',').map(str::trim).collect();
    let is_word = |word: &&str| matches!(*word, "" | "*" | "." | "~") || check::is_label(word);
    if let Some(word) = words.iter().find(|word| !is_word(word)) {
        let message =
            format!("the annotation {EXPORT_TO} names {word:?}, which is no namespace, `.`, `*` or `~`");
        spec.error_at_key("wrong-value", message);
    }
    ExportTo::of(words, &meta.namespace)
}

fn external_name(spec: &At<'_>, exposure: Exposure) -> Option<String> {
    if exposure != Exposure::ExternalName {
        return None;
    }
    let name = spec.text("externalName").unwrap_or_default();
    if name.is_empty() {
        spec.missing("externalName", "a Service of type ExternalName needs the name it stands for");
    } else if !check::is_fqdn(name) && name.parse::<IpAddr>().is_err() {
        spec.error("wrong-value", format!("{name:?} is not a host name"));
    }
    Some(name.into())
}

fn cluster_ips(spec: &At<'_>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for item in spec.field("clusterIP").into_iter().chain(spec.list("clusterIPs")) {
        match item.node.text() {
            None | Some("" | "None") => {}
            Some(text) => match text.parse() {
                Ok(address) if all.contains(&address) => {}
                Ok(address) => all.push(address),
                Err(_) => item.error("wrong-value", format!("{text:?} is not an IP address")),
            },
        }
    }
    all
}

fn ports(spec: &At<'_>) -> Vec<ServicePort> {
    let items = spec.list("ports");
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    let mut ports = Vec::new();
    for item in &items {
        let name = item.text("name").unwrap_or_default();
        if name.is_empty() && items.len() > 1 {
            item.missing("name", "where there are several ports, each needs a name");
        } else if !name.is_empty() && !check::is_label(name) {
            item.error("wrong-value", format!("{name:?} is not a port's name"));
        }
        let Some(number) = item.port("port") else {
            if item.field("port").is_none() {
                item.missing("port", "a port needs its number");
            }
            continue;
        };
        let transport = item.text("protocol").unwrap_or("TCP");
        if !name.is_empty() && !names.insert(name) {
            let message =
                format!("the port name {name:?} stands twice; where it is asked for, the first is meant");
            item.warn("ambiguous", message);
        } else if !numbers.insert((number, transport)) {
            item.error("duplicate-value", format!("the port {number} stands twice"));
        }
        let protocol = Protocol::of_port(transport, item.text("appProtocol"), name, number);
        if protocol != Protocol::Udp {
            check::stream_protocol(item, protocol);
        }
        let target_port = target_port(item, number);
        ports.push(ServicePort { name: name.into(), number, target_port, protocol });
    }
    ports
}

/// A number, a container port's name, or the port itself where nothing is written.
fn target_port(at: &At<'_>, port: u16) -> TargetPort {
    let Some(field) = at.field("targetPort") else { return TargetPort::Number(port) };
    match field.node.text() {
        Some("") => TargetPort::Number(port),
        Some(name) => {
            let has_letter = name.bytes().any(|b| b.is_ascii_lowercase());
            if name.len() > 15 || !check::is_label(name) || !has_letter {
                field.error(
                    "wrong-value",
                    format!("{name:?} is not a container port's name (at most 15, a letter)"),
                );
            }
            TargetPort::Name(name.into())
        }
        None => TargetPort::Number(at.port("targetPort").unwrap_or(port)),
    }
}
