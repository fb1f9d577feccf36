//! A service as the mesh knows it, whichever object it was written as.

use std::net::IpAddr;

use api::ExportTo;
use base::{Host, Labels, Origin};

use crate::Age;
use crate::port::Port;
use crate::proxy::Proxy;
use crate::slice::{Network, ServiceName, Session};
use crate::virtual_ip::VirtualIp;
use crate::workload::Instance;

/// A service as every proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) host: Host,
    pub(crate) name: ServiceName,
    pub(crate) ports: Vec<Port>,
    pub(crate) resolution: Resolution,
    pub(crate) is_external: bool,
    /// Its virtual addresses; a single address is a network of full length.
    pub(crate) addresses: Vec<Network>,
    /// The addresses it has for proxies that answer DNS, where it has none of its own.
    pub(crate) automatic: Option<VirtualIp>,
    /// The labels of its own object.
    pub(crate) labels: Labels,
    /// The labels of its workloads; None where it selects none.
    pub(crate) selector: Option<Labels>,
    pub(crate) instances: Vec<Instance>,
    /// The names one of which its certificate has; empty where nothing is said.
    pub(crate) subject_alt_names: Vec<String>,
    /// Which endpoints come first, whatever DestinationRules say of localities.
    pub(crate) distribution: Distribution,
    /// How it keeps a client with one endpoint.
    pub(crate) session: Option<Session>,
    /// Whether clients only reach endpoints on their own node.
    pub(crate) is_node_local: bool,
    /// Other hosts that are this service.
    pub(crate) aliases: Vec<Host>,
    /// The namespaces whose proxies see it.
    pub(crate) export_to: ExportTo,
    /// Its object's place in the order of age.
    pub(crate) age: Age,
    pub(crate) origin: Origin,
}

impl Service {
    pub(crate) fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether the platform runs it.
    pub(crate) fn is_of_platform(&self) -> bool {
        self.origin.kind == "Service"
    }

    /// Whether it names a host elsewhere and has nothing of its own.
    pub(crate) fn is_alias(&self) -> bool {
        self.is_external && self.resolution == Resolution::Dns && self.is_of_platform()
    }

    /// Whether another service of its host is the same, spread over several entries.
    pub(crate) fn takes_in(&self, other: &Service) -> bool {
        !self.is_of_platform()
            && self.name == other.name
            && self.resolution == other.resolution
            && self.labels == other.labels
            && self.selector == other.selector
            && self.export_to == other.export_to
            && other.ports.iter().any(|port| self.port(port.number).is_none())
    }

    /// Takes the ports, the workloads behind them and the addresses of one that is the same.
    pub(crate) fn take_in(&mut self, mut other: Service) {
        other.ports.retain(|port| self.port(port.number).is_none());
        for instance in &mut other.instances {
            instance.ports.retain(|number, _| other.ports.iter().any(|port| port.number == *number));
        }
        self.ports.extend(other.ports);
        self.instances.extend(other.instances.into_iter().filter(|instance| !instance.ports.is_empty()));
        for address in other.addresses {
            if !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
    }

    /// The port at which connections to one of its ports are resolved by the name their TLS client asks for; None
    /// where endpoints are known or the connection says where it goes.
    pub(crate) fn port_by_name(&self, port: &Port, proxy: &Proxy) -> Option<u16> {
        let is_resolved = self.resolution == Resolution::DnsOfClient || self.goes_by_name(port, proxy);
        is_resolved.then_some(port.number)
    }

    /// Whether, where clients choose the endpoint, it is reached by its name: where nothing is captured and the
    /// address does not say it all.
    pub(crate) fn goes_by_name(&self, port: &Port, proxy: &Proxy) -> bool {
        self.resolution == Resolution::OfClient
            && proxy.local.is_some()
            && (port.protocol.is_http() || self.virtual_ips().next().is_none())
    }

    /// Its virtual addresses, networks left out.
    pub(crate) fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|network| network.is_single()).map(|network| network.address)
    }
}

/// How the endpoints of a service are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// By DNS; every address is an endpoint.
    Dns,
    /// By DNS; one address at a time.
    DnsRoundRobin,
    /// By DNS, of the name each client asks for.
    DnsOfClient,
    /// They are known, and clients connect to them themselves.
    Headless,
    /// They are known.
    Known,
    /// Only the client knows.
    OfClient,
}

/// Which endpoints of a service come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// None of them.
    #[default]
    Any,
    /// Those on the client's node, then those of its zone.
    SameNode,
    /// Those of the client's zone.
    SameZone,
}

impl Distribution {
    /// What `trafficDistribution` or Istio's annotation says.
    pub(crate) fn named(word: &str) -> Self {
        match word {
            "PreferClose" | "PreferSameZone" => Self::SameZone,
            "PreferSameNode" => Self::SameNode,
            _ => Self::Any,
        }
    }
}

/// Istio's annotation for what a ServiceEntry has no field for.
pub(crate) const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
