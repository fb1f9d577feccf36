//! What is known of services and the workloads behind them, for people who look; nothing is decided by it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::ExportTo;
use base::{Host, Labels, Protocol};

use crate::port::Port;
use crate::proxy::Proxy;
use crate::service::{Resolution, Service};
use crate::snapshot::Snapshot;
use crate::workload::Instance;

/// A service as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownService {
    /// The host clients ask for.
    pub host: Host,
    /// The object's own name.
    pub name: String,
    /// The object's namespace.
    pub namespace: String,
    /// The kind of the object.
    pub kind: String,
    /// When the object was made, where it says so.
    pub created: Option<String>,
    /// The object's labels.
    pub labels: Labels,
    /// The labels of its workloads; None where it selects none.
    pub selector: Option<Labels>,
    /// Its ports.
    pub ports: Vec<KnownPort>,
    /// Its own addresses, networks left out.
    pub addresses: Vec<IpAddr>,
    /// How its endpoints are found.
    pub finding: Finding,
    /// Whether it is outside the mesh.
    pub is_external: bool,
    /// Whether clients only reach endpoints on their own node.
    pub is_node_local: bool,
    /// Other hosts that are this service.
    pub aliases: Vec<Host>,
    /// The namespaces that see it; None is every namespace.
    pub export_to: Option<BTreeSet<String>>,
    /// The workloads behind it.
    pub workloads: Vec<KnownWorkload>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPort {
    /// Its name.
    pub name: String,
    /// The number clients ask for.
    pub number: u16,
    /// What it speaks.
    pub protocol: Protocol,
}

/// How the endpoints of a service are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// By DNS; every address is an endpoint.
    Dns,
    /// By DNS, of the name each client asks for.
    DnsOfClient,
    /// By DNS; one address at a time.
    DnsRoundRobin,
    /// They are known.
    Known,
    /// The client knows.
    OfClient,
}

/// A workload behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWorkload {
    /// Its address.
    pub address: String,
    /// Its own port, by the position of the service's port.
    pub ports: Vec<Option<u16>>,
    /// Its labels.
    pub labels: Labels,
    /// Its share of requests.
    pub weight: u32,
    /// `REGION/ZONE/SUBZONE`, as far as it is known.
    pub locality: String,
    /// Its name.
    pub name: String,
}

/// A port of a workload that a service leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownInstance {
    /// The service.
    pub service: KnownService,
    /// Which of its ports.
    pub port: KnownPort,
    /// The workload's own port.
    pub target: u16,
}

impl Snapshot {
    /// Every service, by host.
    pub fn known_services(&self) -> impl Iterator<Item = KnownService> {
        self.state().services.by_host.values().map(|service| known(service))
    }

    /// The services a proxy's own workload stands behind, by port.
    pub fn known_instances(&self, proxy: &Proxy) -> Vec<KnownInstance> {
        let own = self.state().own(proxy).into_iter();
        own.map(|own| KnownInstance {
            service: known(&own.service),
            port: port(&own.port),
            target: own.target,
        })
        .collect()
    }
}

fn known(service: &Service) -> KnownService {
    KnownService {
        host: service.host.clone(),
        name: service.name.name.clone(),
        namespace: service.name.namespace.clone(),
        kind: service.origin.kind.to_string(),
        created: service.age.created.clone(),
        labels: service.labels.clone(),
        selector: service.selector.clone(),
        ports: service.ports.iter().map(port).collect(),
        addresses: service.virtual_ips().collect(),
        finding: match service.resolution {
            Resolution::Dns => Finding::Dns,
            Resolution::DnsOfClient => Finding::DnsOfClient,
            Resolution::DnsRoundRobin => Finding::DnsRoundRobin,
            Resolution::Headless | Resolution::OfClient => Finding::OfClient,
            Resolution::Known => Finding::Known,
        },
        is_external: service.is_external,
        is_node_local: service.is_node_local,
        aliases: service.aliases.clone(),
        export_to: match &service.export_to {
            ExportTo::All => None,
            ExportTo::Namespaces(namespaces) => Some(namespaces.clone()),
        },
        workloads: service.instances.iter().map(|instance| workload(service, instance)).collect(),
    }
}

fn port(port: &Port) -> KnownPort {
    KnownPort { name: port.name.clone(), number: port.number, protocol: port.protocol }
}

fn workload(service: &Service, instance: &Instance) -> KnownWorkload {
    KnownWorkload {
        address: instance.address.clone(),
        ports: service.ports.iter().map(|port| instance.ports.get(&port.number).copied()).collect(),
        labels: instance.labels.clone(),
        weight: instance.weight,
        locality: instance.locality.clone(),
        // Istio's `name;namespace;…`.
        name: instance.workload.split(';').next().unwrap_or_default().to_owned(),
    }
}
