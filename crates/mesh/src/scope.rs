//! What the proxies of a namespace may reach, and through which listeners: `exportTo` and Sidecars applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::sidecar::{self, EgressHost, EgressNamespace, Sidecar};
use api::virtual_service::{Destination, HttpAction};
use api::{Bind, Valid};
use base::{Host, Protocol};

use crate::claim::Claims;
use crate::port::Port;
use crate::service::{Resolution, Service};
use crate::state::State;
use crate::virtual_service::Bound;

/// What the proxies of one namespace that one Sidecar selects, or none does, may reach.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The Sidecar.
    pub(crate) sidecar: Option<Arc<Valid<Sidecar>>>,
    /// Its egress listeners, at least one.
    pub(crate) egress: Vec<Egress>,
    /// Every service of every egress listener, and those that their VirtualServices lead to.
    pub(crate) services: Imports,
    /// Whether some service's requests go to where their host resolves to.
    pub(crate) resolves_names: bool,
    /// Whether some service keeps sessions.
    pub(crate) keeps_sessions: bool,
}

/// What may be reached through one egress listener.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    /// Which of the Sidecar's listeners it is; None where there is no Sidecar, or it says nothing.
    pub(crate) index: Option<usize>,
    /// The services.
    pub(crate) services: Imports,
    /// The VirtualServices for sidecars, the one that decides first.
    pub(crate) virtual_services: Vec<Arc<Bound>>,
    /// Which of them claims a host.
    pub(crate) claims: Claims,
}

/// Services, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Imports {
    all: Vec<Import>,
    by_host: BTreeMap<Host, usize>,
    by_port: BTreeMap<u16, Vec<usize>>,
}

/// A service, or some ports of it.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) service: Arc<Service>,
    /// None is every port.
    only: Option<BTreeSet<u16>>,
}

impl Import {
    /// The ports that may be reached.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &Port> {
        let all = self.service.ports.iter();
        all.filter(|port| self.only.as_ref().is_none_or(|only| only.contains(&port.number)))
    }

    /// One of them, by its number.
    pub(crate) fn port(&self, number: u16) -> Option<&Port> {
        self.ports().find(|port| port.number == number)
    }
}

impl Imports {
    /// Every service.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Import> {
        self.all.iter()
    }

    /// The service with a host.
    pub(crate) fn by_host(&self, host: &Host) -> Option<&Import> {
        self.by_host.get(host).and_then(|at| self.all.get(*at))
    }

    /// The services that have a port, the oldest first.
    pub(crate) fn at_port(&self, port: u16) -> impl Iterator<Item = &Import> {
        self.by_port.get(&port).into_iter().flatten().filter_map(|at| self.all.get(*at))
    }

    /// The ports some service has.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.by_port.keys().copied()
    }

    /// Puts services with other workloads in the place of those of the same host.
    fn put(&mut self, moved: &BTreeMap<Host, Arc<Service>>) {
        for (host, service) in moved {
            if let Some(import) = self.by_host.get(host).and_then(|at| self.all.get_mut(*at)) {
                import.service = service.clone();
            }
        }
    }

    fn add(&mut self, import: Import) {
        let Some(at) = self.by_host.get(&import.service.host).copied() else {
            self.by_host.insert(import.service.host.clone(), self.all.len());
            self.all.push(import);
            return;
        };
        // The first namespace that has the host decides; of its service ports are added.
        let Some(known) = self.all.get_mut(at).filter(|known| Arc::ptr_eq(&known.service, &import.service))
        else {
            return;
        };
        known.only = match (known.only.take(), import.only) {
            (Some(mut known), Some(more)) => {
                known.extend(more);
                Some(known)
            }
            _ => None,
        };
    }

    fn finish(mut self) -> Self {
        for (at, import) in self.all.iter().enumerate() {
            for port in import.ports() {
                let here = self.by_port.entry(port.number).or_default();
                if here.last() != Some(&at) {
                    here.push(at);
                }
            }
        }
        self
    }
}

