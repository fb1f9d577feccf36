//! Endpoints, grouped by locality.

use proto::envoy::config::core::v3::{HealthStatus, Locality};
use proto::envoy::config::endpoint::v3 as envoy;
use proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints};

use mesh::Endpoint;

use crate::{origin, wire};

/// The endpoints of a cluster; those of one locality must stand together.
pub(crate) fn assignment(cluster: &str, endpoints: &[Endpoint]) -> ClusterLoadAssignment {
    // Envoy refuses a locality whose weights do not fit in 32 bits together.
    let most = u32::MAX / u32::try_from(endpoints.len().max(1)).unwrap_or(u32::MAX);
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: endpoints.chunk_by(|a, b| a.locality == b.locality).map(|e| locality(e, most)).collect(),
        ..Default::default()
    }
}

fn locality(endpoints: &[Endpoint], most: u32) -> LocalityLbEndpoints {
    let name = endpoints.first().map_or("", |endpoint| endpoint.locality.as_str());
    let mut parts = name.splitn(3, '/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    LocalityLbEndpoints {
        locality: (!name.is_empty()).then(|| Locality { region: part(), zone: part(), sub_zone: part() }),
        load_balancing_weight: wire::u32(endpoints.iter().map(|e| e.weight.clamp(1, most)).sum()),
        lb_endpoints: endpoints.iter().map(|endpoint| one(endpoint, most)).collect(),
        ..Default::default()
    }
}

fn one(endpoint: &Endpoint, most: u32) -> LbEndpoint {
    let mut more = Vec::new();
    if !endpoint.workload.is_empty() {
        more.push(("workload", origin::text(endpoint.workload.clone())));
    }
    LbEndpoint {
        health_status: HealthStatus::Healthy.into(),
        load_balancing_weight: wire::u32(endpoint.weight.clamp(1, most)),
        metadata: origin::with(None, more),
        host_identifier: Some(HostIdentifier::Endpoint(envoy::Endpoint {
            address: wire::named_address(&endpoint.address, endpoint.port),
            ..Default::default()
        })),
    }
}
