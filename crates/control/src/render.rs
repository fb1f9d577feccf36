//! Resources as they are sent: translated and encoded once, shared by every proxy that may have them.
//!
//! Proxies of equal scope share one [`Scope`]. Scopes that differ still share what is equal: the [`Memo`] knows
//! every encoded resource in use by the digest of the slice it was made from.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::Digest;
use mesh::{SecretSlice, View};
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::config::route::v3::RouteConfiguration;
use translate::Output;
use xds::{Served, TypeUrl};

#[cfg(test)]
mod tests;

/// The memo is swept when it has grown this much beyond what was alive at the last sweep.
const SWEEP: usize = 1024;

/// Everything one proxy scope has in one generation but its secrets, which are looked up as they are asked for.
pub(crate) struct Scope {
    /// Its own number, unique for the life of the process.
    id: u64,
    /// The scope it was made after.
    since: Option<u64>,
    view: View,
    clusters: Part,
    endpoints: Part,
    listeners: Part,
    routes: Part,
}

/// All resources of one type.
#[derive(Default)]
struct Part {
    /// Ordered by name.
    resources: Vec<Encoded>,
    /// The names under which the scope it was made after has something else.
    differing: Arc<[Arc<str>]>,
}

#[derive(Clone)]
struct Encoded {
    slice: Digest,
    served: Arc<Served>,
}

impl Scope {
    /// Makes all of it, which may take a while; `before` is what the same proxy had in an earlier generation.
    pub(crate) fn new(view: View, before: Option<&Scope>, memo: &Memo) -> Self {
        static SCOPES: AtomicU64 = AtomicU64::new(1);
        let none = Part::default();
        let since = before.map(|before| before.id);
        let before = |part: fn(&Scope) -> &Part| before.map_or(&none, part);
        let clusters = view.clusters.clusters.iter().map(|cluster| {
            let generate = || translate::cluster(cluster);
            memo.encoded(
                TypeUrl::Cluster,
                cluster.digest(),
                before(|scope| &scope.clusters).find(&cluster.name),
                generate,
            )
        });
        let listeners = view.listeners.listeners.iter().map(|listener| {
            let generate = || translate::listener(listener);
            memo.encoded(
                TypeUrl::Listener,
                listener.digest(),
                before(|scope| &scope.listeners).find(&listener.name),
                generate,
            )
        });
        let routes = view.routes().map(|route| {
            let generate = || translate::route(route);
            memo.encoded(
                TypeUrl::Route,
                route.digest(),
                before(|scope| &scope.routes).find(&route.name),
                generate,
            )
        });
        let endpoints = view.endpoint_names().filter_map(|name| {
            let slice = view.endpoints(name)?;
            let generate = || translate::endpoints(&slice);
            let before = before(|scope| &scope.endpoints).find(name);
            Some(memo.encoded(TypeUrl::Endpoint, slice.digest(), before, generate))
        });
        Self {
            id: SCOPES.fetch_add(1, Ordering::Relaxed),
            since,
            clusters: Part::new(clusters, before(|scope| &scope.clusters)),
            endpoints: Part::new(endpoints, before(|scope| &scope.endpoints)),
            listeners: Part::new(listeners, before(|scope| &scope.listeners)),
            routes: Part::new(routes, before(|scope| &scope.routes)),
            view,
        }
    }

    /// Everything of a type that is subscribed to as a whole.
    pub(crate) fn all(&self, ty: TypeUrl) -> Vec<Arc<Served>> {
        match ty {
            TypeUrl::Cluster | TypeUrl::Listener => self.shown(ty).cloned().collect(),
            TypeUrl::Endpoint | TypeUrl::Route | TypeUrl::Secret => Vec::new(),
        }
    }

    /// One resource. Endpoints and routes exist under every name: a proxy that asks for one waits until it has
    /// it, and a stock Envoy does not take a removal for an answer.
    pub(crate) fn named(&self, ty: TypeUrl, name: &str) -> Option<Arc<Served>> {
        let served = self.part(ty)?.find(name).map(|encoded| encoded.served.clone());
        match ty {
            TypeUrl::Endpoint | TypeUrl::Route => served.or_else(|| Some(encode(empty(ty, name)))),
            _ => served,
        }
    }

    /// A secret by its name.
    pub(crate) fn secret(&self, name: &str) -> Option<Arc<SecretSlice>> {
        self.view.secret(name)
    }

