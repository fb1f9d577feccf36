//! From a snapshot to the plan of one proxy, as control plane and proxy make it between them.

use std::sync::Arc;

use mesh::{Proxy, Snapshot};
use plan::{Plan, Reject, Store};
use translate::Output;

/// A proxy's plan, and what the proxy would refuse on the way to it.
#[derive(Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The resources a proxy refuses, by name.
    pub rejects: Vec<Reject>,
}

/// Makes the plan a proxy would have of this snapshot.
pub fn compile(snapshot: &Snapshot, proxy: &Proxy) -> Compiled {
    let mut store = Store::new(filters::registry());
    let view = mesh::view(snapshot, proxy);

    let mut rejects = Vec::new();
    let mut put = |store: &mut Store, outputs: Vec<Output>| {
        let Some(first) = outputs.first() else { return };
        let ty = first.any.type_url.clone();
        let added: Vec<_> = outputs.into_iter().map(|output| (output.name, output.any)).collect();
        rejects.extend(store.update(&ty, &added, &[]));
    };
    put(&mut store, translate::clusters(&view.clusters));
    let endpoints = store.wanted_endpoints();
    let endpoints = endpoints.iter().filter_map(|name| view.endpoints(name));
    put(&mut store, endpoints.map(|slice| translate::endpoints(&slice)).collect());
    put(&mut store, translate::listeners(&view.listeners));
    let routes = store.wanted_routes();
    put(
        &mut store,
        routes.iter().filter_map(|name| view.route(name)).map(|slice| translate::route(&slice)).collect(),
    );
    let secrets = store.wanted_secrets();
    let secrets = secrets.iter().filter_map(|name| view.secret(name));
    put(&mut store, secrets.map(|slice| translate::secret(&slice)).collect());
    Compiled { plan: store.plan(), rejects }
}
