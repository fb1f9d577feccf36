//! Slices of clusters.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::connection_pool::ConnectionPool;
use api::destination_rule::{ProxyProtocol, RetryBudget};
use api::load_balancer::{Algorithm, Warmup};
use api::outlier::OutlierDetection;
use base::{Digest, Origin};

use crate::slice::endpoint::EndpointGroup;
use crate::slice::tls::ClientTls;

/// Every cluster of one proxy.
#[derive(Clone, Debug)]
pub struct ClusterSlice {
    /// The clusters, ordered by name.
    pub clusters: Vec<Arc<Cluster>>,
    digest: Digest,
}

impl ClusterSlice {
    /// Makes a slice of these clusters.
    pub fn new(mut clusters: Vec<Arc<Cluster>>) -> Self {
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        clusters.dedup_by(|a, b| a.name == b.name);
        let digest = Digest::of_value(&clusters);
        Self { clusters, digest }
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// One upstream: a service port or a subset of one, a port of the proxy's own workload, or a fixed one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// Istio's name for it, `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub name: String,
    /// The name under which its numbers are kept; None is its own.
    pub stat_name: Option<String>,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// What is spoken to it.
    pub upstream: Upstream,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// How many connections and requests there may be.
    pub pool: ConnectionPool,
    /// The most bytes held back for one connection; None is left to the proxy.
    pub buffer_limit: Option<u32>,
    /// How many retries there may be for the requests there are.
    pub retry_budget: Option<RetryBudget>,
    /// When an endpoint is taken out for a while.
    pub outliers: Option<OutlierDetection>,
    /// TLS towards it; None is none.
    pub tls: Option<ClientTls>,
    /// The header that tells the server the client's address.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The address connections are made from.
    pub source: Option<IpAddr>,
    /// The services it stands for.
    pub services: Vec<ServiceName>,
    /// The subset, empty for the whole service.
    pub subset: String,
    /// Whether it is outside the mesh.
    pub is_external: bool,
    /// The object that decided it, with Istio's name for that object.
    pub origin: Option<Origin>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Balance {
    /// The algorithm; None where discovery leaves no choice.
    pub algorithm: Option<Algorithm>,
    /// How new endpoints come to their full share.
    pub warmup: Option<Warmup>,
    /// What the localities of endpoints count for.
    pub localities: Localities,
    /// Whether endpoints that take no new sessions keep those they have.
    pub keeps_sessions: bool,
}

/// What the localities of endpoints count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Localities {
    /// Nothing beyond their priorities.
    #[default]
    Priorities,
    /// Each has its weight.
    Weights,
    /// The proxy's own zone comes first, as far as it carries the load.
    Zones {
        /// The least number of endpoints for which it does; None is left to the proxy.
        least: Option<u64>,
    },
}

impl Cluster {
    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        Digest::of_value(self)
    }
}

/// Where a cluster's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// The host a request asks for, resolved by DNS.
    DynamicForward(DnsFamily),
    /// EDS under the cluster's own name.
    Eds,
    /// The address the connection was made to.
    OriginalDestination {
        /// The port in place of the one the connection was made to.
        port: Option<u16>,
    },
    /// These addresses.
    Static(Vec<EndpointGroup>),
    /// What these names resolve to; every address is an endpoint.
    StrictDns(Vec<EndpointGroup>, Dns),
    /// What this name resolves to; one address at a time.
    LogicalDns(Vec<EndpointGroup>, Dns),
}

/// How names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dns {
    /// How often, where an answer does not say.
    pub refresh: Duration,
    /// Which addresses are wanted.
    pub family: DnsFamily,
}

/// Which addresses of a name are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DnsFamily {
    /// IPv4 alone.
    V4,
    /// IPv4, else IPv6.
    #[default]
    V4First,
    /// IPv6 alone.
    V6,
}

/// What is spoken to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// The protocol the client came with.
    Downstream,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// Bytes.
    Tcp,
}

/// A service as telemetry names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Its host.
    pub host: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}
