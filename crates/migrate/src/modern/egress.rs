//! EgressRules as ServiceEntries, with what keeps calls working: TLS begun by the proxy, and the egress gateway.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::draft::Draft;
use super::host::legal_name;
use super::world::World;
use crate::document::Document;
use crate::json::object;
use crate::legacy::{EgressPort, EgressRule, Old};
use crate::read::Log;

/// The Service of the egress gateway as it is installed.
const EGRESS_GATEWAY: &str = "istio-egressgateway.istio-system.svc.cluster.local";

/// The objects for one rule: a ServiceEntry for each host, and what belongs to it.
pub(super) fn convert(old: &Old<EgressRule>, world: &mut World, log: &Log) -> Vec<Document> {
    let mut documents = Vec::new();
    for host in &old.spec.hosts {
        let egress = Egress { old, host, is_network: is_network(host) };
        documents.push(egress.service_entry(world, log));
        if !egress.is_network {
            documents.extend(egress.origination(world, log));
        }
        if old.spec.use_egress_proxy {
            documents.extend(egress.gateway(world, log));
        }
    }
    documents
}

/// Whether a host is an address or a network.
fn is_network(host: &str) -> bool {
    host.split_once('/').map_or(host, |(address, _)| address).parse::<IpAddr>().is_ok()
}

/// One host of a rule.
struct Egress<'a> {
    old: &'a Old<EgressRule>,
    host: &'a str,
    is_network: bool,
}

impl Egress<'_> {
    fn home(&self) -> Option<&str> {
        self.old.meta.namespace.as_deref()
    }

    fn draft(&self, log: &Log) -> Draft {
        let mut draft = Draft::default();
        draft.take((&self.old.meta, &self.old.source), "", log);
        draft
    }

    fn bare(&self) -> Draft {
        Draft { parts: vec![self.old.source.part()], ..Draft::default() }
    }

    /// What a port's protocol is called now. Callers spoke plain HTTP to an `https` port, and the proxy TLS to the host.
    fn protocol(&self, protocol: &str) -> String {
        let protocol = protocol.to_ascii_uppercase();
        if protocol == "HTTPS" && !self.is_network { "HTTP".into() } else { protocol }
    }

    fn service_entry(&self, world: &mut World, log: &Log) -> Document {
        let ports: Vec<Value> = self
            .old
            .spec
            .ports
            .iter()
            .map(|port| {
                let protocol = self.protocol(&port.protocol);
                let name = format!("{}-{}", protocol.to_ascii_lowercase(), port.port);
                json!({"number": port.port, "name": name, "protocol": protocol})
            })
            .collect();
        // Such an entry needs a host all the same; nothing resolves this one.
        let made_up = format!("{}.external", legal_name(&self.old.meta.name));
        let host = if self.is_network { made_up.as_str() } else { self.host };
        let resolution = if self.is_network || self.host.starts_with('*') || !self.host.contains('.') {
            "NONE"
        } else {
            "DNS"
        };
        let spec = object([
            ("hosts", Some(json!([host]))),
            ("addresses", self.is_network.then(|| json!([self.host]))),
            ("ports", Some(ports.into())),
            ("location", Some("MESH_EXTERNAL".into())),
            ("resolution", Some(resolution.into())),
        ]);
        let name = world.name("ServiceEntry", self.old.meta.namespace(), &legal_name(&self.old.meta.name));
        self.draft(log).finish("ServiceEntry", (self.home(), &name), spec)
    }

    /// The DestinationRule that begins TLS towards the host, where the rule had the proxy do so.
    fn origination(&self, world: &mut World, log: &Log) -> Option<Document> {
        let is_https = |port: &&EgressPort| port.protocol.eq_ignore_ascii_case("https");
        let ports: Vec<u16> = self.old.spec.ports.iter().filter(is_https).map(|port| port.port).collect();
        let first = ports.first()?;
        let message = format!(
            "callers go on speaking plain HTTP to port {first} and the proxy speaks TLS; to let them speak TLS themselves, write protocol HTTPS and take the DestinationRule away"
        );
        self.old.source.warn(log, "changed", "spec.ports", message);
        let tls = json!({"mode": "SIMPLE"});
        let policy = if ports.len() == self.old.spec.ports.len() {
            json!({"tls": tls})
        } else {
            let settings = ports.iter().map(|port| json!({"port": {"number": port}, "tls": tls}));
            json!({"portLevelSettings": settings.collect::<Vec<_>>()})
        };
        let name = world.name("DestinationRule", self.old.meta.namespace(), &legal_name(self.host));
        let spec = json!({"host": self.host, "trafficPolicy": policy});
        Some(self.bare().finish("DestinationRule", (self.home(), &name), spec))
    }

    /// The Gateway and the VirtualService that lead calls through the egress gateway.
    fn gateway(&self, world: &mut World, log: &Log) -> Vec<Document> {
        let lost = |path: &str, message: &str| self.old.source.warn(log, "not-kept", path, message);
        if self.is_network || self.host.starts_with('*') {
            lost(
                "spec.useEgressProxy",
                "an egress gateway can forward to a named host only: calls go straight out; write one ServiceEntry per host",
            );
            return Vec::new();
        }
        let mut ports = Vec::new();
        for (index, port) in self.old.spec.ports.iter().enumerate() {
            let is_http = matches!(self.protocol(&port.protocol).as_str(), "HTTP" | "HTTP2" | "GRPC");
            if is_http {
                ports.push(port);
            } else {
                lost(
                    &format!("spec.ports[{index}]"),
                    "byte streams are not led through the egress gateway: calls to this port go straight out",
                );
            }
            if is_http && !matches!(port.port, 80 | 443) {
                let message = format!("the Service of the egress gateway must have port {} too", port.port);
                self.old.source.warn(log, "assumed", &format!("spec.ports[{index}].port"), message);
            }
        }
        if ports.is_empty() {
            return Vec::new();
        }
        let namespace = self.old.meta.namespace();
        let name = legal_name(&format!("{}-egress", self.old.meta.name));
        let gateway = world.name("Gateway", namespace, &name);
        let server = |port: &&EgressPort| {
            let named = json!({"number": port.port, "name": format!("http-{}", port.port), "protocol": self.protocol(&port.protocol)});
            json!({"port": named, "hosts": [self.host]})
        };
        let servers: Vec<Value> = ports.iter().map(server).collect();
        let leg = |port: u16, from: &str, host: &str| {
            let destination = json!({"host": host, "port": {"number": port}});
            json!({"match": [{"port": port, "gateways": [from]}], "route": [{"destination": destination}]})
        };
        let http: Vec<Value> = ports
            .iter()
            .flat_map(|port| [leg(port.port, "mesh", EGRESS_GATEWAY), leg(port.port, &gateway, self.host)])
            .collect();
        let route = world.name("VirtualService", namespace, &name);
        let at_gateway = json!({"selector": {"istio": "egressgateway"}, "servers": servers});
        let routes = json!({"hosts": [self.host], "gateways": ["mesh", gateway], "http": http});
        vec![
            self.bare().finish("Gateway", (self.home(), &gateway), at_gateway),
            self.bare().finish("VirtualService", (self.home(), &route), routes),
        ]
    }
}