    /// Every resource of a type there is for the scope, ordered by name; no secrets.
    pub(crate) fn shown(&self, ty: TypeUrl) -> impl Iterator<Item = &Arc<Served>> {
        self.part(ty).into_iter().flat_map(|part| &part.resources).map(|encoded| &encoded.served)
    }

    /// The names of a type under which another scope has something else; `None` where that is not known, which it
    /// is of secrets, and of all but the scope that this one was made after.
    pub(crate) fn differing(&self, before: &Scope, ty: TypeUrl) -> Option<Arc<[Arc<str>]>> {
        let part = self.part(ty)?;
        match self.since {
            _ if self.id == before.id => Some(Arc::default()),
            Some(since) if since == before.id => Some(part.differing.clone()),
            _ => None,
        }
    }

    fn part(&self, ty: TypeUrl) -> Option<&Part> {
        match ty {
            TypeUrl::Cluster => Some(&self.clusters),
            TypeUrl::Endpoint => Some(&self.endpoints),
            TypeUrl::Listener => Some(&self.listeners),
            TypeUrl::Route => Some(&self.routes),
            TypeUrl::Secret => None,
        }
    }
}

impl Part {
    fn new(resources: impl Iterator<Item = Encoded>, before: &Part) -> Self {
        let mut resources: Vec<Encoded> = resources.collect();
        resources.sort_by(|a, b| a.served.name.cmp(&b.served.name));
        let mut part = Self { resources, differing: Arc::default() };
        let is_new = |encoded: &&Encoded| {
            let known = before.find(&encoded.served.name);
            known.is_none_or(|known| known.served.version != encoded.served.version)
        };
        let new = part.resources.iter().filter(is_new);
        let gone = before.resources.iter().filter(|encoded| part.find(&encoded.served.name).is_none());
        part.differing = new.chain(gone).map(|encoded| encoded.served.name.clone()).collect();
        part
    }

    fn find(&self, name: &str) -> Option<&Encoded> {
        let at = self.resources.binary_search_by(|encoded| (*encoded.served.name).cmp(name)).ok()?;
        self.resources.get(at)
    }
}

/// Encoded resources in use, by type and digest of their slice.
#[derive(Default)]
pub(crate) struct Memo {
    known: Mutex<Known>,
    made: AtomicU64,
}

#[derive(Default)]
struct Known {
    served: HashMap<(TypeUrl, Digest), Weak<Served>>,
    alive: usize,
}

impl Memo {
    /// A slice's resource: the one it was before, one that another scope has, or one made now.
    fn encoded(
        &self,
        ty: TypeUrl,
        slice: Digest,
        before: Option<&Encoded>,
        generate: impl FnOnce() -> Output,
    ) -> Encoded {
        match before.filter(|before| before.slice == slice) {
            Some(before) => before.clone(),
            None => Encoded { slice, served: self.served(ty, slice, generate) },
        }
    }

    fn served(&self, ty: TypeUrl, slice: Digest, generate: impl FnOnce() -> Output) -> Arc<Served> {
        if let Some(served) = lock(&self.known).served.get(&(ty, slice)).and_then(Weak::upgrade) {
            return served;
        }
        // Encoded outside the lock: two that race encode the same bytes.
        let served = encode(generate());
        self.made.fetch_add(1, Ordering::Relaxed);
        let mut known = lock(&self.known);
        known.served.insert((ty, slice), Arc::downgrade(&served));
        if known.served.len() > known.alive * 2 + SWEEP {
            known.served.retain(|_, served| served.strong_count() > 0);
            known.alive = known.served.len();
        }
        served
    }

    /// How many resources were ever translated and encoded.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// How many resources are remembered, alive or not.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.known).served.len()
    }
}

/// A secret, encoded for whoever asked; it is not remembered.
pub(crate) fn secret(slice: &SecretSlice) -> Arc<Served> {
    encode(translate::secret(slice))
}

fn empty(ty: TypeUrl, name: &str) -> Output {
    let any = match ty {
        TypeUrl::Route => {
            proto::any::pack(&RouteConfiguration { name: name.into(), ..RouteConfiguration::default() })
        }
        _ => proto::any::pack(&ClusterLoadAssignment {
            cluster_name: name.into(),
            ..ClusterLoadAssignment::default()
        }),
    };
    Output { name: name.into(), any }
}

/// The version is a digest of the bytes: what is the same to the last bit is never sent twice.
fn encode(output: Output) -> Arc<Served> {
    let version = Digest::of(&output.any.value).to_string();
    Arc::new(Served::new(&output.name, &version, output.any))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
