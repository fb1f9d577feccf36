//! The whole mesh at one moment, immutable and cheap to clone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use api::{ResourceSet, Sidecar, Valid};
use base::{Digest, Host, Issue, Place, Severity};

use crate::claim::Claims;
use crate::destination_rule::HostRules;
use crate::endpoint::Position;
use crate::outward::Outward;
use crate::proxy::Proxy;
use crate::scope::Scope;
use crate::secret::Secrets;
use crate::service::{Resolution, Service};
use crate::settings::Settings;
use crate::site::Site;
use crate::state::{Own, State};
use crate::virtual_service::Bound;
use crate::{address, endpoint, locality, moved, reference, services, virtual_service};

/// Everything configured, resolved as far as it does not depend on who asks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Arc<Whole>);

#[derive(Debug, Default)]
struct Whole {
    /// What it was made from.
    set: ResourceSet,
    state: State,
    /// How many of the issues do not depend on where workloads are.
    lasting: usize,
    /// The services with other workloads than in the snapshot before, where nothing else differs.
    moved: BTreeMap<Host, Arc<Service>>,
    /// What may be reached, by namespace and Sidecar; made when somebody first asks.
    scopes: Memo<(String, Option<String>), Scope>,
    /// What many proxies are told alike, by what it depends on.
    outward: Memo<Digest, Outward>,
}

/// Values that are made once, when first asked for.
#[derive(Debug)]
struct Memo<K, V> {
    made: Mutex<BTreeMap<K, Arc<OnceLock<Arc<V>>>>>,
    /// The values in a snapshot before that differs in nothing but workloads.
    before: BTreeMap<K, Arc<V>>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { made: Mutex::default(), before: BTreeMap::new() }
    }
}

impl<K: Clone + Ord, V> Memo<K, V> {
    /// One in which values may be made of those that were asked for here.
    fn next(&self) -> Self {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let before = made.iter().filter_map(|(key, cell)| Some((key.clone(), cell.get()?.clone())));
        Self { made: Mutex::default(), before: before.collect() }
    }

    /// The value of a key, made of the one before if there is one; who asks meanwhile for the same waits, who asks
    /// for another does not.
    fn of(&self, key: K, make: impl FnOnce(Option<&V>) -> V) -> Arc<V> {
        let before = self.before.get(&key).map(|before| &**before);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = made.entry(key.clone()).or_default().clone();
        drop(made);
        cell.get_or_init(|| Arc::new(make(before))).clone()
    }
}

impl Snapshot {
    /// The snapshot of a set of resources. What services were called locally before stays as it was.
    ///
    /// Where nothing but workloads came, went or moved, it costs what these do.
    pub fn next(previous: Option<&Snapshot>, set: &ResourceSet, settings: &Settings) -> Snapshot {
        if let Some(moved) = previous.and_then(|previous| previous.moved(set, settings)) {
            return moved;
        }
        let mut issues = Vec::new();
        let services = services::gather(set, settings, &mut issues);
        let none = BTreeMap::new();
        let before = previous.map_or(&none, |previous| &previous.state().addresses);
        let concrete = services.by_host.keys().filter(|host| !host.is_wildcard());
        let (addresses, left_out) = address::assign(before, concrete);
        issues.extend(
            left_out.iter().filter_map(|host| services.by_host.get(host)).map(|service| no_address(service)),
        );
        let virtual_services = virtual_service::gather(set, settings);
        let mut gateways: Vec<_> = set.gateways().cloned().collect();
        gateways.sort_by_cached_key(|gateway| crate::age(gateway.meta()));
        let sidecars = sidecars(set);
        let mut state = State {
            settings: settings.clone(),
            rules: HostRules::gather(set, settings, &mut issues),
            secrets: Arc::new(Secrets::gather(set)),
            claims: Claims::new(&virtual_services),
            telling_labels: telling_labels(&virtual_services, &sidecars),
            is_node_telling: endpoint::depends_on_node(services.by_host.values()),
            services,
            virtual_services,
            sidecars,
            gateways,
            addresses,
            issues,
        };
        state.rules.telling_labels(&mut state.telling_labels);
        let preferred = &settings.traffic.locality.failover_priority;
        state.telling_labels.extend(preferred.iter().map(|label| locality::key(label).to_owned()));
        state.telling_labels.extend(locality::TELLING.map(str::to_owned));
        let gateways = state.gateways.iter().flat_map(|gateway| gateway.selector.0.keys());
        state.telling_labels.extend(gateways.cloned());
        Snapshot::of(state, set.clone())
    }

    /// The snapshot that follows where nothing but workloads came, went or moved.
    fn moved(&self, set: &ResourceSet, settings: &Settings) -> Option<Snapshot> {
        let Whole { set: was, state, lasting, scopes, outward, .. } = &*self.0;
        let moved = (state.settings == *settings).then(|| moved::between(state, was, set))??;
        let mut next = state.clone();
        next.services = state.services.with(&moved);
        next.issues.truncate(*lasting);
        next.issues.extend(reference::check(&next, set));
        let (scopes, outward) = (scopes.next(), outward.next());
        let set = set.clone();
        Some(Snapshot(Arc::new(Whole { set, state: next, lasting: *lasting, moved, scopes, outward })))
    }

    /// An empty snapshot that remembers local addresses, as a start for [`Snapshot::next`].
    pub fn with_addresses(addresses: BTreeMap<Host, u8>) -> Snapshot {
        Snapshot::of(State { addresses, ..State::default() }, ResourceSet::default())
    }

    fn of(mut state: State, set: ResourceSet) -> Snapshot {
        let lasting = state.issues.len();
        let found = reference::check(&state, &set);
        state.issues.extend(found);
        Snapshot(Arc::new(Whole { set, state, lasting, ..Whole::default() }))
    }

