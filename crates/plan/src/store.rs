//! Takes resources, keeps the last good version of each, and makes plans of them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use balance::Hosts;
use filter::Registry;
use proto::Any;
use proto::envoy::config::cluster::v3::Cluster as ClusterMessage;
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::config::listener::v3::Listener as ListenerMessage;
use proto::envoy::config::route::v3::RouteConfiguration;
use proto::envoy::extensions::transport_sockets::tls::v3::Secret as SecretMessage;

use crate::cluster::Cluster;
use crate::cluster_spec::ClusterSpec;
use crate::endpoints::Assignment;
use crate::listener::Listener;
use crate::manager::{HttpManager, RouteSource};
use crate::plan::{Bound, ByName, Plan};
use crate::read::{At, Wrong};
use crate::resource::{CLUSTER, ENDPOINTS, LISTENER, ROUTES, Reject, SECRET};
use crate::routes::Routes;
use crate::secret::Secret;
use crate::table::RouteTable;

/// Resources, each in its last good version.
#[derive(Debug, Default)]
pub struct Store {
    registry: Registry,
    hosts: Hosts,
    listeners: BTreeMap<Arc<str>, Kept<Arc<Listener>>>,
    tables: BTreeMap<Arc<str>, Kept<Option<Arc<RouteTable>>>>,
    clusters: BTreeMap<Arc<str>, Kept<Arc<ClusterSpec>>>,
    endpoints: BTreeMap<Arc<str>, Kept<Discovered>>,
    secrets: BTreeMap<Arc<str>, Option<Secret>>,
    rejects: BTreeMap<(String, String), String>,
    stale: Stale,
    /// The EDS names whose clusters must be joined anew.
    moved: BTreeSet<Arc<str>>,
    plan: Arc<Plan>,
}

/// A resource in force: as it came (none where it was said not to exist), and what it means.
#[derive(Debug)]
struct Kept<T> {
    any: Option<Arc<Any>>,
    value: T,
}

/// The endpoints discovery gave: decoded until they are joined, then only as they came.
type Discovered = Option<Box<ClusterLoadAssignment>>;

/// What has changed since the last plan.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stale {
    listeners: bool,
    routes: bool,
    clusters: bool,
    endpoints: bool,
    secrets: bool,
    rejects: bool,
}

impl Store {
    /// An empty store that makes filters through a registry.
    pub fn new(registry: Registry) -> Self {
        Self { registry, ..Self::default() }
    }

    /// Takes what discovery sends: every good resource is put in force, every bad one refused by name.
    pub fn update(&mut self, type_url: &str, added: &[(String, Any)], removed: &[String]) -> Vec<Reject> {
        let mut rejects = Vec::new();
        // First, so that what comes may take the place of what goes.
        for name in removed {
            self.stale.rejects |= self.rejects.remove(&(type_url.to_owned(), name.clone())).is_some();
            self.remove(type_url, name.as_str());
        }
        let mut coming: BTreeSet<&str> = added.iter().map(|(name, _)| name.as_str()).collect();
        for (name, any) in added {
            coming.remove(name.as_str());
            let key = (type_url.to_owned(), name.clone());
            match self.put(type_url, name, any, &coming) {
                Ok(()) => self.stale.rejects |= self.rejects.remove(&key).is_some(),
                Err(wrong) => {
                    let message = wrong.to_string();
                    rejects.push(Reject {
                        type_url: key.0.clone(),
                        name: key.1.clone(),
                        message: message.clone(),
                    });
                    self.rejects.insert(key, message);
                    self.stale.rejects = true;
                }
            }
        }
        rejects
    }

    /// Takes one resource; `coming` are those whose new versions follow in the same update.
    fn put(&mut self, type_url: &str, name: &str, any: &Any, coming: &BTreeSet<&str>) -> Result<(), Wrong> {
        match type_url {
            CLUSTER => self.put_cluster(name, any),
            ENDPOINTS => self.put_endpoints(name, any),
            LISTENER => self.put_listener(name, any, coming),
            ROUTES => self.put_routes(name, any),
            SECRET => self.put_secret(name, any),
            other => Err(Wrong::new("type_url", format!("{other} is not followed"))),
        }
    }

