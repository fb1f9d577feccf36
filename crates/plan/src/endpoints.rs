//! The endpoints of a cluster, ready to be chosen among.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use balance::{Health, Host, Hosts, Policy, Settings, Table};
use base::Address;
use filter::Share;
use proto::envoy::config::endpoint::v3 as wire;
use proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use proto::google::protobuf::UInt32Value;

use crate::balancer::health;
use crate::cluster_spec::ClusterSpec;
use crate::discovery::ClusterKind;
use crate::read::{At, HostPort, Within, Wrong, each, host_port, metadata, number, refuse, text};
use crate::transport::UpstreamSocket;

/// No control plane means this many priorities; Envoy allows no more.
const PRIORITIES: u32 = 128;

/// The endpoints of a cluster.
#[derive(Clone, Debug, Default)]
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
    /// How it must be spoken to below HTTP, and in no other way.
    pub socket: Arc<UpstreamSocket>,
    /// What its hash is made from, where that is not its address.
    pub key: Option<Arc<str>>,
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
    Address(Address),
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
    /// Reads endpoints and makes their table.
    pub(crate) fn compile(
        message: &wire::ClusterLoadAssignment,
        spec: &ClusterSpec,
        hosts: &mut Hosts,
    ) -> Result<Self, Wrong> {
        let mut assignment = Self::read(message, spec)?;
        if !assignment.has_names {
            assignment.arrange(spec, hosts);
        }
        Ok(assignment)
    }

    /// Reads endpoints without making their table, which may be large.
    pub(crate) fn read(message: &wire::ClusterLoadAssignment, spec: &ClusterSpec) -> Result<Self, Wrong> {
        refuse(!message.named_endpoints.is_empty(), "named_endpoints")?;
        let policy = message.policy.clone().unwrap_or_default();
        refuse(policy.weighted_priority_health, "policy.weighted_priority_health")?;
        if policy.drop_overloads.len() > 1 {
            return Err(Wrong::new("policy.drop_overloads", "has more than one category"));
        }
        let overprovisioning = number(&policy.overprovisioning_factor).unwrap_or(140);
        if overprovisioning == 0 {
            return Err(Wrong::new("policy.overprovisioning_factor", "must be more than zero"));
        }
        let drops = each(&policy.drop_overloads, "policy.drop_overloads", |drop| {
            let share = drop.drop_percentage.as_ref().map_or(Ok(Share::NONE), Share::compile);
            Ok((Arc::from(drop.category.as_str()), share.at("drop_percentage")?))
        })?;
        let mut assignment = Self { drops, overprovisioning, ..Self::default() };
        for (i, locality) in message.endpoints.iter().enumerate() {
            assignment.add(locality, spec).within(format_args!("endpoints[{i}]"))?;
        }
        assignment.has_names = assignment.endpoints.iter().any(|e| matches!(e.target, Target::Name(..)));
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
            weight: weight(&message.load_balancing_weight)?.unwrap_or(0),
        });
        let endpoints = each(&message.lb_endpoints, "lb_endpoints", |endpoint| {
            let mut endpoint = Endpoint::compile(endpoint, spec)?;
            (endpoint.priority, endpoint.locality) = (message.priority, place);
            Ok(endpoint)
        })?;
        let sum = endpoints.iter().fold(0_u64, |sum, endpoint| sum + u64::from(endpoint.weight));
        if sum > u64::from(u32::MAX) {
            return Err(Wrong::new(
                "lb_endpoints",
                format!("weigh {sum} together, {} is the most", u32::MAX),
            ));
        }
        self.endpoints.extend(endpoints);
        Ok(())
    }

    /// Makes the table for endpoints that all have addresses.
    fn arrange(&mut self, spec: &ClusterSpec, hosts: &mut Hosts) {
        let balancer = &spec.balancer;
        let all = self.endpoints.iter().filter_map(|endpoint| {
            let Target::Address(address) = &endpoint.target else { return None };
            Some(Host {
                address: address.clone(),
                key: match balancer.hashes_hostname {
                    true => endpoint.hostname.clone(),
                    false => endpoint.key.clone(),
                },
                weight: endpoint.weight,
                priority: endpoint.priority,
                locality: endpoint.locality,
                health: endpoint.health,
                state: hosts.state(&spec.name, address),
            })
        });
        let settings = Settings {
            policy: balancer.policy.unwrap_or(Policy::RoundRobin),
            panic_percent: balancer.panic_percent,
            fails_on_panic: balancer.fails_on_panic,
            overprovisioning: self.overprovisioning,
            localities: balancer.by_locality.then(|| self.localities.iter().map(|l| l.weight).collect()),
            slow_start: balancer.slow_start,
            bounded_load: balancer.bounded_load,
            named: balancer.named.clone(),
        };
        self.table = Table::new(all.collect(), &settings);
    }

    /// The same endpoints as they are at this time; see [`Table::refreshed`].
    #[must_use]
    pub fn refreshed(&self, now: Duration) -> Self {
        Self { table: self.table.refreshed(now), ..self.clone() }
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
                        target: Target::Address(SocketAddr::new(ip, *port).into()),
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

    /// The category by which a request is dropped to protect the endpoints; none where it goes on.
    pub fn dropped(&self, random: &mut dyn FnMut() -> u64) -> Option<&Arc<str>> {
        self.drops.iter().find(|(_, share)| share.includes(random())).map(|(category, _)| category)
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
            HostPort::Address(address) => Target::Address(address.into()),
            HostPort::Pipe(pipe) => match spec.kind {
                ClusterKind::LogicalDns(_) | ClusterKind::StrictDns(_) => {
                    return Err(Wrong::new("endpoint.address.pipe", "is not to be resolved by DNS"));
                }
                _ => Target::Address(Address::Pipe(pipe.path)),
            },
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
            socket: Arc::clone(spec.sockets.of(matching)),
            key: metadata(&message.metadata, "envoy.lb", "hash_key")
                .and_then(text)
                .filter(|key| !key.is_empty())
                .map(Arc::from),
            health: health(message.health_status),
            weight: weight(&message.load_balancing_weight)?.unwrap_or(1),
            priority: 0,
            locality: 0,
        })
    }
}

/// A weight, which Envoy does not let be zero.
fn weight(message: &Option<UInt32Value>) -> Result<Option<u32>, Wrong> {
    match number(message) {
        Some(0) => Err(Wrong::new("load_balancing_weight", "must be more than zero")),
        weight => Ok(weight),
    }
}
