//! Istio's DestinationRule: how a host's traffic is balanced, and the subsets it has.

use std::time::Duration;

use base::Labels;

use crate::connection_pool::ConnectionPool;
use crate::decimal::Decimal;
use crate::export::ExportTo;
use crate::load_balancer::LoadBalancer;
use crate::outlier::OutlierDetection;
use crate::tls::ClientTls;

mod policy;
mod read;

pub(crate) use read::{FIELDS, read};

/// Policies and subsets of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DestinationRule {
    /// The host as written: a short name belongs to the object's namespace.
    pub host: String,
    /// What holds for the whole host.
    pub traffic_policy: TrafficPolicy,
    /// The subsets, each name once.
    pub subsets: Vec<Subset>,
    /// The namespaces that see it; None means the mesh's default.
    pub export_to: Option<ExportTo>,
    /// The workloads whose calls it is for; None means every one that sees it.
    pub workload_selector: Option<Labels>,
}

/// How connections to a host are made and shared out. Each part is taken as a whole: where a narrower policy says
/// one, nothing of a wider policy's remains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrafficPolicy {
    /// Which endpoint takes a request.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the host.
    pub tls: Option<ClientTls>,
    /// What differs for single ports, each port once. What is not written here is not inherited from the policy
    /// around it.
    pub port_level_settings: Vec<PortPolicy>,
    /// The proxy that connections go through.
    pub tunnel: Option<Tunnel>,
    /// The header that tells the server the client's address.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many retries there may be for the requests there are.
    pub retry_budget: Option<RetryBudget>,
}

impl TrafficPolicy {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What differs for one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortPolicy {
    /// The service port.
    pub port: u16,
    /// Which endpoint takes a request.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the host.
    pub tls: Option<ClientTls>,
}

/// The proxy that connections go through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnel {
    /// How it is asked.
    pub protocol: TunnelProtocol,
    /// The host it is asked to connect to.
    pub target_host: String,
    /// The port it is asked to connect to.
    pub target_port: u16,
}

/// How a proxy is asked to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelProtocol {
    /// By the method CONNECT.
    #[default]
    Connect,
    /// By the method POST.
    Post,
}

/// The header that tells a server the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyProtocol {
    /// As text.
    #[default]
    V1,
    /// As bytes.
    V2,
}

/// How many retries there may be for the requests there are; what is None is left to the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// The share of requests that may be retries, in percent.
    pub percent: Option<Decimal>,
    /// How many retries there may always be.
    pub min_retry_concurrency: Option<u32>,
    /// How long a request counts from its beginning on; zero is as long as it is under way.
    pub budget_interval: Option<Duration>,
}

/// The part of a host's workloads that has certain labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subset {
    /// The name routes use.
    pub name: String,
    /// The labels a workload must have.
    pub labels: Labels,
    /// What differs from the host's policy; a None is inherited.
    pub traffic_policy: TrafficPolicy,
}

#[cfg(test)]
mod tests;
