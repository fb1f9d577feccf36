//! A route configuration made ready for one list of filters, and the search for a request's route.

use std::collections::HashMap;
use std::sync::Arc;

use filter::{Chain, Registry};
use proto::Any;

use crate::filter_list::FilterList;
use crate::request::Request;
use crate::route::{Action, Route, Targets, WeightedCluster, weighted};
use crate::table::{RouteTable, TlsRequirement, VirtualHost};

/// A route configuration together with one list of filters: every route has its chain.
#[derive(Debug)]
pub struct Routes {
    /// The route configuration.
    pub table: Arc<RouteTable>,
    /// The chain where no route decides.
    pub base: Chain,
    chains: Vec<Chain>,
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
