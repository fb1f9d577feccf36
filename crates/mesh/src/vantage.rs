//! From where VirtualServices are looked at: which of their routes a proxy gets, with destinations resolved to
//! clusters.

use std::sync::Arc;

use api::load_balancer::HashKey;
use api::virtual_service::{
    ConnectionMatch, Destination, GatewayRef, HttpAction, HttpMatch, RouteDestination, StringMatch,
};
use base::{Host, Labels};

use crate::destination_rule::Policy;
use crate::proxy::Proxy;
use crate::slice::{Route, Rule, Session, Source};
use crate::state::State;
use crate::virtual_service::Bound;
use crate::{policy, stat_name};

/// From where a VirtualService is looked at.
pub(crate) struct Vantage<'a> {
    pub(crate) state: &'a State,
    pub(crate) proxy: &'a Proxy,
    /// The gateway the routes are for.
    pub(crate) gateway: &'a GatewayRef,
    /// The port clients asked for.
    pub(crate) port: u16,
    /// Whether clients come over TLS.
    pub(crate) is_tls: bool,
}

impl Vantage<'_> {
    /// The routes of a VirtualService that apply here, in order, up to the first that takes everything.
    pub(crate) fn routes(&self, bound: &Bound) -> Vec<Route> {
        let mut routes = Vec::new();
        for source in &bound.http {
            let conditions = source.route.matches.iter().enumerate();
            let mut kept: Vec<Option<usize>> =
                conditions.filter(|(_, m)| self.applies(m)).map(|(index, _)| Some(index)).collect();
            if source.route.matches.is_empty() {
                kept.push(None);
            }
            for condition in kept {
                let Some(rule) = self.rule(source, condition) else { continue };
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
        Target {
            cluster: cluster_name(port, subset, host),
            operation: format!("{host}:{port}"),
            host: host.clone(),
            subset: subset.to_owned(),
            port,
        }
    }

    /// What of a request decides its endpoint behind a target.
    fn hash(&self, target: &Target) -> Option<HashKey> {
        self.policy(target).hash_key().cloned()
    }

    /// What holds for calls to a target.
    pub(crate) fn policy(&self, target: &Target) -> Policy {
        policy::of(self.state, self.proxy, &target.host, &target.subset, target.port)
    }

    /// The name under which the numbers of connections to a target are kept, where the mesh has a pattern for it.
    pub(crate) fn stat_name(&self, target: &Target) -> Option<String> {
        let service = self.state.services.seen(&target.host, &self.proxy.namespace)?;
        stat_name::outbound(self.state, service, service.port(target.port)?, &target.subset)
    }

    /// The port at which connections to a target are resolved by the name their TLS client asks for.
    pub(crate) fn port_by_name(&self, target: &Target) -> Option<u16> {
        let service = self.state.services.seen(&target.host, &self.proxy.namespace)?;
        service.port_by_name(service.port(target.port)?, self.proxy)
    }

    /// How a service keeps clients with one endpoint.
    fn session(&self, host: &Host) -> Option<Session> {
        self.state.services.seen(host, &self.proxy.namespace)?.session.clone()
    }

    /// Whether a condition on connections can hold for this proxy at all.
    pub(crate) fn admits(&self, condition: &ConnectionMatch) -> bool {
        self.holds(
            &condition.gateways,
            &condition.source_labels,
            condition.source_namespace.as_ref(),
            condition.port,
        )
    }

    /// Whether a condition's part about the caller and the way it came holds for this proxy at all.
    fn applies(&self, condition: &HttpMatch) -> bool {
        self.holds(
            &condition.gateways,
            &condition.source_labels,
            condition.source_namespace.as_ref(),
            condition.port,
        )
    }

    fn holds(
        &self,
        gateways: &[GatewayRef],
        labels: &Labels,
        namespace: Option<&String>,
        port: Option<u16>,
    ) -> bool {
        (gateways.is_empty() || gateways.contains(self.gateway))
            && labels.selects(&self.proxy.labels)
            && namespace.is_none_or(|namespace| *namespace == self.proxy.namespace)
            && port.is_none_or(|port| port == self.port)
    }

    fn rule(&self, source: &Arc<Source>, condition: Option<usize>) -> Option<Rule> {
        let mut rule = Rule::new(source, condition)?;
        // A short name belongs to whoever wrote it.
        let namespace = &source.origin.namespace;
        let mut operation = format!("{}:{}", source.root.name, self.port);
        let (mut clusters, mut hashes, mut session) = (Vec::new(), Vec::new(), None);
        if let HttpAction::Forward(destinations) = &source.route.action {
            let targets = destinations.iter().map(|to| self.target(&to.destination, namespace));
            let targets: Vec<Target> = targets.collect();
            if let Some(only) = only_weighted(destinations).and_then(|index| targets.get(index)) {
                operation.clone_from(&only.operation);
            }
            session = targets.iter().find_map(|target| self.session(&target.host));
            hashes = targets.iter().filter_map(|target| self.hash(target)).collect();
            clusters = targets.into_iter().map(|target| target.cluster).collect();
        }
        rule.hashes = hashes;
        rule.session = session;
        let mirrors = source.route.mirrors.iter();
        rule.mirrors = mirrors.map(|mirror| self.target(&mirror.destination, namespace).cluster).collect();
        rule.clusters = clusters;
        rule.operation = operation;
        rule.port = self.port;
        rule.is_tls = self.is_tls;
        Some(rule)
    }
}

/// Where a destination leads.
pub(crate) struct Target {
    pub(crate) cluster: String,
    pub(crate) operation: String,
    pub(crate) host: Host,
    subset: String,
    port: u16,
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
