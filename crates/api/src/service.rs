//! Kubernetes' Service.

use std::net::IpAddr;

use base::{Labels, Protocol};

use crate::export::ExportTo;

mod read;

pub(crate) use read::{FIELDS, read};

/// A named set of ports and the workloads behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// How the service is exposed.
    pub exposure: Exposure,
    /// The labels of its workloads; empty means it selects none.
    pub selector: Labels,
    /// Its own addresses; empty where it has none.
    pub cluster_ips: Vec<IpAddr>,
    /// Whether `clusterIP: None` is written: clients see the workloads' addresses.
    pub headless: bool,
    /// The ports.
    pub ports: Vec<ServicePort>,
    /// The name it stands for; Some exactly where `exposure` is [`Exposure::ExternalName`].
    pub external_name: Option<String>,
    /// Whether clients only reach workloads on their own node.
    pub is_node_local: bool,
    /// Which workloads come first, as written.
    pub traffic_distribution: Option<String>,
    /// Whether workloads count before they are ready.
    pub publishes_not_ready: bool,
    /// The namespaces that see it (annotation `networking.istio.io/exportTo`); None means the mesh's default.
    pub export_to: Option<ExportTo>,
}

/// How a Service is exposed (`spec.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exposure {
    /// Inside the cluster.
    #[default]
    ClusterIp,
    /// As an alias of another name.
    ExternalName,
    /// By a load balancer outside.
    LoadBalancer,
    /// On a port of every node.
    NodePort,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The name; may be empty only where the service has a single port.
    pub name: String,
    /// The number clients use.
    pub number: u16,
    /// The workloads' port.
    pub target_port: TargetPort,
    /// What it speaks: told by transport, `appProtocol`, name and number.
    pub protocol: Protocol,
}

/// The port of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetPort {
    /// A container port's name.
    Name(String),
    /// A number.
    Number(u16),
}

#[cfg(test)]
mod tests;
