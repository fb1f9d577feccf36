//! A route configuration: virtual hosts, and in each the routes in order.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use base::Origin;
use proto::Any;
use proto::envoy::config::route::v3 as wire;

use crate::cors::add_cors;
use crate::headers::{HeaderOps, header_ops};
use crate::hosts::{Hosts, without_port};
use crate::matcher::first_segment;
use crate::read::{At, Wrong, each, named, number, origin, refuse};
use crate::request::Request;
use crate::route::{Around, Route};

/// From so many routes on, a virtual host finds its candidates by their first segment.
const INDEXED: usize = 16;

/// A route configuration.
#[derive(Debug)]
pub struct RouteTable {
    /// Its name.
    pub name: Arc<str>,
    /// Its virtual hosts, in the order given.
    pub hosts: Vec<VirtualHost>,
    domains: Hosts,
    ignores_port: bool,
    pub(crate) filters: HashMap<String, Any>,
    /// How many chains its routes can need.
    pub(crate) slots: usize,
}

/// The routes of some domains.
#[derive(Debug)]
pub struct VirtualHost {
    /// Its name.
    pub name: Arc<str>,
    /// Its domains as configured.
    pub domains: Vec<Arc<str>>,
    /// Its routes: the first that takes a request decides.
    pub routes: Vec<Route>,
    /// Which requests must come by TLS, and are sent there if they do not.
    pub tls: TlsRequirement,
    /// Whether the upstream is told the number of the attempt.
    pub request_attempt_count: bool,
    /// Whether the client is told the number of attempts.
    pub response_attempt_count: bool,
    /// The object that decided it.
    pub origin: Option<Origin>,
    pub(crate) filters: HashMap<String, Any>,
    index: Option<Index>,
}

/// Which requests must come by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRequirement {
    /// All.
    All,
    /// Those from outside.
    External,
    /// None.
    Nobody,
}

/// Routes by the first segment of the paths they can take; places ascend in every list.
#[derive(Debug, Default)]
struct Index {
    by_segment: HashMap<Box<str>, Vec<usize>>,
    others: Vec<usize>,
}

impl RouteTable {
    pub(crate) fn compile(message: &wire::RouteConfiguration) -> Result<Self, Wrong> {
        refuse(message.vhds.is_some(), "vhds")?;
        refuse(!message.internal_only_headers.is_empty(), "internal_only_headers")?;
        refuse(!message.vhost_header.is_empty(), "vhost_header")?;
        refuse(message.ignore_path_parameters_in_path_matching, "ignore_path_parameters_in_path_matching")?;
        refuse(!message.route_specifiers.is_empty(), "route_specifiers")?;
        let (request, response) = header_ops!(message);
        let outer = Outer { message, request: request.map(Arc::new), response: response.map(Arc::new) };
        let mut domains = Hosts::default();
        let mut slots = 0;
        let mut place = 0;
        let hosts = each(&message.virtual_hosts, "virtual_hosts", |host| {
            for (i, domain) in host.domains.iter().enumerate() {
                domains.add(domain, place).at(format_args!("domains[{i}]"))?;
            }
            place += 1;
            VirtualHost::compile(host, &outer, &mut slots)
        })?;
        Ok(Self {
            name: message.name.as_str().into(),
            hosts,
            domains,
            ignores_port: message.ignore_port_in_host_matching,
            filters: message.typed_per_filter_config.clone(),
            slots,
        })
    }

    /// The virtual host of an authority: exact, else longest `*.suffix`, else longest `prefix.*`, else `*`.
    pub fn host(&self, authority: &str) -> Option<&VirtualHost> {
        let authority = if self.ignores_port { without_port(authority) } else { authority };
        self.hosts.get(self.domains.find(authority)?)
    }
}

/// What virtual hosts inherit.
struct Outer<'m> {
    message: &'m wire::RouteConfiguration,
    request: Option<Arc<HeaderOps>>,
    response: Option<Arc<HeaderOps>>,
}

