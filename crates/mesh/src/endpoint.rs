//! Endpoints: the workloads behind a cluster, in the order in which a proxy uses them.

use std::net::IpAddr;
use std::sync::Arc;

use base::Labels;

use crate::locality::{self, Asker, Locality, Placed, Spread};
use crate::proxy::Proxy;
use crate::service::{Distribution, Service};
use crate::slice::{Endpoint, EndpointGroup};
use crate::state::State;
use crate::workload::Instance;

/// Which workloads a cluster stands for, and from where they are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub(crate) service: Arc<Service>,
    pub(crate) port: u16,
    pub(crate) labels: Labels,
    pub(crate) spread: Spread,
    /// Whether only those count that take the mesh's own TLS.
    pub(crate) only_secured: bool,
    pub(crate) from: Arc<Position>,
}

/// Where a proxy is, as far as it decides which endpoints are near.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    locality: String,
    labels: Labels,
    node: String,
}

impl Position {
    /// Where a proxy is: as it says, else as its labels do, else where its workload is known to be.
    pub(crate) fn of(state: &State, proxy: &Proxy) -> Self {
        let own = || {
            let services = state.services.around(proxy);
            let instances = services.into_iter().flat_map(|service| &service.instances);
            let is_own =
                |instance: &&Instance| instance.address.parse().is_ok_and(|ip| proxy.addresses.contains(&ip));
            instances.filter(is_own).find(|instance| !instance.locality.is_empty())
        };
        let said = (!proxy.locality.is_empty()).then(|| proxy.locality.clone());
        let locality = said
            .or_else(|| locality::of_labels(&proxy.labels))
            .or_else(|| own().map(|instance| instance.locality.clone()))
            .unwrap_or_default();
        let mut labels = proxy.labels.clone();
        let place = Locality::new(&locality);
        let known = [
            (locality::REGION, place.region),
            (locality::ZONE, place.zone),
            (locality::SUBZONE, place.subzone),
            (locality::NETWORK, &proxy.network),
            (locality::NODE, &proxy.node),
        ];
        for (key, value) in known.into_iter().filter(|(_, value)| !value.is_empty()) {
            labels.0.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
        Self { locality, labels, node: proxy.node.clone() }
    }

    /// `region/zone/subzone`, as far as it is known.
    pub(crate) fn locality(&self) -> &str {
        &self.locality
    }
}

impl Members {
    /// The endpoints of a cluster of names, in the order in which they are used: Unix sockets have none, and no proxy
    /// takes them there.
    pub(crate) fn groups(&self) -> Vec<EndpointGroup> {
        self.spread(self.instances().filter(|instance| !instance.is_pipe()))
    }

    /// Whether a cluster of names has no endpoint, however they are spread.
    pub(crate) fn is_empty(&self) -> bool {
        let mut named = self.instances().filter(|instance| !instance.is_pipe());
        !named.any(|instance| placed(instance, self.port).is_some())
    }

    /// The endpoints that EDS carries: addresses only, so a workload known by name alone is left out.
    pub(crate) fn known(&self) -> Vec<EndpointGroup> {
        let is_address =
            |instance: &&Instance| instance.is_pipe() || instance.address.parse::<IpAddr>().is_ok();
        self.spread(self.instances().filter(is_address))
    }

    fn spread<'a>(&'a self, instances: impl Iterator<Item = &'a Instance>) -> Vec<EndpointGroup> {
        let from = &*self.from;
        let asker = Asker { locality: Locality::new(&from.locality), labels: &from.labels };
        let placed = instances.filter_map(|instance| placed(instance, self.port)).collect();
        locality::spread(placed, &self.spread, asker)
    }

    fn instances(&self) -> impl Iterator<Item = &Instance> {
        let is_near = |instance: &&Instance| !self.service.is_node_local || instance.node == self.from.node;
        let all = self.service.instances.iter().filter(|instance| self.labels.selects(&instance.labels));
        all.filter(|instance| !self.only_secured || instance.is_secured).filter(is_near)
    }
}

fn placed(instance: &Instance, port: u16) -> Option<Placed<'_>> {
    let endpoint = Endpoint {
        address: instance.address.clone(),
        port: instance.ports.get(&port).copied().filter(|port| *port != 0 || instance.is_pipe())?,
        weight: instance.weight,
        drains: instance.drains,
        workload: instance.workload.clone(),
    };
    Some(Placed { endpoint, locality: &instance.locality, labels: &instance.labels })
}

/// Whether anything depends on the node a proxy runs on.
pub(crate) fn depends_on_node<'a>(mut services: impl Iterator<Item = &'a Arc<Service>>) -> bool {
    services.any(|service| service.is_node_local || service.distribution == Distribution::SameNode)
}
