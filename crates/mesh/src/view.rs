//! What one proxy is to be told of a snapshot.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base::Labels;

use crate::proxy::Proxy;
use crate::service::Service;
use crate::slice::{ClusterSlice, Endpoint, EndpointSlice, ListenerSlice, RouteSlice};
use crate::snapshot::Snapshot;
use crate::{cluster, gateway, sidecar};

/// The slices of one proxy; proxies of equal scope share it.
#[derive(Clone, Debug)]
pub struct View {
    /// Every cluster.
    pub clusters: Arc<ClusterSlice>,
    /// Every listener.
    pub listeners: Arc<ListenerSlice>,
    routes: BTreeMap<String, Arc<RouteSlice>>,
    members: BTreeMap<String, Members>,
}

/// Which workloads a cluster stands for.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub(crate) service: Arc<Service>,
    pub(crate) port: u16,
    pub(crate) labels: Labels,
}

/// What a proxy is to be told of a snapshot.
pub fn view(snapshot: &Snapshot, proxy: &Proxy) -> View {
    let state = &snapshot.0;
    let (clusters, members) = cluster::clusters(state, proxy);
    let (listeners, routes) =
        if proxy.is_gateway() { gateway::listeners(state, proxy) } else { sidecar::listeners(state, proxy) };
    View {
        clusters: Arc::new(ClusterSlice::new(clusters)),
        listeners: Arc::new(ListenerSlice::new(listeners)),
        routes: routes.into_iter().map(|route| (route.name.clone(), Arc::new(route))).collect(),
        members,
    }
}

impl View {
    /// One route configuration, by its name.
    pub fn route(&self, name: &str) -> Option<Arc<RouteSlice>> {
        self.routes.get(name).cloned()
    }

    /// Every route configuration that listeners ask for by name, ordered by name.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<RouteSlice>> {
        self.routes.values()
    }

    /// The endpoints of one cluster that finds them by EDS, by its name.
    pub fn endpoints(&self, cluster: &str) -> Option<Arc<EndpointSlice>> {
        let members = self.members.get(cluster)?;
        Some(Arc::new(EndpointSlice::new(cluster, members.endpoints().collect())))
    }

    /// The clusters that find their endpoints by EDS, ordered by name.
    pub fn endpoint_names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }
}

impl Members {
    /// The endpoints; EDS takes addresses only, so a workload known by name alone is left out.
    fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        cluster::endpoints(&self.service, self.port, &self.labels)
            .filter(|endpoint| endpoint.address.parse::<IpAddr>().is_ok())
    }
}

#[cfg(test)]
mod tests;
