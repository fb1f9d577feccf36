//! Endpoints, grouped by locality and priority.

use proto::envoy::config::core::v3::{self as core, HealthStatus, Locality};
use proto::envoy::config::endpoint::v3 as envoy;
use proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints};

use mesh::{Endpoint, EndpointGroup};

use crate::{origin, wire};

/// The endpoints of a cluster.
pub(crate) fn assignment(cluster: &str, groups: &[EndpointGroup]) -> ClusterLoadAssignment {
    // Envoy refuses weights that do not fit in 32 bits together, of a priority's localities or of a locality.
    let count: usize = groups.iter().map(|group| group.endpoints.len().max(1)).sum();
    let most = u32::MAX / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: groups.iter().map(|group| locality(group, most)).collect(),
        ..Default::default()
    }
}

fn locality(group: &EndpointGroup, most: u32) -> LocalityLbEndpoints {
    let mut parts = group.locality.splitn(3, '/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let is_known = !group.locality.is_empty();
    let of_group = most.saturating_mul(u32::try_from(group.endpoints.len().max(1)).unwrap_or(1));
    LocalityLbEndpoints {
        locality: is_known.then(|| Locality { region: part(), zone: part(), sub_zone: part() }),
        load_balancing_weight: wire::u32(group.weight.clamp(1, of_group)),
        lb_endpoints: group.endpoints.iter().map(|endpoint| one(endpoint, most)).collect(),
        priority: group.priority,
        ..Default::default()
    }
}

fn one(endpoint: &Endpoint, most: u32) -> LbEndpoint {
    let mut more = Vec::new();
    if !endpoint.workload.is_empty() {
        more.push(("workload", origin::text(endpoint.workload.clone())));
    }
    let health = if endpoint.drains { HealthStatus::Draining } else { HealthStatus::Healthy };
    LbEndpoint {
        health_status: health.into(),
        load_balancing_weight: wire::u32(endpoint.weight.clamp(1, most)),
        metadata: origin::with(None, more),
        host_identifier: Some(HostIdentifier::Endpoint(envoy::Endpoint {
            address: address(endpoint),
            ..Default::default()
        })),
    }
}

fn address(endpoint: &Endpoint) -> Option<core::Address> {
    match endpoint.address.strip_prefix("unix://") {
        Some(path) => wire::pipe(path),
        None => wire::named_address(&endpoint.address, endpoint.port),
    }
}