impl Scope {
    /// The egress listener whose services are asked for at a port: the first that has it, else the one without a
    /// port of its own.
    pub(crate) fn at_port(&self, port: u16) -> Option<&Egress> {
        let port_of = |egress: &Egress| self.listener(egress).and_then(|listener| listener.port.as_ref());
        // A Unix socket has the number 0 and is asked for by its path.
        let is_at = |own: &sidecar::Port| own.number == port && port != 0;
        self.egress.iter().find(|egress| port_of(egress).is_none_or(is_at))
    }

    /// The egress listener that is bound to a Unix socket.
    pub(crate) fn at_pipe(&self, path: &str) -> Option<&Egress> {
        let bind = |egress: &Egress| self.listener(egress).and_then(|listener| listener.bind.as_ref());
        self.egress.iter().find(|egress| matches!(bind(egress), Some(Bind::Pipe(own)) if **own == *path))
    }

    /// How the Sidecar writes an egress listener.
    pub(crate) fn listener(&self, egress: &Egress) -> Option<&sidecar::Egress> {
        self.sidecar.as_ref()?.egress.get(egress.index?)
    }

    /// The same where nothing but the workloads of these services differs.
    pub(crate) fn moved(&self, moved: &BTreeMap<Host, Arc<Service>>) -> Self {
        let mut scope = self.clone();
        scope.services.put(moved);
        scope.egress.iter_mut().for_each(|egress| egress.services.put(moved));
        scope
    }

    /// What a namespace may reach under a Sidecar.
    pub(crate) fn new(state: &State, namespace: &str, sidecar: Option<Arc<Valid<Sidecar>>>) -> Self {
        let listeners = sidecar.iter().flat_map(|sidecar| &sidecar.egress).enumerate();
        let mut egress: Vec<Egress> = listeners
            .map(|(index, listener)| Egress::new(state, namespace, Some((index, listener))))
            .collect();
        if egress.is_empty() {
            egress.push(Egress::new(state, namespace, None));
        }
        let mut services = Imports::default();
        for (at, each) in egress.iter().enumerate() {
            each.services.iter().for_each(|import| services.add(import.clone()));
            let only = sidecar.as_ref().and_then(|sidecar| sidecar.egress.get(at)).and_then(port_of);
            each.add_destinations(state, namespace, only, &mut services);
        }
        let services = services.finish();
        let any = |is_so: fn(&Service) -> bool| services.iter().any(|import| is_so(&import.service));
        Self {
            resolves_names: any(|service| service.resolution == Resolution::DnsOfClient),
            keeps_sessions: any(|service| service.session.is_some()),
            sidecar,
            egress,
            services,
        }
    }
}

impl Egress {
    fn new(state: &State, namespace: &str, written: Option<(usize, &sidecar::Egress)>) -> Self {
        let hosts = Patterns { written: written.map(|(_, listener)| listener), own: namespace };
        let port = written.and_then(|(_, listener)| port_of(listener));
        let mut chosen: BTreeMap<&Host, &Arc<Service>> = BTreeMap::new();
        for service in state.services.seen_from(namespace).filter(|service| hosts.import(service)) {
            let first = chosen.entry(&service.host).or_insert(service);
            // The namespace's own service comes before another's of the same host.
            if first.name.namespace != namespace && service.name.namespace == namespace {
                *first = service;
            }
        }
        let mut chosen: Vec<&Arc<Service>> = chosen.into_values().collect();
        chosen.sort_by(|a, b| a.age.cmp(&b.age));
        let mut services = Imports::default();
        for service in
            chosen.into_iter().filter(|service| port.is_none_or(|port| service.port(port).is_some()))
        {
            services.add(Import { service: service.clone(), only: port.map(|port| BTreeSet::from([port])) });
        }
        let mut virtual_services: Vec<(u8, &Arc<Bound>)> = state
            .virtual_services
            .iter()
            .filter(|bound| bound.is_for_mesh() && hosts.route(bound))
            .filter_map(|bound| Some((bound.distance(namespace)?, bound)))
            .collect();
        virtual_services.sort_by_key(|(distance, _)| *distance);
        let virtual_services: Vec<Arc<Bound>> =
            virtual_services.into_iter().map(|(_, bound)| bound.clone()).collect();
        Self {
            index: written.map(|(index, _)| index),
            services: services.finish(),
            claims: Claims::new(&virtual_services),
            virtual_services,
        }
    }

