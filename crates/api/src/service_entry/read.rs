//! The fields of a ServiceEntry, and from a document to a [`ServiceEntry`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use base::{Host, Labels, Protocol};

use super::{EntryPort, Location, Resolution, ServiceEntry};
use crate::read::At;
use crate::schema::{CARRIED, Field, LABELS, PORT, Shape, TEXTS, ok, partly};
use crate::workload_entry::{ENDPOINT_FIELDS, WorkloadEntry, is_socket, read_endpoint};
use crate::{check, export};

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("hosts", TEXTS),
    ok("addresses", TEXTS),
    ok("ports", Shape::List(&Shape::Object(PORTS))),
    ok("location", Shape::Word(&["MESH_EXTERNAL", "MESH_INTERNAL"])),
    ok("resolution", Shape::Word(&["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"])),
    ok("endpoints", Shape::List(&Shape::Object(ENDPOINT_FIELDS))),
    ok("workloadSelector", Shape::Object(&[ok("labels", LABELS)])),
    ok("exportTo", TEXTS),
    ok("subjectAltNames", TEXTS),
];

const PORTS: &[Field] = &[
    ok("number", PORT),
    partly("protocol", Shape::Text, CARRIED),
    ok("name", Shape::Text),
    ok("targetPort", PORT),
];

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> ServiceEntry {
    let resolution = match spec.text("resolution") {
        Some("DNS") => Resolution::Dns,
        Some("DNS_ROUND_ROBIN") => Resolution::DnsRoundRobin,
        Some("DYNAMIC_DNS") => Resolution::DynamicDns,
        Some("STATIC") => Resolution::Static,
        _ => Resolution::None,
    };
    let entry = ServiceEntry {
        hosts: hosts(spec),
        addresses: addresses(spec, resolution),
        ports: ports(spec),
        location: match spec.text("location") {
            Some("MESH_INTERNAL") => Location::Internal,
            _ => Location::External,
        },
        resolution,
        endpoints: spec.list("endpoints").iter().map(read_endpoint).collect(),
        workload_selector: workload_selector(spec),
        subject_alt_names: spec.texts("subjectAltNames"),
        export_to: export::read(spec, true),
    };
    check_endpoints(spec, &entry);
    check_selection(spec, &entry);
    if entry.resolution == Resolution::DynamicDns {
        check_dynamic(spec, &entry);
    }
    warn_of_unaddressed_streams(spec, &entry);
    entry
}

fn hosts(spec: &At<'_>) -> Vec<Host> {
    let items = spec.list("hosts");
    if items.is_empty() {
        spec.missing("hosts", "a ServiceEntry needs at least one host");
    }
    let mut hosts = Vec::new();
    for item in &items {
        let Some(text) = item.node.text() else { continue };
        if text == "*" {
            item.error("wrong-value", "the host of a ServiceEntry cannot be `*`");
        } else if let Some(message) = check::wildcard_host_error(text) {
            item.error("wrong-value", message);
        } else {
            hosts.push(Host::new(text));
        }
    }
    hosts
}

fn addresses(spec: &At<'_>, resolution: Resolution) -> Vec<String> {
    let by_name = !matches!(resolution, Resolution::None | Resolution::Static);
    for item in spec.list("addresses") {
        let text = item.node.text().unwrap_or_default();
        if !check::is_address_or_network(text) {
            item.error("wrong-value", format!("{text:?} is neither an address nor a network"));
        } else if by_name && text.contains('/') {
            item.error("wrong-value", "networks are allowed for the resolutions NONE and STATIC only");
        }
    }
    spec.texts("addresses")
}

fn ports(spec: &At<'_>) -> Vec<EntryPort> {
    let items = spec.list("ports");
    if items.is_empty() {
        spec.warn_at_key("no-effect", "without `ports` nothing can be reached");
    }
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut ports = Vec::new();
    for item in &items {
        let Some(port) = port(item) else { continue };
        if !numbers.insert(port.number) {
            item.error("duplicate-value", format!("the port {} stands twice", port.number));
        }
        if !names.insert(port.name.clone()) {
            item.error("duplicate-value", format!("the port name {:?} stands twice", port.name));
        }
        ports.push(port);
    }
    ports
}

fn port(at: &At<'_>) -> Option<EntryPort> {
    let name = at.text("name").unwrap_or_default();
    if name.is_empty() {
        at.missing("name", "a port needs a name");
    } else if !check::is_label(&name.to_ascii_lowercase()) {
        at.error("wrong-value", format!("{name:?} is not a port's name"));
    }
    let protocol = check::port_protocol(at);
    let Some(number) = at.port("number") else {
        if at.field("number").is_none() {
            at.missing("number", "a port needs a number");
        }
        return None;
    };
    Some(EntryPort {
        number,
        name: name.into(),
        protocol,
        target_port: at.port("targetPort").unwrap_or(number),
    })
}

