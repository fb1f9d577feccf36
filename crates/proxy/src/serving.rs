//! What is in force: one plan, and those of its listeners that are ready to take connections.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::Address;
use plan::{Cluster, Listener, Plan};

use crate::keyring::Contexts;

/// How long anything waits for a resource it needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// One generation of what is served; immutable and shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    /// Grows with every swap.
    pub(crate) generation: u64,
    /// The plan.
    pub(crate) plan: Arc<Plan>,
    /// Clusters whose endpoints are still waited for.
    pub(crate) cold: BTreeSet<Arc<str>>,
    /// Clusters of names, with what these resolve to.
    pub(crate) resolved: HashMap<Arc<str>, Arc<Cluster>>,
    /// The TLS contexts of the plan.
    pub(crate) contexts: Contexts,
    listeners: HashMap<Arc<str>, Arc<Listener>>,
    bound: HashMap<Address, Arc<Listener>>,
    /// Listeners without a socket, by the destination they take over.
    captured: HashMap<SocketAddr, Arc<Listener>>,
}

impl Serving {
    /// Arranges the ready listeners of a plan.
    pub(crate) fn new(
        generation: u64,
        plan: Arc<Plan>,
        ready: impl IntoIterator<Item = Arc<Listener>>,
    ) -> Self {
        let mut serving = Self { generation, plan, ..Self::default() };
        for listener in ready {
            for address in &listener.addresses {
                if listener.bind_to_port {
                    serving.bound.entry(address.clone()).or_insert_with(|| Arc::clone(&listener));
                } else if let Some(address) = address.socket() {
                    serving.captured.entry(address).or_insert_with(|| Arc::clone(&listener));
                }
            }
            serving.listeners.insert(Arc::clone(&listener.name), listener);
        }
        serving
    }

    /// A cluster by name, its names resolved.
    pub(crate) fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        let cluster = self.plan.cluster(name)?;
        let resolved =
            self.resolved.get(name).filter(|resolved| Arc::ptr_eq(resolved.spec(), cluster.spec()));
        Some(resolved.unwrap_or(cluster))
    }

    /// All clusters, their names resolved.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.plan.clusters().filter_map(|cluster| self.cluster(&cluster.name))
    }

    /// A ready listener by its name.
    pub(crate) fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.get(name)
    }

    /// All ready listeners.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.listeners.values()
    }

    /// The addresses sockets must be bound to.
    pub(crate) fn bound(&self) -> impl Iterator<Item = &Address> {
        self.bound.keys()
    }

    /// The listener behind a bound address.
    pub(crate) fn at(&self, address: &Address) -> Option<&Arc<Listener>> {
        self.bound.get(address)
    }

    /// The listener that takes over a redirected connection: of its very destination, else of its port.
    pub(crate) fn captured(&self, destination: SocketAddr) -> Option<&Arc<Listener>> {
        let any: IpAddr = match destination {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.captured
            .get(&destination)
            .or_else(|| self.captured.get(&SocketAddr::new(any, destination.port())))
    }
}