    /// What is to be said about the resources together: hosts claimed twice, destinations nobody defines.
    pub fn issues(&self) -> &[Issue] {
        &self.0.state.issues
    }

    /// The slots of services' local addresses (see [`base::LocalNet::service`]).
    pub fn addresses(&self) -> &BTreeMap<Host, u8> {
        &self.0.state.addresses
    }

    /// A digest of everything a proxy's view of this snapshot depends on, short of the snapshot itself.
    ///
    /// Coarser than [`Proxy::scope`]: of the proxy's addresses only the services they belong to count, of its
    /// labels only those that some object asks about.
    pub fn scope(&self, proxy: &Proxy) -> Digest {
        let state = &self.0.state;
        let own = state.own(proxy);
        let ports: BTreeSet<_> =
            own.iter().map(|own| (&own.service.host, own.port.number, own.target)).collect();
        // The ports that a Sidecar names are known by the workload's address.
        let has_ingress = state.sidecar(proxy).is_some_and(|sidecar| !sidecar.ingress.is_empty());
        let address = has_ingress.then_some(proxy.id.ip);
        Digest::of_value(&(self.outward_key(proxy, &own), ports, address, &proxy.program_ports))
    }

    /// A digest of what a proxy is told of everything but its own workload.
    fn outward_key(&self, proxy: &Proxy, own: &[Own]) -> Digest {
        let state = &self.0.state;
        let mut blank = proxy.without_name();
        blank.labels.0.retain(|key, _| state.telling_labels.contains(key));
        blank.locality = Position::of(state, proxy).locality().to_owned();
        blank.program_ports.clear();
        if !state.is_node_telling {
            blank.node.clear();
        }
        // A proxy of a headless service has no listener for its own address.
        if own.iter().all(|own| own.service.resolution != Resolution::Headless) {
            blank.addresses.clear();
            blank.id.ip = Ipv4Addr::UNSPECIFIED.into();
        }
        let has = |is_of: fn(&IpAddr) -> bool| proxy.addresses.iter().any(is_of);
        let families = (has(IpAddr::is_ipv4), has(IpAddr::is_ipv6));
        // A gateway listens on the target ports of the services that lead to it.
        let is_gateway = proxy.is_gateway();
        let gates: BTreeSet<_> = own
            .iter()
            .filter(|_| is_gateway)
            .map(|own| (&own.service.host, own.port.number, own.target))
            .collect();
        let sidecar = state.sidecar(proxy).map(|sidecar| sidecar.key().to_string());
        Digest::of_value(&(blank, families, gates, sidecar))
    }

    /// Everything that is resolved.
    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    /// What a proxy is told of everything but its own workload.
    pub(crate) fn outward(&self, site: Site<'_>) -> Arc<Outward> {
        let key = self.outward_key(site.proxy, &site.state.own(site.proxy));
        self.0.outward.of(key, |before| {
            let moved = before.and_then(|before| before.moved(site, &self.0.moved));
            moved.unwrap_or_else(|| Outward::new(site))
        })
    }

    /// What a proxy may reach.
    pub(crate) fn reach(&self, proxy: &Proxy) -> Arc<Scope> {
        let state = &self.0.state;
        let sidecar = state.sidecar(proxy);
        let key = (proxy.namespace.clone(), sidecar.map(|sidecar| sidecar.key().to_string()));
        self.0.scopes.of(key, |before| match before {
            Some(before) => before.moved(&self.0.moved),
            None => Scope::new(state, &proxy.namespace, sidecar.cloned()),
        })
    }
}

/// The Sidecars of each namespace; those that select workloads first, then the oldest.
fn sidecars(set: &ResourceSet) -> BTreeMap<String, Vec<Arc<Valid<Sidecar>>>> {
    let mut all: BTreeMap<String, Vec<Arc<Valid<Sidecar>>>> = BTreeMap::new();
    for sidecar in set.sidecars() {
        all.entry(sidecar.meta().namespace.to_string()).or_default().push(sidecar.clone());
    }
    for of_namespace in all.values_mut() {
        of_namespace
            .sort_by_cached_key(|sidecar| (sidecar.workload_selector.is_none(), crate::age(sidecar.meta())));
    }
    all
}

/// The labels that VirtualServices and Sidecars ask a proxy's workload about.
fn telling_labels(
    virtual_services: &[Arc<Bound>],
    sidecars: &BTreeMap<String, Vec<Arc<Valid<Sidecar>>>>,
) -> BTreeSet<String> {
    let requests =
        virtual_services.iter().flat_map(|bound| &bound.http).flat_map(|source| &source.route.matches);
    let tcp = virtual_services.iter().flat_map(|bound| &bound.config.tcp).flat_map(|route| &route.matches);
    let tls = virtual_services.iter().flat_map(|bound| &bound.config.tls).flat_map(|route| &route.matches);
    let asked = requests
        .map(|condition| &condition.source_labels)
        .chain(tcp.map(|condition| &condition.source_labels))
        .chain(tls.map(|condition| &condition.connection.source_labels))
        .chain(sidecars.values().flatten().filter_map(|sidecar| sidecar.workload_selector.as_ref()));
    asked.flat_map(|labels| labels.0.keys()).cloned().collect()
}

fn no_address(service: &Service) -> Issue {
    Issue {
        severity: Severity::Warning,
        code: "no-local-address".into(),
        place: Place::default(),
        object: service.origin.object(),
        path: String::new(),
        message: format!(
            "{} has no local address of its own, all 254 are taken; HTTP reaches it by name, TCP does not",
            service.host
        ),
    }
}
