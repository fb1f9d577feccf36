//! What one proxy is to be told of a snapshot.

use std::sync::Arc;

use crate::inbound;
use crate::outward::Outward;
use crate::proxy::Proxy;
use crate::secret::Credentials;
use crate::site::Site;
use crate::slice::{ClusterSlice, EndpointSlice, ListenerSlice, RouteSlice, SecretSlice};
use crate::snapshot::Snapshot;

/// The slices of one proxy; proxies of equal scope share it.
#[derive(Clone, Debug)]
pub struct View {
    /// Every cluster.
    pub clusters: Arc<ClusterSlice>,
    /// Every listener.
    pub listeners: Arc<ListenerSlice>,
    outward: Arc<Outward>,
    secrets: Credentials,
}

/// What a proxy is to be told of a snapshot.
pub fn view(snapshot: &Snapshot, proxy: &Proxy) -> View {
    let scope = snapshot.reach(proxy);
    let site = Site { state: snapshot.state(), proxy, scope: &scope };
    let outward = snapshot.outward(site);
    let (mut clusters, mut listeners) = (outward.clusters.clone(), outward.listeners.clone());
    if !proxy.is_gateway() {
        clusters.extend(inbound::clusters(site).into_iter().map(Arc::new));
        listeners.extend(inbound::listeners(site).into_iter().map(Arc::new));
    }
    View {
        clusters: Arc::new(ClusterSlice::new(clusters)),
        listeners: Arc::new(ListenerSlice::new(listeners)),
        outward,
        secrets: Credentials::new(&site.state.secrets, &proxy.namespace, &site.state.settings.system_roots),
    }
}

impl View {
    /// One route configuration, by its name.
    pub fn route(&self, name: &str) -> Option<Arc<RouteSlice>> {
        self.outward.routes.get(name).cloned()
    }

    /// Every route configuration that listeners ask for by name, ordered by name.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<RouteSlice>> {
        self.outward.routes.values()
    }

    /// The endpoints of one cluster that finds them by EDS, by its name.
    pub fn endpoints(&self, cluster: &str) -> Option<Arc<EndpointSlice>> {
        let members = self.outward.members.get(cluster)?;
        Some(Arc::new(EndpointSlice::new(cluster, members.known())))
    }

    /// The clusters that have other endpoints than in a view before, or may have; None where not the same clusters
    /// find theirs by EDS.
    pub fn moved(&self, before: &View) -> Option<Vec<&str>> {
        let (members, before) = (&self.outward.members, &before.outward.members);
        let mut pairs = members.iter().zip(before);
        let has_same = members.len() == before.len() && pairs.all(|((name, _), (before, _))| name == before);
        let differing = members.iter().zip(before.values()).filter(|((_, now), was)| !Arc::ptr_eq(now, was));
        has_same.then(|| differing.map(|((name, _), _)| name.as_str()).collect())
    }

    /// What SDS knows under a name that clusters and listeners mention; None where it knows nothing.
    pub fn secret(&self, name: &str) -> Option<Arc<SecretSlice>> {
        self.secrets.slice(name).map(Arc::new)
    }

    /// The clusters that find their endpoints by EDS, ordered by name.
    pub fn endpoint_names(&self) -> impl Iterator<Item = &str> {
        self.outward.members.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests;