    /// Adds what the VirtualServices lead to, as far as a proxy of this namespace may come there.
    fn add_destinations(&self, state: &State, namespace: &str, port: Option<u16>, services: &mut Imports) {
        for bound in &self.virtual_services {
            for (host, ports) in destinations(state, bound, namespace) {
                let Some(service) = state.services.seen(&host, namespace) else { continue };
                let wanted: Option<BTreeSet<u16>> = match port {
                    Some(port) => Some(BTreeSet::from([port])),
                    // A destination without a port may mean any of them.
                    None if ports.contains(&0) => None,
                    None => Some(ports),
                };
                let only = match wanted {
                    None => None,
                    Some(wanted) => {
                        let there: BTreeSet<u16> =
                            wanted.into_iter().filter(|port| service.port(*port).is_some()).collect();
                        if there.is_empty() {
                            continue;
                        }
                        Some(there)
                    }
                };
                services.add(Import { service: service.clone(), only });
            }
        }
    }
}

/// The port that the services of an egress listener must have: an HTTP proxy leads to every port.
fn port_of(listener: &sidecar::Egress) -> Option<u16> {
    let port = listener.port.as_ref().filter(|port| port.protocol != Protocol::HttpProxy);
    port.map(|port| port.number).filter(|port| *port != 0)
}

/// Where a VirtualService leads for callers of a namespace: hosts and ports, 0 where none is written.
fn destinations(state: &State, bound: &Bound, namespace: &str) -> BTreeMap<Host, BTreeSet<u16>> {
    let mut found: BTreeMap<Host, BTreeSet<u16>> = BTreeMap::new();
    let mut add = |destination: &Destination, written_in: &str| {
        let host = Host::resolve(&destination.host, written_in, &state.settings.domain);
        let host = state.services.behind(&host).clone();
        found.entry(host).or_default().insert(destination.port.unwrap_or(0));
    };
    for source in &bound.http {
        let own = &source.origin.namespace;
        let callers = source.route.matches.iter().map(|condition| &condition.source_namespace);
        let mut callers = callers.peekable();
        if callers.peek().is_some() && !callers.any(|caller| caller.as_ref().is_none_or(|c| c == namespace)) {
            continue;
        }
        if let HttpAction::Forward(routes) = &source.route.action {
            routes.iter().for_each(|route| add(&route.destination, own));
        }
        source.route.mirrors.iter().for_each(|mirror| add(&mirror.destination, own));
    }
    let own = &bound.config.meta().namespace;
    let tcp = bound.config.tcp.iter().flat_map(|route| &route.route);
    let tls = bound.config.tls.iter().flat_map(|route| &route.route);
    tcp.chain(tls).for_each(|route| add(&route.destination, own));
    found
}

/// The hosts of an egress listener; None is everything.
struct Patterns<'a> {
    written: Option<&'a sidecar::Egress>,
    /// The namespace they are read in.
    own: &'a str,
}

impl Patterns<'_> {
    /// Whether a service is among them.
    fn import(&self, service: &Service) -> bool {
        let namespace = &service.name.namespace;
        self.meets(
            namespace,
            |pattern| pattern.covers(&service.host),
            |pattern| pattern.covers(&service.host),
        )
    }

    /// Whether a VirtualService routes for one of them, and not only for what is excepted.
    fn route(&self, bound: &Bound) -> bool {
        let any = |pattern: &Host| bound.hosts.iter().any(|host| host.overlaps(pattern));
        let all = |pattern: &Host| bound.hosts.iter().all(|host| pattern.covers(host));
        self.meets(&bound.config.meta().namespace, any, all)
    }

    fn meets(
        &self,
        namespace: &str,
        wanted: impl Fn(&Host) -> bool,
        excepted: impl Fn(&Host) -> bool,
    ) -> bool {
        let Some(written) = self.written else { return true };
        let is_here = |host: &&EgressHost| match &host.namespace {
            EgressNamespace::Any => true,
            EgressNamespace::Named(named) => named == namespace,
            EgressNamespace::Own => self.own == namespace,
        };
        written.hosts.iter().filter(is_here).any(|host| wanted(&host.host))
            && !written.except.iter().filter(is_here).any(|host| excepted(&host.host))
    }
}

#[cfg(test)]
mod tests;