impl VirtualHost {
    fn compile(message: &wire::VirtualHost, outer: &Outer<'_>, slots: &mut usize) -> Result<Self, Wrong> {
        refuse(message.matcher.is_some(), "matcher")?;
        refuse(message.hedge_policy.is_some(), "hedge_policy")?;
        refuse(message.retry_policy_typed_config.is_some(), "retry_policy_typed_config")?;
        refuse(!message.route_specifiers.is_empty(), "route_specifiers")?;
        let name = named(&message.name, "name")?;
        if message.domains.is_empty() {
            return Err(Wrong::new("domains", "is empty"));
        }
        let (request, response) = header_ops!(message);
        let levels = |own: Option<HeaderOps>, outer: &Option<Arc<HeaderOps>>| -> Vec<Arc<HeaderOps>> {
            own.map(Arc::new).into_iter().chain(outer.clone()).collect()
        };
        let (request, response) = (levels(request, &outer.request), levels(response, &outer.response));
        let mirrors = match message.request_mirror_policies.is_empty() {
            true => &outer.message.request_mirror_policies,
            false => &message.request_mirror_policies,
        };
        let max_body = number(&outer.message.max_direct_response_body_size_bytes).unwrap_or(4096);
        let around = Around {
            retry: message.retry_policy.as_ref(),
            mirrors,
            request_headers: &request,
            response_headers: &response,
            specific_last: outer.message.most_specific_header_mutations_wins,
            max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
        };
        let routes = each(&message.routes, "routes", |route| {
            Route::compile(route, &around, slots).map_err(|wrong| match route.name.is_empty() {
                true => wrong,
                false => wrong.within(format_args!("({})", route.name)),
            })
        })?;
        let mut filters = message.typed_per_filter_config.clone();
        add_cors(&mut filters, deprecated_cors(message));
        Ok(Self {
            name,
            domains: message.domains.iter().map(|domain| domain.as_str().into()).collect(),
            tls: match message.require_tls {
                1 => TlsRequirement::External,
                2 => TlsRequirement::All,
                _ => TlsRequirement::Nobody,
            },
            request_attempt_count: message.include_request_attempt_count,
            response_attempt_count: message.include_attempt_count_in_response,
            origin: origin(&message.metadata),
            filters,
            index: (routes.len() >= INDEXED).then(|| Index::new(&routes)),
            routes,
        })
    }

    /// The place of the first route that takes a request.
    pub fn find(&self, request: &Request<'_>) -> Option<usize> {
        let takes =
            |place: &usize| self.routes.get(*place).is_some_and(|r| r.conditions.unmet(request).is_none());
        match &self.index {
            Some(index) => index.candidates(request.path()).find(takes),
            None => (0..self.routes.len()).find(takes),
        }
    }
}

#[allow(deprecated, reason = "old control planes still write the old spelling")]
fn deprecated_cors(message: &wire::VirtualHost) -> Option<&wire::CorsPolicy> {
    message.cors.as_ref()
}

impl Index {
    fn new(routes: &[Route]) -> Self {
        let mut index = Self::default();
        for (place, route) in routes.iter().enumerate() {
            match route.conditions.path.first_segment() {
                Some(segment) => index.by_segment.entry(segment.into()).or_default().push(place),
                None => index.others.push(place),
            }
        }
        index
    }

    /// The places of all routes whose path condition can hold, ascending.
    fn candidates(&self, path: &str) -> impl Iterator<Item = usize> {
        let mut one =
            first_segment(path).and_then(|s| self.by_segment.get(s)).into_iter().flatten().peekable();
        let mut other = self.others.iter().peekable();
        std::iter::from_fn(move || match (one.peek(), other.peek()) {
            (Some(a), Some(b)) if a < b => one.next().copied(),
            (_, Some(_)) => other.next().copied(),
            (_, None) => one.next().copied(),
        })
    }
}
