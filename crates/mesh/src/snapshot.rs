//! The whole mesh at one moment, immutable and cheap to clone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Gateway, ResourceSet, Valid};
use base::{Digest, Host, Issue, Place, Severity};

use crate::destination_rule::HostRules;
use crate::proxy::Proxy;
use crate::service::{Port, Service, Services};
use crate::settings::Settings;
use crate::virtual_service::Bound;
use crate::{address, destination_rule, reference, service, virtual_service};

/// Everything configured, resolved as far as it does not depend on who asks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(pub(crate) Arc<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) services: Services,
    pub(crate) rules: HostRules,
    /// Oldest first.
    pub(crate) virtual_services: Vec<Arc<Bound>>,
    /// Oldest first.
    pub(crate) gateways: Vec<Arc<Valid<Gateway>>>,
    pub(crate) claims: Claims,
    addresses: BTreeMap<Host, u8>,
    issues: Vec<Issue>,
}

/// The VirtualServices for sidecars (indices), by each host they claim, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Claims(BTreeMap<Host, Vec<usize>>);

impl Claims {
    fn new(bound: &[Arc<Bound>]) -> Self {
        let mut claims = Self::default();
        for (index, bound) in bound.iter().enumerate().filter(|(_, bound)| bound.is_for_mesh()) {
            for host in &bound.hosts {
                let claimants = claims.0.entry(host.clone()).or_default();
                if claimants.last() != Some(&index) {
                    claimants.push(index);
                }
            }
        }
        claims
    }

    /// The claimed hosts, with who claims them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Host, &[usize])> {
        self.0.iter().map(|(host, claimants)| (host, claimants.as_slice()))
    }

    /// Who routes for a service's host: those who name it, else those with the longest wildcard over it; with
    /// the name it is claimed under.
    pub(crate) fn of(&self, host: &Host) -> Option<(&Host, &[usize])> {
        if let Some((name, claimants)) = self.0.get_key_value(host) {
            return Some((name, claimants));
        }
        destination_rule::wildcards(&self.0)
            .filter(|(wildcard, _)| wildcard.covers(host))
            .max_by_key(|(wildcard, _)| wildcard.as_str().len())
            .map(|(wildcard, claimants)| (wildcard, claimants.as_slice()))
    }
}

/// A port of a workload that some service leads to.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) service: Arc<Service>,
    pub(crate) port: Port,
    /// The workload's own port.
    pub(crate) target: u16,
}

impl Snapshot {
    /// The snapshot of a set of resources. What services were called locally before stays as it was.
    pub fn next(previous: Option<&Snapshot>, set: &ResourceSet, settings: &Settings) -> Snapshot {
        let mut issues = Vec::new();
        let services = service::gather(set, settings, &mut issues);
        let none = BTreeMap::new();
        let before = previous.map_or(&none, |previous| &previous.0.addresses);
        let concrete = services.by_host.keys().filter(|host| !host.is_wildcard());
        let (addresses, left_out) = address::assign(before, concrete);
        issues.extend(
            left_out.iter().filter_map(|host| services.by_host.get(host)).map(|service| no_address(service)),
        );
        let virtual_services = virtual_service::gather(set, settings);
        let mut gateways: Vec<_> = set.gateways().cloned().collect();
        gateways.sort_by_key(|gateway| crate::age(gateway.meta()));
        let mut state = State {
            settings: settings.clone(),
            rules: HostRules::gather(set, settings),
            claims: Claims::new(&virtual_services),
            services,
            virtual_services,
            gateways,
            addresses,
            issues,
        };
        let found = reference::check(&state);
        state.issues.extend(found);
        Snapshot(Arc::new(state))
    }

    /// An empty snapshot that remembers local addresses, as a start for [`Snapshot::next`].
    pub fn with_addresses(addresses: BTreeMap<Host, u8>) -> Snapshot {
        Snapshot(Arc::new(State { addresses, ..State::default() }))
    }

    /// What is to be said about the resources together: hosts claimed twice, destinations nobody defines.
    pub fn issues(&self) -> &[Issue] {
        &self.0.issues
    }

    /// The slots of services' local addresses (see [`base::LocalNet::service`]).
    pub fn addresses(&self) -> &BTreeMap<Host, u8> {
        &self.0.addresses
    }

    /// A digest of everything a proxy's view of this snapshot depends on, short of the snapshot itself.
    ///
    /// Coarser than [`Proxy::scope`]: of the proxy's addresses only the services they belong to count.
    pub fn scope(&self, proxy: &Proxy) -> Digest {
        let mut blank = proxy.without_name();
        blank.addresses.clear();
        blank.id.ip = std::net::Ipv4Addr::UNSPECIFIED.into();
        let own = self.0.own(proxy);
        let own: BTreeSet<_> =
            own.iter().map(|own| (&own.service.host, own.port.number, own.target)).collect();
        Digest::of_value(&(blank, own))
    }
}

impl State {
    /// The ports of a proxy's own workload, ordered by service and port. A workload belongs to a service by its
    /// address, else by its labels.
    pub(crate) fn own(&self, proxy: &Proxy) -> Vec<Own> {
        let mut own = Vec::new();
        for service in self.services.around(&proxy.addresses, &proxy.namespace) {
            let here =
                |address: &str| address.parse().is_ok_and(|address| proxy.addresses.contains(&address));
            let instance = service.instances.iter().find(|instance| here(&instance.address));
            let selected = service.name.namespace == proxy.namespace
                && service.selector.as_ref().is_some_and(|selector| selector.selects(&proxy.labels));
            if instance.is_none() && !selected {
                continue;
            }
            for port in &service.ports {
                let target = match instance {
                    Some(instance) => instance.ports.get(&port.number).copied(),
                    None => Some(port.target_number()),
                };
                if let Some(target) = target.filter(|target| *target != 0) {
                    own.push(Own { service: service.clone(), port: port.clone(), target });
                }
            }
        }
        own
    }

    /// A service's addresses as a proxy's workload sees them.
    pub(crate) fn virtual_ips(&self, service: &Service, proxy: &Proxy) -> Vec<std::net::IpAddr> {
        match proxy.local {
            Some(local) => {
                let slot = self.addresses.get(&service.host);
                slot.map(|slot| local.service(*slot).into()).into_iter().collect()
            }
            None => service.virtual_ips().collect(),
        }
    }
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
