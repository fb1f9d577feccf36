//! Feeds for the discovery server: each connection sees the newest generation through its proxy's scope.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use mesh::Proxy;
use tokio::sync::watch;
use xds::{Caller, Feed, Peer, Served, Supply, Turned, TypeUrl};

use crate::metrics::Metrics;
use crate::node::Visitor;
use crate::plane::{Plane, Sight};
use crate::proxies::{Known, Proxies, Refusal};
use crate::render;

/// Everything a connection needs.
#[derive(Clone)]
pub(crate) struct Supplier {
    pub(crate) plane: Arc<Plane>,
    pub(crate) proxies: Proxies,
    pub(crate) metrics: Arc<Metrics>,
}

impl Supply for Supplier {
    fn open(&self, caller: &Caller<'_>) -> Result<Box<dyn Feed>, Turned> {
        let visitor = Visitor::new(caller.node).map_err(Turned::Invalid)?;
        let proxy = Arc::new(visitor.proxy);
        let known = Known {
            node: caller.node.id.clone(),
            cluster: visitor.cluster,
            version: visitor.version,
            process: caller.peer.process(),
            proxy: proxy.clone(),
            settled: 0,
            refused: BTreeMap::new(),
        };
        self.proxies.put(caller.connection, known);
        Ok(Box::new(Line {
            supplier: self.clone(),
            connection: caller.connection.to_owned(),
            peer: caller.peer,
            proxy,
            next: None,
            sight: None,
            before: None,
            withheld: BTreeSet::new(),
        }))
    }
}

/// One connection.
struct Line {
    supplier: Supplier,
    connection: String,
    peer: Peer,
    proxy: Arc<Proxy>,
    /// Ready to be taken.
    next: Option<Sight>,
    /// In force.
    sight: Option<Sight>,
    /// What was in force before, until it has been compared.
    before: Option<Sight>,
    /// The secrets it asked for and may not have.
    withheld: BTreeSet<String>,
}

impl Line {
    /// A secret, if this connection may have it: what holds a key goes nowhere others might listen.
    fn secret(&mut self, name: &str) -> Option<Arc<Served>> {
        let slice = self.sight.as_ref()?.scope.secret(name)?;
        if !slice.is_private() || self.peer.is_private() {
            return Some(render::secret(&slice));
        }
        if self.withheld.insert(name.to_owned()) {
            let (node, peer) = (&self.proxy.id, self.peer);
            tracing::warn!(%node, %peer, name, "a secret is not sent over the network, only over the Unix socket");
        }
        None
    }
}

impl Feed for Line {
    fn all(&mut self, ty: TypeUrl) -> Vec<Arc<Served>> {
        self.sight.as_ref().map(|sight| sight.scope.all(ty)).unwrap_or_default()
    }

    fn named(&mut self, ty: TypeUrl, name: &str) -> Option<Arc<Served>> {
        match ty {
            TypeUrl::Secret => self.secret(name),
            ty => self.sight.as_ref()?.scope.named(ty, name),
        }
    }

    fn prepare(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.next = self.supplier.plane.see(&self.proxy, self.sight.as_ref()).await;
        })
    }

    fn refresh(&mut self) -> u64 {
        if let Some(next) = self.next.take() {
            self.before = self.sight.replace(next);
        }
        self.sight.as_ref().map_or(0, |sight| sight.generation)
    }

    fn differing(&self, ty: TypeUrl) -> Option<Arc<[Arc<str>]>> {
        let (before, now) = (self.before.as_ref()?, self.sight.as_ref()?);
        now.scope.differing(&before.scope, ty)
    }

    fn acked(&mut self, ty: TypeUrl) {
        self.supplier.metrics.answered(ty, true);
        self.supplier.proxies.accepted(&self.connection, ty);
    }

    fn nacked(&mut self, ty: TypeUrl, generation: u64, error: &str) {
        self.supplier.metrics.answered(ty, false);
        self.supplier.proxies.refused(&self.connection, ty, Refusal { generation, error: error.to_owned() });
    }

    fn settled(&mut self, generation: u64) {
        // Nothing is compared with it any more.
        self.before = None;
        if let Some(sight) = self.sight.as_ref().filter(|sight| sight.generation == generation) {
            self.supplier.metrics.converged(sight.published.elapsed());
        }
        self.supplier.proxies.settled(&self.connection, generation);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.supplier.plane.numbers()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.supplier.proxies.remove(&self.connection);
    }
}
