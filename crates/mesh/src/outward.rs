//! What a proxy is told of everything but its own workload: proxies of many workloads are told the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::endpoint::Members;
use crate::sidecar::Routes;
use crate::site::Site;
use crate::slice::{Cluster, Listener};
use crate::{cluster, gateway, sidecar};

/// Clusters, listeners and routes that do not depend on the proxy's own workload.
#[derive(Debug)]
pub(crate) struct Outward {
    pub(crate) clusters: Vec<Arc<Cluster>>,
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) routes: Routes,
    /// The workloads behind clusters that use EDS.
    pub(crate) members: BTreeMap<String, Members>,
}

impl Outward {
    pub(crate) fn new(site: Site<'_>) -> Self {
        let (clusters, members) = cluster::clusters(site);
        let (listeners, routes) = if site.proxy.is_gateway() {
            let (listeners, routes) = gateway::listeners(site);
            (listeners, routes.into_iter().map(|route| (route.name.clone(), Arc::new(route))).collect())
        } else {
            sidecar::listeners(site)
        };
        Self { clusters, listeners, routes, members }
    }
}
