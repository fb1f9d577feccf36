//! Everything a proxy decides by, as one immutable value.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use base::Digest;
use filter::{Chain, Registry};
use foldhash::fast::FixedState;
use proto::Any;
use smallvec::SmallVec;

use crate::cluster::Cluster;
use crate::listener::Listener;
use crate::manager::{FilterList, HttpManager, RouteSource};
use crate::route::{Action, Route, Targets, WeightedCluster, weighted};
use crate::store::Reject;
use crate::table::{RouteTable, TlsRequirement, VirtualHost};

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

/// A route configuration together with one list of filters: every route has its chain.
#[derive(Debug)]
pub struct Routes {
    /// The route configuration.
    pub table: Arc<RouteTable>,
    /// The chain where no route decides.
    pub base: Chain,
    chains: Vec<Chain>,
}

/// A request, as routing sees it; its path has been through [`crate::normalise`] already.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head.
    pub parts: &'a http::request::Parts,
    /// A random number, by which weights and shares are drawn.
    pub random: u64,
    /// Whether it came by TLS.
    pub is_secure: bool,
    /// Whether it came from inside the mesh.
    pub is_internal: bool,
}

/// Which route takes a request.
#[derive(Clone, Copy, Debug)]
pub struct RouteMatch<'p> {
    /// The virtual host its authority belongs to.
    pub host: &'p VirtualHost,
    /// The route.
    pub route: &'p Route,
    /// The route's place in the virtual host.
    pub place: usize,
    /// The weighted cluster that was drawn, where the route has any.
    pub target: Option<&'p WeightedCluster>,
    /// The filters to run.
    pub chain: &'p Chain,
}

/// What came of looking for a route.
#[derive(Clone, Debug)]
pub enum Lookup<'p> {
    /// This route takes the request.
    Found(RouteMatch<'p>),
    /// No virtual host has its authority (404, flag NR).
    NoHost(&'p Chain),
    /// No route of the virtual host takes it (404, flag NR).
    NoRoute(&'p VirtualHost, &'p Chain),
    /// The route configuration has not come, or does not exist (404, flag NR).
    NoTable,
    /// It must come by TLS; the client is sent to this URL (301).
    Secure(&'p VirtualHost, String),
}

impl<'a> Request<'a> {
    /// A plain request from outside, of the head of an exchange.
    pub fn new(parts: &'a http::request::Parts, random: u64) -> Self {
        Self { parts, random, is_secure: false, is_internal: false }
    }

    /// The authority: of the URI, else of the `host` header.
    pub fn authority(&self) -> &'a str {
        match self.parts.uri.authority() {
            Some(authority) => authority.as_str(),
            None => {
                self.parts.headers.get(http::header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default()
            }
        }
    }

    /// The path without its query.
    pub fn path(&self) -> &'a str {
        self.parts.uri.path()
    }

    /// The query without its question mark.
    pub fn query(&self) -> &'a str {
        self.parts.uri.query().unwrap_or_default()
    }
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
        use crate::store::{CLUSTER, ENDPOINTS, LISTENER, ROUTES};
        let all = [
            (CLUSTER, &self.sources.clusters),
            (ENDPOINTS, &self.sources.endpoints),
            (LISTENER, &self.sources.listeners),
            (ROUTES, &self.sources.routes),
        ];
        all.into_iter().flat_map(|(ty, map)| map.iter().map(move |(name, any)| (ty, name, any)))
    }
}

impl Routes {
    /// Makes the chain of every route; equal ones are one.
    pub(crate) fn bind(
        list: &FilterList,
        table: Arc<RouteTable>,
        registry: &Registry,
    ) -> Result<Self, String> {
        let base = list.chain(&[], registry)?;
        let mut chains = vec![base.clone(); table.slots];
        let mut made = Made { list, registry, known: Vec::new(), base: base.clone() };
        for host in &table.hosts {
            for route in &host.routes {
                let levels = [&route.filters, &host.filters, &table.filters];
                let place = || format!("virtual host {:?}, route {:?}", host.name, route.name);
                let chain = made.chain(&levels).map_err(|why| format!("{}: {why}", place()))?;
                if let Some(slot) = chains.get_mut(route.slot) {
                    *slot = chain;
                }
                for target in targets(route) {
                    let levels = [&target.filters, &route.filters, &host.filters, &table.filters];
                    let chain = made.chain(&levels).map_err(|why| format!("{}: {why}", place()))?;
                    if let Some(slot) = target.slot.and_then(|slot| chains.get_mut(slot)) {
                        *slot = chain;
                    }
                }
            }
        }
        Ok(Self { table, base, chains })
    }

