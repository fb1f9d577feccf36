//! Resources as they are sent: translated and encoded once, shared by every proxy that may have them.
//!
//! Proxies of equal scope share one [`Scope`]. Scopes that differ still share what is equal: the [`Memo`] knows
//! every encoded resource in use by the digest of the slice it was made from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use base::Digest;
use mesh::View;
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::config::route::v3::RouteConfiguration;
use translate::Output;
use xds::{Served, TypeUrl};

#[cfg(test)]
mod tests;

/// The memo is swept when it has grown this much beyond what was alive at the last sweep.
const SWEEP: usize = 1024;

/// One proxy scope in one generation.
pub(crate) struct Scope {
    view: View,
    clusters: OnceLock<Vec<Arc<Served>>>,
    listeners: OnceLock<Vec<Arc<Served>>>,
    named: Mutex<Named>,
    before: Before,
}

/// What an earlier generation had, held so that what did not change is still in the memo when it is asked for.
#[derive(Default)]
struct Before {
    _whole: Vec<Arc<Served>>,
    named: Named,
}

/// What has been asked for by name.
#[derive(Clone, Default)]
struct Named {
    endpoints: HashMap<Arc<str>, Encoded>,
    routes: HashMap<Arc<str>, Encoded>,
}

impl Named {
    fn of(&self, ty: TypeUrl) -> &HashMap<Arc<str>, Encoded> {
        if ty == TypeUrl::Route { &self.routes } else { &self.endpoints }
    }

    fn of_mut(&mut self, ty: TypeUrl) -> &mut HashMap<Arc<str>, Encoded> {
        if ty == TypeUrl::Route { &mut self.routes } else { &mut self.endpoints }
    }
}

#[derive(Clone)]
struct Encoded {
    slice: Digest,
    served: Arc<Served>,
}

impl Scope {
    /// The scope of a view; `before` is what the same proxy had in an earlier generation.
    pub(crate) fn new(view: View, before: Option<&Scope>) -> Self {
        let before = before.map_or_else(Before::default, |before| {
            let whole = [&before.clusters, &before.listeners];
            Before {
                _whole: whole.into_iter().filter_map(OnceLock::get).flatten().cloned().collect(),
                named: lock(&before.named).clone(),
            }
        });
        Self { view, clusters: OnceLock::new(), listeners: OnceLock::new(), named: Mutex::default(), before }
    }

    /// Everything of a type that is subscribed to as a whole.
    pub(crate) fn all(&self, ty: TypeUrl, memo: &Memo) -> Vec<Arc<Served>> {
        match ty {
            TypeUrl::Cluster => self.clusters(memo).to_vec(),
            TypeUrl::Listener => self.listeners(memo).to_vec(),
            TypeUrl::Endpoint | TypeUrl::Route | TypeUrl::Secret => Vec::new(),
        }
    }

    /// One resource. Endpoints and routes exist under every name: a proxy that asks for one waits until it has
    /// it, and a stock Envoy does not take a removal for an answer.
    pub(crate) fn named(&self, ty: TypeUrl, name: &str, memo: &Memo) -> Option<Arc<Served>> {
        match ty {
            TypeUrl::Cluster => find(self.clusters(memo), name),
            TypeUrl::Listener => find(self.listeners(memo), name),
            TypeUrl::Endpoint | TypeUrl::Route => {
                self.lazily(ty, name, memo).or_else(|| Some(encode(empty(ty, name))))
            }
            TypeUrl::Secret => None,
        }
    }

    fn clusters(&self, memo: &Memo) -> &[Arc<Served>] {
        self.clusters.get_or_init(|| {
            let clusters = self.view.clusters.clusters.iter();
            let served = clusters.map(|cluster| {
                memo.served(TypeUrl::Cluster, cluster.digest(), || translate::cluster(cluster))
            });
            by_name(served.collect())
        })
    }

    fn listeners(&self, memo: &Memo) -> &[Arc<Served>] {
        self.listeners.get_or_init(|| {
            let listeners = self.view.listeners.listeners.iter();
            let served = listeners.map(|listener| {
                memo.served(TypeUrl::Listener, listener.digest(), || translate::listener(listener))
            });
            by_name(served.collect())
        })
    }

    fn lazily(&self, ty: TypeUrl, name: &str, memo: &Memo) -> Option<Arc<Served>> {
        if let Some(known) = lock(&self.named).of(ty).get(name) {
            return Some(known.served.clone());
        }
        // Names come from the network: what does not exist is not remembered.
        let encoded = self.make(ty, name, memo)?;
        let served = encoded.served.clone();
        lock(&self.named).of_mut(ty).insert(served.name.clone(), encoded);
        Some(served)
    }

    fn make(&self, ty: TypeUrl, name: &str, memo: &Memo) -> Option<Encoded> {
        let (slice, generate): (Digest, Box<dyn FnOnce() -> Output>) = match ty {
            TypeUrl::Route => {
                let slice = self.view.route(name)?;
                (slice.digest(), Box::new(move || translate::route(&slice)))
            }
            _ => {
                let slice = self.view.endpoints(name)?;
                (slice.digest(), Box::new(move || translate::endpoints(&slice)))
            }
        };
        let before = self.before.named.of(ty).get(name).filter(|before| before.slice == slice);
        Some(match before {
            Some(before) => before.clone(),
            None => Encoded { slice, served: memo.served(ty, slice, generate) },
        })
    }
}

/// Encoded resources in use, by type and digest of their slice.
#[derive(Default)]
pub(crate) struct Memo {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    served: HashMap<(TypeUrl, Digest), Weak<Served>>,
    alive: usize,
}

impl Memo {
    fn served(&self, ty: TypeUrl, slice: Digest, generate: impl FnOnce() -> Output) -> Arc<Served> {
        if let Some(served) = lock(&self.known).served.get(&(ty, slice)).and_then(Weak::upgrade) {
            return served;
        }
        // Encoded outside the lock: two that race encode the same bytes.
        let served = encode(generate());
        let mut known = lock(&self.known);
        known.served.insert((ty, slice), Arc::downgrade(&served));
        if known.served.len() > known.alive * 2 + SWEEP {
            known.served.retain(|_, served| served.strong_count() > 0);
            known.alive = known.served.len();
        }
        served
    }

    /// How many resources are remembered, alive or not.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.known).served.len()
    }
}

fn by_name(mut served: Vec<Arc<Served>>) -> Vec<Arc<Served>> {
    served.sort_by(|a, b| a.name.cmp(&b.name));
    served
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

fn find(sorted: &[Arc<Served>], name: &str) -> Option<Arc<Served>> {
    let at = sorted.binary_search_by(|served| (*served.name).cmp(name)).ok()?;
    sorted.get(at).cloned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
