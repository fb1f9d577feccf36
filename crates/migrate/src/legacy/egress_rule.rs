//! EgressRule: a host outside the mesh that may be called.

use super::common::{Service, service};
use crate::read::At;

/// Hosts and the ports they may be called at.
#[derive(Clone, Debug, Default)]
pub(crate) struct EgressRule {
    /// Names, wildcards or networks; one but for v1alpha1.
    pub(crate) hosts: Vec<String>,
    pub(crate) ports: Vec<EgressPort>,
    pub(crate) use_egress_proxy: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct EgressPort {
    pub(crate) port: u16,
    /// As written.
    pub(crate) protocol: String,
}

/// Reads `spec`; what is wrong goes to the log.
pub(super) fn read(spec: &At<'_>) -> EgressRule {
    spec.only(&["destination", "domains", "ports", "useEgressProxy"]);
    let mut hosts = spec.texts("domains");
    if let Some(field) = spec.field("destination") {
        let destination: Service = service(&field);
        if destination.service.is_empty() {
            field.error("missing-field", "an EgressRule names its host by `destination.service`");
        }
        hosts.push(destination.service);
    } else if hosts.is_empty() {
        spec.error("missing-field", "an EgressRule needs `destination: {service: HOST}`");
    }
    let ports = spec.list("ports");
    if ports.is_empty() {
        spec.error("missing-field", "an EgressRule needs `ports`");
    }
    let mut all: Vec<EgressPort> = Vec::new();
    for (at, port) in ports.iter().filter_map(|at| Some((at, port(at)?))) {
        if all.iter().any(|other| other.port == port.port) {
            at.error("duplicate-value", format!("the port {} stands twice", port.port));
        }
        all.push(port);
    }
    EgressRule { hosts, ports: all, use_egress_proxy: spec.bool("useEgressProxy") }
}

fn port(at: &At<'_>) -> Option<EgressPort> {
    at.only(&["port", "protocol"]);
    let port = at.whole::<u16>("port").filter(|port| *port > 0);
    if port.is_none() {
        at.error("missing-field", "a port is a number between 1 and 65535");
    }
    let protocol = at.text("protocol");
    let known = ["http", "https", "http2", "grpc", "tcp", "mongo", "redis"];
    if !known.contains(&protocol.to_ascii_lowercase().as_str()) {
        at.error("wrong-value", format!("a port's `protocol` is one of {}", known.join(", ")));
    }
    Some(EgressPort { port: port?, protocol })
}
