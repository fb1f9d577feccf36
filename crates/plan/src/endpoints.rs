//! The endpoints of a cluster, ready to be chosen among.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use balance::{Health, Host, Hosts, Settings, Table};
use filter::Share;
use proto::envoy::config::endpoint::v3 as wire;
use proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;

use crate::cluster::{ClusterKind, ClusterSpec};
use crate::read::{At, HostPort, Within, Wrong, each, host_port, metadata, number, refuse, text};
use crate::transport::Tls;

/// No control plane means this many priorities; Envoy allows no more.
const PRIORITIES: u32 = 128;

/// The endpoints of a cluster.
#[derive(Debug, Default)]
pub struct Assignment {
    /// The endpoints; while names are to be resolved, as configured.
    pub endpoints: Vec<Endpoint>,
    /// Chooses among them, by the same places; empty while names are to be resolved.
    pub table: Table,
    /// Where they are.
    pub localities: Vec<Locality>,
    /// The shares of requests that are dropped to protect them, each with its category.
    pub drops: Vec<(Arc<str>, Share)>,
    /// Whether some endpoints have names that are to be resolved first.
    pub has_names: bool,
    overprovisioning: u32,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub target: Target,
    /// Its name in `auto_host_rewrite`.
    pub hostname: Option<Arc<str>>,
    /// The workload behind it.
    pub workload: Option<Workload>,
    /// The TLS it must be spoken to with; without TLS it is not to be used.
    pub tls: Option<Arc<Tls>>,
    /// What discovery says of it.
    pub health: Health,
    /// Its share beside the others.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u32,
    /// Its place in [`Assignment::localities`].
    pub locality: usize,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At an address.
    Address(SocketAddr),
    /// Wherever the name resolves to.
    Name(Arc<str>, u16),
}

/// Where a group of endpoints is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality {
    /// The region.
    pub region: Arc<str>,
    /// The zone.
    pub zone: Arc<str>,
    /// The part of the zone.
    pub sub_zone: Arc<str>,
    /// Its share beside the others.
    pub weight: u32,
}

/// A workload as `istio.workload` writes it: name, namespace, canonical name and revision, cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload(Arc<str>);

impl Workload {
    /// The workload's name.
    pub fn name(&self) -> &str {
        self.part(0)
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.part(1)
    }

    /// The name of what it is a version of.
    pub fn canonical_name(&self) -> &str {
        self.part(2)
    }

    /// Its version.
    pub fn canonical_revision(&self) -> &str {
        self.part(3)
    }

    /// The cluster it runs in.
    pub fn cluster(&self) -> &str {
        self.part(4)
    }

    fn part(&self, place: usize) -> &str {
        self.0.split(';').nth(place).unwrap_or_default()
    }
}

impl Assignment {
    pub(crate) fn compile(
        message: &wire::ClusterLoadAssignment,
        spec: &ClusterSpec,
        hosts: &mut Hosts,
    ) -> Result<Self, Wrong> {
        refuse(!message.named_endpoints.is_empty(), "named_endpoints")?;
        let policy = message.policy.clone().unwrap_or_default();
        let drops = each(&policy.drop_overloads, "policy.drop_overloads", |drop| {
            let share = drop.drop_percentage.as_ref().map_or(Ok(Share::NONE), Share::compile);
            Ok((Arc::from(drop.category.as_str()), share.at("drop_percentage")?))
        })?;
        let mut assignment = Self {
            drops,
            overprovisioning: number(&policy.overprovisioning_factor).unwrap_or(140).max(100),
            ..Self::default()
        };
        for (i, locality) in message.endpoints.iter().enumerate() {
            assignment.add(locality, spec).within(format_args!("endpoints[{i}]"))?;
        }
        assignment.has_names = assignment.endpoints.iter().any(|e| matches!(e.target, Target::Name(..)));
        if !assignment.has_names {
            assignment.arrange(spec, hosts);
        }
        Ok(assignment)
    }