    fn put_cluster(&mut self, name: &str, any: &Any) -> Result<(), Wrong> {
        let message: ClusterMessage = proto::any::unpack(any).at("resource")?;
        let spec = Cluster::read(&message)?;
        same_name(name, &message.name)?;
        // Endpoints that came first were judged without their cluster.
        let discovered = spec.discovery_name().and_then(|known| self.endpoints.get_mut(known));
        if let Some(message) = discovered.and_then(Kept::<Discovered>::decoded) {
            Assignment::read(message, &spec)?;
        }
        let kept = Kept { any: Some(Arc::new(any.clone())), value: Arc::new(spec) };
        self.clusters.insert(name.into(), kept);
        self.stale.clusters = true;
        Ok(())
    }

    fn put_endpoints(&mut self, name: &str, any: &Any) -> Result<(), Wrong> {
        let message: ClusterLoadAssignment = proto::any::unpack(any).at("resource")?;
        same_name(name, &message.cluster_name)?;
        for cluster in
            self.clusters.values().filter(|c| c.value.discovery_name().is_some_and(|n| **n == *name))
        {
            Assignment::read(&message, &cluster.value)?;
        }
        self.moved.insert(name.into());
        let kept = Kept { any: Some(Arc::new(any.clone())), value: Some(Box::new(message)) };
        self.endpoints.insert(name.into(), kept);
        self.stale.endpoints = true;
        Ok(())
    }

    fn put_listener(&mut self, name: &str, any: &Any, coming: &BTreeSet<&str>) -> Result<(), Wrong> {
        let message: ListenerMessage = proto::any::unpack(any).at("resource")?;
        let listener = Listener::compile(&message, &self.registry)?;
        same_name(name, &listener.name)?;
        let others =
            self.listeners.iter().filter(|(other, _)| ***other != *name && !coming.contains(&***other));
        for (other, kept) in others.filter(|(_, kept)| kept.value.bind_to_port == listener.bind_to_port) {
            if let Some(address) =
                listener.addresses.iter().find(|a| a.port() != Some(0) && kept.value.addresses.contains(a))
            {
                return Err(Wrong::new("address", format!("{address} is taken by the listener {other:?}")));
            }
        }
        for manager in listener.managers() {
            let table = named_routes(manager).and_then(|routes| self.tables.get(routes)?.value.clone());
            if let Some(table) = table {
                Routes::bind(&manager.filters, table, &self.registry).at("http_filters")?;
            }
        }
        let kept = Kept { any: Some(Arc::new(any.clone())), value: Arc::new(listener) };
        self.listeners.insert(name.into(), kept);
        self.stale.listeners = true;
        Ok(())
    }

    fn put_routes(&mut self, name: &str, any: &Any) -> Result<(), Wrong> {
        let message: RouteConfiguration = proto::any::unpack(any).at("resource")?;
        let table = Arc::new(RouteTable::compile(&message)?);
        same_name(name, &table.name)?;
        let mut seen = BTreeSet::new();
        for manager in self.managers().filter(|m| named_routes(m).is_some_and(|routes| **routes == *name)) {
            if seen.insert(manager.filters.digest()) {
                Routes::bind(&manager.filters, Arc::clone(&table), &self.registry)
                    .at("typed_per_filter_config")?;
            }
        }
        self.tables.insert(name.into(), Kept { any: Some(Arc::new(any.clone())), value: Some(table) });
        self.stale.routes = true;
        Ok(())
    }

    /// Of a secret nothing is kept as it came: no page shall show a key.
    fn put_secret(&mut self, name: &str, any: &Any) -> Result<(), Wrong> {
        let message: SecretMessage = proto::any::unpack(any).at("resource")?;
        let secret = Secret::compile(&message)?;
        same_name(name, &message.name)?;
        self.secrets.insert(name.into(), Some(secret));
        self.stale.secrets = true;
        Ok(())
    }

