//! Feeds for the discovery server: each connection sees the newest generation through its proxy's scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::Proxy;
use tokio::sync::watch;
use xds::{Feed, Node, Served, Supply, Turned, TypeUrl};

use crate::metrics::Metrics;
use crate::node::Visitor;
use crate::plane::{Plane, Sight};
use crate::proxies::{Known, Proxies, Refusal};

/// Everything a connection needs.
#[derive(Clone)]
pub(crate) struct Supplier {
    pub(crate) plane: Arc<Plane>,
    pub(crate) proxies: Proxies,
    pub(crate) metrics: Arc<Metrics>,
}

impl Supply for Supplier {
    fn open(&self, connection: &str, node: &Node) -> Result<Box<dyn Feed>, Turned> {
        let visitor = Visitor::new(node).map_err(Turned::Invalid)?;
        let sight = self.plane.see(&visitor.proxy, None);
        let known = Known {
            node: node.id.clone(),
            cluster: visitor.cluster,
            version: visitor.version,
            settled: 0,
            refused: BTreeMap::new(),
        };
        self.proxies.put(connection, known);
        Ok(Box::new(Line {
            supplier: self.clone(),
            connection: connection.to_owned(),
            proxy: visitor.proxy,
            sight,
        }))
    }
}

/// One connection.
struct Line {
    supplier: Supplier,
    connection: String,
    proxy: Proxy,
    sight: Sight,
}

impl Feed for Line {
    fn all(&mut self, ty: TypeUrl) -> Vec<Arc<Served>> {
        self.sight.scope.all(ty, &self.supplier.plane.memo)
    }

    fn named(&mut self, ty: TypeUrl, name: &str) -> Option<Arc<Served>> {
        self.sight.scope.named(ty, name, &self.supplier.plane.memo)
    }

    fn refresh(&mut self) -> u64 {
        self.sight = self.supplier.plane.see(&self.proxy, Some(&self.sight.scope));
        self.sight.generation
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
        if generation == self.sight.generation {
            self.supplier.metrics.converged(self.sight.published.elapsed());
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
