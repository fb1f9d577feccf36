//! VirtualServices: which of their routes a proxy gets, with destinations resolved to clusters.

use std::sync::Arc;

use api::virtual_service::{Destination, GatewayRef, HttpAction, HttpMatch, RouteDestination, StringMatch};
use api::{ResourceSet, Valid, VirtualService};
use base::Host;

use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::slice::{Route, Rule};
use crate::snapshot::State;

/// A VirtualService with its hosts completed.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) config: Arc<Valid<VirtualService>>,
    pub(crate) hosts: Vec<Host>,
}

impl Bound {
    /// Whether it routes for sidecars.
    pub(crate) fn is_for_mesh(&self) -> bool {
        self.config.gateways.contains(&GatewayRef::Mesh)
    }
}

/// Every VirtualService, the oldest first: of two that claim one host the older decides.
pub(crate) fn gather(set: &ResourceSet, settings: &Settings) -> Vec<Arc<Bound>> {
    let mut all: Vec<_> = set.virtual_services().collect();
    all.sort_by_key(|config| crate::age(config.meta()));
    all.into_iter()
        .map(|config| {
            let namespace = &config.meta().namespace;
            let hosts = config.hosts.iter().map(|host| Host::resolve(host, namespace, &settings.domain));
            Arc::new(Bound { hosts: hosts.collect(), config: config.clone() })
        })
        .collect()
}

/// From where a VirtualService is looked at.
pub(crate) struct Vantage<'a> {
    pub(crate) state: &'a State,
    pub(crate) proxy: &'a Proxy,
    /// The gateway the routes are for.
    pub(crate) gateway: &'a GatewayRef,
    /// The port clients asked for.
    pub(crate) port: u16,
}

impl Vantage<'_> {
    /// The routes of a VirtualService that apply here, in order, up to the first that takes everything.
    pub(crate) fn routes(&self, bound: &Bound) -> Vec<Route> {
        let mut routes = Vec::new();
        for (index, http) in bound.config.http.iter().enumerate() {
            let conditions = http.matches.iter().enumerate();
            let mut kept: Vec<Option<usize>> =
                conditions.filter(|(_, m)| self.applies(m)).map(|(index, _)| Some(index)).collect();
            if http.matches.is_empty() {
                kept.push(None);
            }
            for condition in kept {
                let Some(rule) = self.rule(&bound.config, index, condition) else { continue };
                let takes_everything = takes_everything(&rule);
                routes.push(Route::Rule(rule));
                if takes_everything {
                    return routes;
                }
            }
        }
        routes
    }

    /// The cluster of a destination, and `HOST:PORT` of it.
    pub(crate) fn target(&self, destination: &Destination, namespace: &str) -> Target {
        let services = &self.state.services;
        let host = Host::resolve(&destination.host, namespace, &self.state.settings.domain);
        let host = services.behind(&host);
        let only_port = || match services.by_host.get(host).map(|service| service.ports.as_slice()) {
            Some([port]) => Some(port.number),
            _ => None,
        };
        let port = destination.port.or_else(only_port).unwrap_or(self.port);
        let subset = destination.subset.as_deref().unwrap_or_default();
        Target { cluster: cluster_name(port, subset, host), operation: format!("{host}:{port}") }
    }

    /// Whether a condition's part about the caller and the way it came holds for this proxy at all.
    fn applies(&self, condition: &HttpMatch) -> bool {
        (condition.gateways.is_empty() || condition.gateways.contains(self.gateway))
            && condition.source_labels.selects(&self.proxy.labels)
            && condition.source_namespace.as_ref().is_none_or(|namespace| *namespace == self.proxy.namespace)
            && condition.port.is_none_or(|port| port == self.port)
    }

    fn rule(
        &self,
        config: &Arc<Valid<VirtualService>>,
        http: usize,
        condition: Option<usize>,
    ) -> Option<Rule> {
        let mut rule = Rule::new(config, http, condition)?;
        let meta = config.meta();
        let mut operation = format!("{}:{}", meta.name, self.port);
        let mut clusters = Vec::new();
        if let HttpAction::Forward(destinations) = &rule.route().action {
            let targets = destinations.iter().map(|to| self.target(&to.destination, &meta.namespace));
            let targets: Vec<Target> = targets.collect();
            if let Some(only) = only_weighted(destinations).and_then(|index| targets.get(index)) {
                operation.clone_from(&only.operation);
            }
            clusters = targets.into_iter().map(|target| target.cluster).collect();
        }
        let mirrors = rule.route().mirrors.iter();
        rule.mirrors =
            mirrors.map(|mirror| self.target(&mirror.destination, &meta.namespace).cluster).collect();
        rule.clusters = clusters;
        rule.operation = operation;
        rule.port = self.port;
        Some(rule)
    }
}

/// Where a destination leads.
pub(crate) struct Target {
    pub(crate) cluster: String,
    pub(crate) operation: String,
}

/// Istio's name of an outbound cluster.
pub(crate) fn cluster_name(port: u16, subset: &str, host: &Host) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// Whether no route after this one can ever match.
pub(crate) fn takes_everything(rule: &Rule) -> bool {
    let Some(condition) = rule.condition() else { return true };
    let any_path = match &condition.uri {
        None => true,
        Some(StringMatch::Prefix(prefix)) => prefix == "/",
        Some(StringMatch::Regex(regex)) => regex == ".*" || regex == "*",
        Some(StringMatch::Exact(_)) => false,
    };
    any_path
        && condition.scheme.is_none()
        && condition.method.is_none()
        && condition.authority.is_none()
        && condition.headers.is_empty()
        && condition.without_headers.is_empty()
        && condition.query_params.is_empty()
}

/// The one destination that gets anything, where there is only one.
fn only_weighted(destinations: &[RouteDestination]) -> Option<usize> {
    if destinations.len() == 1 {
        return Some(0);
    }
    let mut weighted =
        destinations.iter().enumerate().filter(|(_, to)| to.weight > 0).map(|(index, _)| index);
    match (weighted.next(), weighted.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}