    fn remove(&mut self, type_url: &str, name: &str) {
        match type_url {
            CLUSTER => self.stale.clusters |= self.clusters.remove(name).is_some(),
            LISTENER => self.stale.listeners |= self.listeners.remove(name).is_some(),
            // That a name does not exist is an answer too: nobody has to wait for it.
            ENDPOINTS => {
                let nothing = ClusterLoadAssignment { cluster_name: name.to_owned(), ..Default::default() };
                self.endpoints.insert(name.into(), Kept { any: None, value: Some(Box::new(nothing)) });
                self.moved.insert(name.into());
                self.stale.endpoints = true;
            }
            SECRET => {
                self.secrets.insert(name.into(), None);
                self.stale.secrets = true;
            }
            ROUTES => {
                self.tables.insert(name.into(), Kept { any: None, value: None });
                self.stale.routes = true;
            }
            _ => {}
        }
    }

    /// The names of the endpoints that clusters in force refer to.
    pub fn wanted_endpoints(&self) -> BTreeSet<String> {
        self.clusters.values().filter_map(|c| c.value.discovery_name()).map(|name| name.to_string()).collect()
    }

    /// The names of the route configurations that listeners in force refer to.
    pub fn wanted_routes(&self) -> BTreeSet<String> {
        self.managers().filter_map(named_routes).map(|name| name.to_string()).collect()
    }

    /// The names of the secrets that listeners and clusters in force refer to.
    pub fn wanted_secrets(&self) -> BTreeSet<String> {
        let listeners = self.listeners.values().flat_map(|kept| kept.value.secrets());
        let clusters = self.clusters.values().flat_map(|kept| kept.value.secrets());
        listeners.chain(clusters).map(|name| name.to_string()).collect()
    }

    fn managers(&self) -> impl Iterator<Item = &HttpManager> {
        self.listeners.values().flat_map(|kept| kept.value.managers()).map(AsRef::as_ref)
    }

    /// The plan of what is in force; the same one while nothing changes.
    pub fn plan(&mut self) -> Arc<Plan> {
        if self.stale == Stale::default() {
            return Arc::clone(&self.plan);
        }
        let stale = std::mem::take(&mut self.stale);
        let mut plan = Plan::clone(&self.plan);
        plan.generation += 1;
        if stale.listeners {
            plan.listeners = Arc::new(
                self.listeners
                    .iter()
                    .map(|(name, kept)| (Arc::clone(name), Arc::clone(&kept.value)))
                    .collect(),
            );
            plan.handover = Arc::new(handover(&plan.listeners));
            plan.sources.listeners = sources(&self.listeners);
        }
        if stale.listeners || stale.routes {
            plan.routes = Arc::new(self.bind_routes());
            plan.sources.routes = sources(&self.tables);
        }
        if stale.clusters || stale.endpoints {
            plan.clusters = Arc::new(self.join_clusters());
            plan.sources.clusters = sources(&self.clusters);
            plan.sources.endpoints = sources(&self.endpoints);
        }
        if stale.secrets || stale.listeners || stale.clusters {
            let wanted = self.wanted_secrets();
            self.secrets.retain(|name, _| wanted.contains(&**name));
            plan.secrets = Arc::new(self.secrets.clone());
        }
        if stale.rejects {
            let reject = |((type_url, name), message): (&(String, String), &String)| Reject {
                type_url: type_url.clone(),
                name: name.clone(),
                message: message.clone(),
            };
            plan.rejects = Arc::new(self.rejects.iter().map(reject).collect());
        }
        self.plan = Arc::new(plan);
        Arc::clone(&self.plan)
    }

