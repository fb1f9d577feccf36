//! What a proxy is told of everything but its own workload: proxies of many workloads are told the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Host;

use crate::endpoint::Members;
use crate::service::Service;
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
    pub(crate) members: BTreeMap<String, Arc<Members>>,
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

    /// The same where nothing but the workloads of these services differs: listeners and routes say nothing of
    /// them. None where a cluster would come or go.
    pub(crate) fn moved(&self, site: Site<'_>, moved: &BTreeMap<Host, Arc<Service>>) -> Option<Self> {
        let imports = moved.keys().filter_map(|host| site.scope.services.by_host(host));
        let (new, behind) = cluster::of_services(site, imports);
        let mut new: BTreeMap<String, Arc<Cluster>> =
            new.into_iter().map(|cluster| (cluster.name.clone(), cluster)).collect();
        let mut clusters = self.clusters.clone();
        for cluster in &mut clusters {
            if let Some(new) = new.remove(&cluster.name).filter(|new| new != cluster) {
                *cluster = new;
            }
        }
        let mut members = self.members.clone();
        let is_known = behind.into_iter().all(|(name, behind)| members.insert(name, behind).is_some());
        let (listeners, routes) = (self.listeners.clone(), self.routes.clone());
        (new.is_empty() && is_known).then_some(Self { clusters, listeners, routes, members })
    }
}
