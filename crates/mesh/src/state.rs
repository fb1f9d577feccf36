//! The whole mesh as a snapshot holds it: everything resolved as far as it does not depend on who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::sidecar::Sidecar;
use api::{Gateway, Valid};
use base::{Host, Issue};

use crate::claim::Claims;
use crate::destination_rule::HostRules;
use crate::port::Port;
use crate::proxy::Proxy;
use crate::secret::Secrets;
use crate::service::Service;
use crate::services::Services;
use crate::settings::Settings;
use crate::virtual_service::Bound;

/// Everything configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) services: Services,
    pub(crate) rules: HostRules,
    pub(crate) secrets: Arc<Secrets>,
    /// Oldest first.
    pub(crate) virtual_services: Vec<Arc<Bound>>,
    /// By namespace; those that select workloads first, then the oldest.
    pub(crate) sidecars: BTreeMap<String, Vec<Arc<Valid<Sidecar>>>>,
    /// Oldest first.
    pub(crate) gateways: Vec<Arc<Valid<Gateway>>>,
    pub(crate) claims: Claims,
    /// The labels of a proxy's workload that decide something beside the services it belongs to.
    pub(crate) telling_labels: BTreeSet<String>,
    /// Whether the node of a proxy decides something.
    pub(crate) is_node_telling: bool,
    pub(crate) addresses: BTreeMap<Host, u8>,
    pub(crate) issues: Vec<Issue>,
}

/// A port of a workload that some service leads to.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) service: Arc<Service>,
    pub(crate) port: Port,
    /// The workload's own port.
    pub(crate) target: u16,
}

impl State {
    /// The Sidecar of a proxy's workload: of its namespace that which selects it, else the one that selects
    /// nothing in particular, else that of the root namespace.
    pub(crate) fn sidecar(&self, proxy: &Proxy) -> Option<&Arc<Valid<Sidecar>>> {
        if proxy.is_gateway() {
            return None;
        }
        let of = |namespace: &str| self.sidecars.get(namespace).into_iter().flatten();
        let selects = |sidecar: &&Arc<Valid<Sidecar>>| {
            sidecar.workload_selector.as_ref().is_none_or(|selector| selector.selects(&proxy.labels))
        };
        of(&proxy.namespace)
            .find(selects)
            .or_else(|| of(&self.settings.root_namespace).find(|sidecar| sidecar.workload_selector.is_none()))
    }

    /// The ports of a proxy's own workload, by service in order of age, and port. A workload belongs to a service
    /// by its address, else by its labels.
    pub(crate) fn own(&self, proxy: &Proxy) -> Vec<Own> {
        let mut own = Vec::new();
        for service in self.services.around(proxy) {
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
        own.sort_by(|a, b| a.service.age.cmp(&b.service.age));
        own
    }

    /// A service's addresses as a proxy's workload sees them.
    pub(crate) fn virtual_ips(&self, service: &Service, proxy: &Proxy) -> Vec<IpAddr> {
        match proxy.local {
            Some(local) => {
                let slot = self.addresses.get(&service.host);
                slot.map(|slot| local.service(*slot).into()).into_iter().collect()
            }
            None if service.addresses.is_empty() && proxy.answers_dns => {
                // What the proxy answers its workload's queries with.
                service.automatic.iter().map(|automatic| automatic.v4.into()).collect()
            }
            None => service.virtual_ips().collect(),
        }
    }
}