    /// Every route configuration with every list of filters that uses it; what did not change is taken over.
    fn bind_routes(&mut self) -> ByName<Bound> {
        // Configurations nobody refers to any more are forgotten.
        let wanted = self.wanted_routes();
        self.tables.retain(|name, _| wanted.contains(&**name));
        let mut bound: ByName<Bound> = ByName::default();
        for (name, kept) in &self.tables {
            bound.insert(Arc::clone(name), Bound { table: kept.value.clone(), ..Bound::default() });
        }
        for manager in self.managers() {
            let Some((name, list)) = named_routes(manager).map(|name| (name, manager.filters.digest()))
            else {
                continue;
            };
            let Some(entry) = bound.get_mut(name) else { continue };
            let Some(table) = &entry.table else { continue };
            if entry.by_list.iter().any(|(known, _)| *known == list) {
                continue;
            }
            let before =
                self.plan.routes.get(name).and_then(|bound| bound.by_list.iter().find(|(l, _)| *l == list));
            let routes = match before {
                Some((_, routes)) if Arc::ptr_eq(&routes.table, table) => Some(Arc::clone(routes)),
                // Tried before either came into force, so it works again.
                _ => Routes::bind(&manager.filters, Arc::clone(table), &self.registry).ok().map(Arc::new),
            };
            entry.by_list.extend(routes.map(|routes| (list, routes)));
        }
        bound
    }

    /// Every cluster with its endpoints; what did not change is taken over.
    fn join_clusters(&mut self) -> ByName<Arc<Cluster>> {
        let wanted = self.wanted_endpoints();
        self.endpoints.retain(|name, _| wanted.contains(&**name));
        let moved = std::mem::take(&mut self.moved);
        let mut clusters: ByName<Arc<Cluster>> = ByName::default();
        for (name, kept) in &self.clusters {
            let spec = &kept.value;
            let before = self.plan.clusters.get(name).filter(|before| Arc::ptr_eq(before.spec(), spec));
            if let Some(before) =
                before.filter(|_| spec.discovery_name().is_none_or(|eds| !moved.contains(eds)))
            {
                clusters.insert(Arc::clone(name), Arc::clone(before));
                continue;
            }
            let discovered = spec.discovery_name().and_then(|eds| self.endpoints.get_mut(eds));
            let discovered = discovered.and_then(Kept::<Discovered>::decoded);
            // Both were tried together before they came into force.
            if let Ok(cluster) = Cluster::join(Arc::clone(spec), discovered, &mut self.hosts) {
                clusters.insert(Arc::clone(name), Arc::new(cluster));
            }
        }
        self.endpoints.values_mut().filter(|kept| kept.any.is_some()).for_each(|kept| kept.value = None);
        self.hosts.sweep();
        clusters
    }
}

impl Kept<Discovered> {
    fn decoded(&mut self) -> Option<&ClusterLoadAssignment> {
        if self.value.is_none() {
            self.value = proto::any::unpack(self.any.as_deref()?).ok().map(Box::new);
        }
        self.value.as_deref()
    }
}

/// A resource must be what it came as.
fn same_name(came_as: &str, own: &str) -> Result<(), Wrong> {
    match came_as == own {
        true => Ok(()),
        false => Err(Wrong::new("name", format!("is {own:?}, but it came as {came_as:?}"))),
    }
}

fn named_routes(manager: &HttpManager) -> Option<&Arc<str>> {
    match &manager.routes {
        RouteSource::Named(name) => Some(name),
        RouteSource::Inline(_) => None,
    }
}

fn sources<T>(kept: &BTreeMap<Arc<str>, Kept<T>>) -> Arc<BTreeMap<Arc<str>, Arc<Any>>> {
    let all = kept.iter().filter_map(|(name, kept)| Some((Arc::clone(name), Arc::clone(kept.any.as_ref()?))));
    Arc::new(all.collect())
}

/// The listeners that take over connections: those that are not bound themselves come before those that are.
fn handover(listeners: &BTreeMap<Arc<str>, Arc<Listener>>) -> HashMap<SocketAddr, Arc<Listener>> {
    let mut by_address = HashMap::new();
    let by_binding = |bound: bool| listeners.values().filter(move |listener| listener.bind_to_port == bound);
    for listener in by_binding(true).chain(by_binding(false)) {
        for address in &listener.addresses {
            // Nothing is redirected from a Unix socket.
            if let Some(address) = address.socket() {
                by_address.insert(address, Arc::clone(listener));
            }
        }
    }
    by_address
}