    /// Which route takes a request.
    pub fn find(&self, request: &Request<'_>) -> Lookup<'_> {
        let authority = request.authority();
        let Some(host) = self.table.host(authority) else { return Lookup::NoHost(&self.base) };
        let must_be_secure = match host.tls {
            TlsRequirement::All => true,
            TlsRequirement::External => !request.is_internal,
            TlsRequirement::Nobody => false,
        };
        if must_be_secure && !request.is_secure {
            let path = request.parts.uri.path_and_query().map_or("/", |path| path.as_str());
            return Lookup::Secure(host, format!("https://{authority}{path}"));
        }
        let found = host.find(request).and_then(|place| Some((place, host.routes.get(place)?)));
        let Some((place, route)) = found else { return Lookup::NoRoute(host, &self.base) };
        let target = weighted(targets(route), |target| target.weight, request.random);
        let slot = target.and_then(|target| target.slot).unwrap_or(route.slot);
        let chain = self.chains.get(slot).unwrap_or(&self.base);
        Lookup::Found(RouteMatch { host, route, place, target, chain })
    }

    /// The chain of a route, for a weighted cluster of it where it has its own.
    pub fn chain(&self, route: &Route, target: Option<&WeightedCluster>) -> &Chain {
        let slot = target.and_then(|target| target.slot).unwrap_or(route.slot);
        self.chains.get(slot).unwrap_or(&self.base)
    }
}

impl<'p> RouteMatch<'p> {
    /// The cluster the request goes to; none where it is not forwarded, or no header names one.
    pub fn cluster<'a>(&self, parts: &'a http::request::Parts) -> Option<&'a str>
    where
        'p: 'a,
    {
        match (&self.route.action, self.target) {
            (_, Some(target)) => Some(&target.cluster),
            (Action::Forward(forward), None) => match &forward.targets {
                Targets::Header(name) => parts.headers.get(name)?.to_str().ok(),
                Targets::Weighted(_) => None,
            },
            (Action::Redirect(_) | Action::Reply(_), None) => None,
        }
    }
}

fn targets(route: &Route) -> &[WeightedCluster] {
    match &route.action {
        Action::Forward(forward) => match &forward.targets {
            Targets::Weighted(all) => all,
            Targets::Header(_) => &[],
        },
        Action::Redirect(_) | Action::Reply(_) => &[],
    }
}

/// What a route says about the filters of a list: name and configuration.
type Said<'a> = Vec<(&'a Arc<str>, &'a Any)>;

/// The chains made so far, by what routes say.
struct Made<'a> {
    list: &'a FilterList,
    registry: &'a Registry,
    known: Vec<(Said<'a>, Chain)>,
    base: Chain,
}

impl<'a> Made<'a> {
    /// The chain for what these levels say, the most specific first.
    fn chain(&mut self, levels: &[&'a HashMap<String, Any>]) -> Result<Chain, String> {
        if levels.iter().all(|level| level.is_empty()) {
            return Ok(self.base.clone());
        }
        let said: Said<'a> = self
            .list
            .names()
            .filter_map(|name| Some((name, levels.iter().find_map(|level| level.get(&**name))?)))
            .collect();
        if said.is_empty() {
            return Ok(self.base.clone());
        }
        if let Some((_, chain)) = self.known.iter().find(|(known, _)| *known == said) {
            return Ok(chain.clone());
        }
        let chain = self.list.chain(&said, self.registry)?;
        self.known.push((said, chain.clone()));
        Ok(chain)
    }
}