    fn add(&mut self, message: &wire::LocalityLbEndpoints, spec: &ClusterSpec) -> Result<(), Wrong> {
        refuse(message.lb_config.is_some(), "lb_config")?;
        if message.priority > PRIORITIES {
            return Err(Wrong::new("priority", format!("{} is more than {PRIORITIES}", message.priority)));
        }
        let place = self.localities.len();
        let name = message.locality.clone().unwrap_or_default();
        self.localities.push(Locality {
            region: name.region.into(),
            zone: name.zone.into(),
            sub_zone: name.sub_zone.into(),
            weight: number(&message.load_balancing_weight).unwrap_or(0),
        });
        let endpoints = each(&message.lb_endpoints, "lb_endpoints", |endpoint| {
            let mut endpoint = Endpoint::compile(endpoint, spec)?;
            (endpoint.priority, endpoint.locality) = (message.priority, place);
            Ok(endpoint)
        })?;
        self.endpoints.extend(endpoints);
        Ok(())
    }

    /// Makes the table for endpoints that all have addresses.
    fn arrange(&mut self, spec: &ClusterSpec, hosts: &mut Hosts) {
        let all = self.endpoints.iter().filter_map(|endpoint| {
            let Target::Address(address) = endpoint.target else { return None };
            Some(Host {
                address,
                weight: endpoint.weight,
                priority: endpoint.priority,
                locality: endpoint.locality,
                health: endpoint.health,
                state: hosts.state(&spec.name, address),
            })
        });
        let settings = Settings {
            policy: spec.policy,
            panic_percent: spec.panic_percent,
            overprovisioning: self.overprovisioning,
            localities: spec.by_locality.then(|| self.localities.iter().map(|l| l.weight).collect()),
        };
        self.table = Table::new(all.collect(), &settings);
    }

    /// The same endpoints with every name replaced by what it resolves to; of a logical name by the first only.
    pub fn resolved(
        &self,
        spec: &ClusterSpec,
        hosts: &mut Hosts,
        mut resolve: impl FnMut(&str) -> Vec<std::net::IpAddr>,
    ) -> Self {
        let most = if matches!(spec.kind, ClusterKind::LogicalDns(_)) { 1 } else { usize::MAX };
        let mut endpoints = Vec::new();
        for endpoint in &self.endpoints {
            match &endpoint.target {
                Target::Address(_) => endpoints.push(endpoint.clone()),
                Target::Name(name, port) => {
                    let hostname = endpoint.hostname.clone().or_else(|| Some(Arc::clone(name)));
                    endpoints.extend(resolve(name).into_iter().take(most).map(|ip| Endpoint {
                        target: Target::Address(SocketAddr::new(ip, *port)),
                        hostname: hostname.clone(),
                        ..endpoint.clone()
                    }));
                }
            }
        }
        let mut resolved = Self {
            endpoints,
            table: Table::default(),
            localities: self.localities.clone(),
            drops: self.drops.clone(),
            has_names: false,
            overprovisioning: self.overprovisioning,
        };
        resolved.arrange(spec, hosts);
        resolved
    }

    /// The names that are to be resolved.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.endpoints.iter().filter_map(|endpoint| match &endpoint.target {
            Target::Name(name, _) => Some(name),
            Target::Address(_) => None,
        })
    }
}

impl Endpoint {
    fn compile(message: &wire::LbEndpoint, spec: &ClusterSpec) -> Result<Self, Wrong> {
        let Some(HostIdentifier::Endpoint(endpoint)) = &message.host_identifier else {
            return Err(Wrong::new("endpoint", "is missing"));
        };
        let target = match host_port(&endpoint.address).within("endpoint")? {
            HostPort::Address(address) => Target::Address(address),
            HostPort::Name(name, port) => match spec.kind {
                ClusterKind::LogicalDns(_) | ClusterKind::StrictDns(_) => Target::Name(name, port),
                _ => {
                    let path = "endpoint.address.socket_address.address";
                    return Err(Wrong::new(path, format!("{name:?} is not an IP address")));
                }
            },
        };
        let matching =
            message.metadata.as_ref().and_then(|m| m.filter_metadata.get("envoy.transport_socket_match"));
        Ok(Self {
            target,
            hostname: Some(endpoint.hostname.as_str()).filter(|name| !name.is_empty()).map(Arc::from),
            workload: metadata(&message.metadata, "istio", "workload")
                .and_then(text)
                .map(|t| Workload(t.into())),
            tls: spec.tls.of(matching).cloned(),
            health: match message.health_status {
                0 | 1 => Health::Healthy,
                3 => Health::Draining,
                5 => Health::Degraded,
                _ => Health::Unhealthy,
            },
            weight: number(&message.load_balancing_weight).unwrap_or(1).max(1),
            priority: 0,
            locality: 0,
        })
    }
}
