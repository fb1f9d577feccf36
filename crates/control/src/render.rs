//! Resources as they are sent: translated and encoded once, shared by every proxy that may have them.
//!
//! Proxies of equal scope share one [`Scope`]. Scopes that differ still share what is equal: the [`Memo`] knows
//! every encoded resource in use by the digest of the slice it was made from.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::Digest;
use mesh::{EndpointSlice, RouteSlice, SecretSlice, View};
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
#[derive(Clone, Default)]
struct Part {
    /// Ordered by name.
    resources: Arc<[Encoded]>,
    /// The names under which the scope it was made after has something else.
    differing: Arc<[Arc<str>]>,
}

#[derive(Clone)]
struct Encoded {
    slice: Digest,
    served: Arc<Served>,
}

impl Scope {
    /// Makes what of it is not as it was, which may take a while; `before` is what the same proxy had in an earlier
    /// generation.
    pub(crate) fn new(view: View, before: Option<&Scope>, memo: &Memo) -> Self {
        static SCOPES: AtomicU64 = AtomicU64::new(1);
        let of = |part: fn(&Scope) -> &Part| before.map(part);
        Self {
            id: SCOPES.fetch_add(1, Ordering::Relaxed),
            since: before.map(|before| before.id),
            clusters: memo.clusters(&view, before),
            endpoints: memo.endpoints(&view, before),
            listeners: memo.listeners(&view, before),
            routes: memo.part(TypeUrl::Route, of(|scope| &scope.routes), view.routes().map(Slice::Route)),
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
        self.part(ty).into_iter().flat_map(|part| part.resources.iter()).map(|encoded| &encoded.served)
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
    fn new(resources: impl Iterator<Item = Encoded>, before: Option<&Part>) -> Self {
        let mut resources: Vec<Encoded> = resources.collect();
        resources.sort_by(|a, b| a.served.name.cmp(&b.served.name));
        let mut part = Self { resources: resources.into(), differing: Arc::default() };
        let is_new = |encoded: &&Encoded| {
            let known = before.and_then(|before| before.find(&encoded.served.name));
            known.is_none_or(|known| known.served.version != encoded.served.version)
        };
        let new = part.resources.iter().filter(is_new);
        let all = before.into_iter().flat_map(|before| before.resources.iter());
        let gone = all.filter(|encoded| part.find(&encoded.served.name).is_none());
        part.differing = new.chain(gone).map(|encoded| encoded.served.name.clone()).collect();
        part
    }

    /// The same resources for another scope.
    fn again(&self) -> Self {
        Self { resources: self.resources.clone(), differing: Arc::default() }
    }

    /// The same, with others in the place of those of the same name.
    fn with(&self, others: impl Iterator<Item = Encoded>) -> Self {
        let mut resources = self.resources.to_vec();
        let mut differing = Vec::new();
        for other in others {
            let at = resources.binary_search_by(|encoded| encoded.served.name.cmp(&other.served.name));
            let Some(known) = at.ok().and_then(|at| resources.get_mut(at)) else { continue };
            if known.served.version != other.served.version {
                differing.push(other.served.name.clone());
            }
            *known = other;
        }
        Self { resources: resources.into(), differing: differing.into() }
    }

    fn find(&self, name: &str) -> Option<&Encoded> {
        let at = self.resources.binary_search_by(|encoded| (*encoded.served.name).cmp(name)).ok()?;
        self.resources.get(at)
    }
}

/// What one resource is made of.
enum Slice<'a> {
    Cluster(&'a mesh::Cluster),
    Endpoints(Arc<EndpointSlice>),
    Listener(&'a mesh::Listener),
    Route(&'a Arc<RouteSlice>),
}

impl Slice<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Cluster(cluster) => &cluster.name,
            Self::Endpoints(slice) => &slice.cluster,
            Self::Listener(listener) => &listener.name,
            Self::Route(route) => &route.name,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Cluster(cluster) => cluster.digest(),
            Self::Endpoints(slice) => slice.digest(),
            Self::Listener(listener) => listener.digest(),
            Self::Route(route) => route.digest(),
        }
    }

    fn translate(&self) -> Output {
        match self {
            Self::Cluster(cluster) => translate::cluster(cluster),
            Self::Endpoints(slice) => translate::endpoints(slice),
            Self::Listener(listener) => translate::listener(listener),
            Self::Route(route) => translate::route(route),
        }
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
    fn clusters(&self, view: &View, before: Option<&Scope>) -> Part {
        if let Some(before) = before.filter(|b| b.view.clusters.digest() == view.clusters.digest()) {
            return before.clusters.again();
        }
        let slices = view.clusters.clusters.iter().map(|cluster| Slice::Cluster(cluster));
        self.part(TypeUrl::Cluster, before.map(|before| &before.clusters), slices)
    }

    fn listeners(&self, view: &View, before: Option<&Scope>) -> Part {
        if let Some(before) = before.filter(|b| b.view.listeners.digest() == view.listeners.digest()) {
            return before.listeners.again();
        }
        let slices = view.listeners.listeners.iter().map(|listener| Slice::Listener(listener));
        self.part(TypeUrl::Listener, before.map(|before| &before.listeners), slices)
    }

    fn endpoints(&self, view: &View, before: Option<&Scope>) -> Part {
        let ty = TypeUrl::Endpoint;
        let slice = |name| view.endpoints(name).map(Slice::Endpoints);
        let of = |before: &Scope, slice: &Slice<'_>| self.encoded(ty, Some(&before.endpoints), slice);
        if let Some((before, moved)) = before.and_then(|before| Some((before, view.moved(&before.view)?))) {
            let slices = moved.into_iter().filter_map(slice);
            return before.endpoints.with(slices.map(|slice| of(before, &slice)));
        }
        self.part(ty, before.map(|before| &before.endpoints), view.endpoint_names().filter_map(slice))
    }

    fn part<'a>(&self, ty: TypeUrl, before: Option<&Part>, slices: impl Iterator<Item = Slice<'a>>) -> Part {
        Part::new(slices.map(|slice| self.encoded(ty, before, &slice)), before)
    }

    /// A slice's resource: the one it was before, one that another scope has, or one made now.
    fn encoded(&self, ty: TypeUrl, before: Option<&Part>, slice: &Slice<'_>) -> Encoded {
        let digest = slice.digest();
        let before = before.and_then(|before| before.find(slice.name()));
        match before.filter(|before| before.slice == digest) {
            Some(before) => before.clone(),
            None => Encoded { slice: digest, served: self.served(ty, digest, || slice.translate()) },
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