fn check_endpoints(spec: &At<'_>, entry: &ServiceEntry) {
    let items = spec.list("endpoints");
    let by_name = matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    if entry.resolution == Resolution::None && !items.is_empty() {
        spec.error("conflict", "with resolution NONE the client chooses the address; take `endpoints` away");
    }
    if entry.resolution == Resolution::DnsRoundRobin && items.len() > 1 {
        spec.error("conflict", "DNS_ROUND_ROBIN takes one endpoint at most");
    }
    if by_name && items.is_empty() && entry.hosts.iter().any(Host::is_wildcard) {
        spec.error("conflict", "a wildcard host cannot be resolved by DNS; name its endpoints");
    }
    let ports: BTreeSet<&str> = entry.ports.iter().map(|port| port.name.as_str()).collect();
    for (item, endpoint) in items.iter().zip(&entry.endpoints) {
        check_endpoint(item, endpoint, entry);
        for name in endpoint.ports.keys().filter(|name| !ports.contains(name.as_str())) {
            item.error("wrong-value", format!("the endpoint's port {name:?} is not among the ports"));
        }
    }
}

fn check_endpoint(item: &At<'_>, endpoint: &WorkloadEntry, entry: &ServiceEntry) {
    let address = endpoint.address.as_str();
    let is_address = address.parse::<IpAddr>().is_ok();
    let by_name = matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    if is_socket(address) {
        if by_name {
            item.error("wrong-value", "a unix domain socket cannot be resolved by DNS");
        }
        if entry.ports.len() != 1 {
            item.error("conflict", "a unix domain socket serves exactly one port");
        }
    } else if by_name && !is_address && !check::is_fqdn(address) && !address.is_empty() {
        item.error("wrong-value", format!("{address:?} is neither an address nor a host name"));
    } else if entry.resolution == Resolution::Static && !is_address && !address.is_empty() {
        item.error(
            "wrong-value",
            format!("{address:?} is no address; with resolution STATIC it must be one"),
        );
    }
}

fn workload_selector(spec: &At<'_>) -> Option<Labels> {
    let selector = spec.field("workloadSelector")?;
    let Some(labels) = selector.field("labels") else {
        selector.warn_at_key("no-effect", "without `labels` no workload is selected");
        return None;
    };
    check::selector(&labels);
    Some(selector.labels("labels")).filter(|labels| !labels.0.is_empty())
}

/// What a selector excludes, and what says nothing beside it.
fn check_selection(spec: &At<'_>, entry: &ServiceEntry) {
    let Some(selector) = spec.field("workloadSelector") else { return };
    if !entry.endpoints.is_empty() {
        selector.error_at_key("conflict", "`workloadSelector` and `endpoints` exclude each other");
    }
    if entry.resolution == Resolution::None {
        selector.warn_at_key("no-effect", "with resolution NONE the client chooses the address");
    }
    for item in spec.list("ports").iter().filter(|item| item.field("targetPort").is_some()) {
        let port = item.field("targetPort");
        let port = port.as_ref().unwrap_or(item);
        port.warn_at_key("ambiguous", "a selected workload's own number for this port comes before this one");
    }
}

/// Names under a wildcard are resolved by what a request asks for, which only HTTP and TLS say.
fn check_dynamic(spec: &At<'_>, entry: &ServiceEntry) {
    if let Some(host) = entry.hosts.iter().find(|host| !host.is_wildcard()) {
        spec.error("conflict", format!("DYNAMIC_DNS is for wildcard hosts; {host} is one name: write DNS"));
    }
    for name in ["endpoints", "addresses", "workloadSelector"] {
        if let Some(field) =
            spec.field(name).filter(|field| !field.node.items().is_empty() || name.ends_with('r'))
        {
            field.error_at_key("conflict", "with resolution DYNAMIC_DNS the name asked for is the endpoint");
        }
    }
    for (item, port) in spec.list("ports").iter().zip(&entry.ports) {
        if !port.protocol.is_http() && !matches!(port.protocol, Protocol::Https | Protocol::Tls) {
            item.error("wrong-value", "DYNAMIC_DNS needs a protocol that says its host: HTTP, GRPC or TLS");
        }
    }
}

/// Without an address of its own a byte stream is told from others by its port alone.
fn warn_of_unaddressed_streams(spec: &At<'_>, entry: &ServiceEntry) {
    let tells_its_host = |p: Protocol| p.is_http() || matches!(p, Protocol::Https | Protocol::Tls);
    if entry.addresses.is_empty()
        && let Some(port) = entry.ports.iter().find(|port| !tells_its_host(port.protocol))
    {
        spec.warn_at_key(
            "ambiguous",
            format!(
                "without `addresses`, connections to port {} ({}) are taken whatever host they are for",
                port.number, port.name
            ),
        );
    }
}
