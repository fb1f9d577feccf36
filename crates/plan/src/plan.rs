//! Everything a proxy decides by, as one immutable value.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use base::Digest;
use foldhash::fast::FixedState;
use proto::Any;
use smallvec::SmallVec;

use crate::cluster::Cluster;
use crate::listener::Listener;
use crate::manager::{HttpManager, RouteSource};
use crate::request::Request;
use crate::resource::Reject;
use crate::routes::{Lookup, Routes};
use crate::secret::Secret;
use crate::table::RouteTable;

/// A map by name that is asked on the request path.
pub(crate) type ByName<T> = HashMap<Arc<str>, T, FixedState>;

/// Everything a proxy decides by. Parts that an update did not touch are shared with the plan before.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Counts the plans of one store.
    pub generation: u64,
    /// The listeners by name.
    pub listeners: Arc<BTreeMap<Arc<str>, Arc<Listener>>>,
    pub(crate) clusters: Arc<ByName<Arc<Cluster>>>,
    pub(crate) routes: Arc<ByName<Bound>>,
    pub(crate) secrets: Arc<BTreeMap<Arc<str>, Option<Secret>>>,
    pub(crate) handover: Arc<HashMap<SocketAddr, Arc<Listener>>>,
    pub(crate) sources: Sources,
    /// The resources whose newest version was refused.
    pub rejects: Arc<Vec<Reject>>,
}

/// The resources as they came, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) listeners: Arc<BTreeMap<Arc<str>, Arc<Any>>>,
    pub(crate) routes: Arc<BTreeMap<Arc<str>, Arc<Any>>>,
    pub(crate) clusters: Arc<BTreeMap<Arc<str>, Arc<Any>>>,
    pub(crate) endpoints: Arc<BTreeMap<Arc<str>, Arc<Any>>>,
}

/// A route configuration by name, ready for each list of filters that uses it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound {
    /// None where the control plane said that there is no such configuration.
    pub(crate) table: Option<Arc<RouteTable>>,
    pub(crate) by_list: SmallVec<[(Digest, Arc<Routes>); 2]>,
}

impl Plan {
    /// A listener by name.
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.get(name)
    }

    /// The listener that takes over a connection to an original destination: the one of that very address, else
    /// the one of the port on all addresses.
    pub fn handover(&self, destination: SocketAddr) -> Option<&Arc<Listener>> {
        let any = match destination.ip().to_canonical() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let exact = SocketAddr::new(destination.ip().to_canonical(), destination.port());
        self.handover.get(&exact).or_else(|| self.handover.get(&SocketAddr::new(any, destination.port())))
    }

    /// A cluster by name.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// All clusters, in no order.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// A secret by name; none where it has not come or does not exist.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)?.as_ref()
    }

    /// Whether the control plane has said anything about a secret.
    pub fn knows_secret(&self, name: &str) -> bool {
        self.secrets.contains_key(name)
    }

    /// The routes of an HTTP manager; none where its route configuration has not come or does not exist.
    pub fn routes<'p>(&'p self, manager: &'p HttpManager) -> Option<&'p Arc<Routes>> {
        match &manager.routes {
            RouteSource::Inline(routes) => Some(routes),
            RouteSource::Named(name) => {
                let bound = self.routes.get(name)?;
                bound
                    .by_list
                    .iter()
                    .find(|(list, _)| *list == manager.filters.digest())
                    .map(|(_, routes)| routes)
            }
        }
    }

    /// Whether the control plane has said anything about the route configuration an HTTP manager names.
    pub fn knows_routes(&self, manager: &HttpManager) -> bool {
        match &manager.routes {
            RouteSource::Inline(_) => true,
            RouteSource::Named(name) => self.routes.contains_key(name),
        }
    }

    /// Which route takes a request that came to an HTTP manager.
    pub fn route<'p>(&'p self, manager: &'p HttpManager, request: &Request<'_>) -> Lookup<'p> {
        match self.routes(manager) {
            Some(routes) => routes.find(request),
            None => Lookup::NoTable,
        }
    }

    /// The resources in force as they came: type URL, name, message.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, &Arc<str>, &Arc<Any>)> {
        use crate::resource::{CLUSTER, ENDPOINTS, LISTENER, ROUTES};
        let all = [
            (CLUSTER, &self.sources.clusters),
            (ENDPOINTS, &self.sources.endpoints),
            (LISTENER, &self.sources.listeners),
            (ROUTES, &self.sources.routes),
        ];
        all.into_iter().flat_map(|(ty, map)| map.iter().map(move |(name, any)| (ty, name, any)))
    }
}
