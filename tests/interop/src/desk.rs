//! A control plane's word, changed by a test as it goes, and what a proxy said to it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use testkit::wait_until;
use tokio::sync::watch;
use xds::{Caller, Feed, Served, Supply, Turned, TypeUrl};

use crate::PATIENCE;

/// One resource as a test puts it: its bytes need not be what its type says.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The type it goes out as.
    pub ty: TypeUrl,
    /// The name it goes out under.
    pub name: Arc<str>,
    /// The bytes of its message.
    pub value: Vec<u8>,
}

/// A response a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The type of the response.
    pub ty: TypeUrl,
    /// The generation it was made of.
    pub generation: u64,
    /// What the proxy said.
    pub error: String,
}

impl Refusal {
    /// Whether the proxy said first which resource it is about.
    pub fn names(&self, resource: &str) -> bool {
        self.error.strip_prefix(resource).is_some_and(|rest| rest.starts_with(": "))
    }
}

/// The resources there are; clones share them.
#[derive(Clone, Debug)]
pub struct Desk {
    state: Arc<Mutex<State>>,
    generations: watch::Sender<u64>,
}

type Resources = BTreeMap<TypeUrl, BTreeMap<Arc<str>, Arc<Served>>>;

#[derive(Debug, Default)]
struct State {
    resources: Resources,
    refusals: Vec<Refusal>,
    settled: u64,
}

impl Default for Desk {
    fn default() -> Self {
        Self { state: Arc::default(), generations: watch::Sender::new(1) }
    }
}

impl Desk {
    /// Puts resources in the place of those of the same names; the generation this makes.
    pub fn put(&self, resources: impl IntoIterator<Item = Resource>) -> u64 {
        self.change(resources, |_| {})
    }

    /// Puts these resources in the place of all others; the generation this makes.
    pub fn replace(&self, resources: impl IntoIterator<Item = Resource>) -> u64 {
        self.change(resources, Resources::clear)
    }

    fn change(
        &self,
        resources: impl IntoIterator<Item = Resource>,
        first: impl FnOnce(&mut Resources),
    ) -> u64 {
        let mut state = self.lock();
        let generation = *self.generations.borrow() + 1;
        first(&mut state.resources);
        for Resource { ty, name, value } in resources {
            let version = version(&value);
            let any = proto::Any { type_url: ty.as_str().to_owned(), value };
            let served = Arc::new(Served::new(&name, &version, any));
            state.resources.entry(ty).or_default().insert(name, served);
        }
        drop(state);
        self.generations.send_replace(generation);
        generation
    }

    /// Waits until a proxy has answered everything of a generation, be it by refusing it.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_settled(&self, generation: u64) {
        wait_until("the proxy's answers", PATIENCE, || match self.lock() {
            state if state.settled >= generation => Ok(()),
            state => Err(format!("settled {} of {generation}; refused {:?}", state.settled, state.refusals)),
        });
    }

    /// What was refused of a generation.
    pub fn refusals(&self, generation: u64) -> Vec<Refusal> {
        self.lock().refusals.iter().filter(|refusal| refusal.generation == generation).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Equal for equal bytes, whichever desk they lie on: a proxy tells its next control plane what it has.
fn version(value: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

impl Supply for Desk {
    fn open(&self, _: &Caller<'_>) -> Result<Box<dyn Feed>, Turned> {
        let resources = self.lock().resources.clone();
        Ok(Box::new(DeskFeed { desk: self.clone(), resources }))
    }
}

/// What one proxy is told.
struct DeskFeed {
    desk: Desk,
    resources: Resources,
}

impl Feed for DeskFeed {
    fn all(&mut self, ty: TypeUrl) -> Vec<Arc<Served>> {
        self.resources.get(&ty).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    fn named(&mut self, ty: TypeUrl, name: &str) -> Option<Arc<Served>> {
        self.resources.get(&ty)?.get(name).cloned()
    }

    fn refresh(&mut self) -> u64 {
        let generation = *self.desk.generations.borrow();
        self.resources.clone_from(&self.desk.lock().resources);
        generation
    }

    fn nacked(&mut self, ty: TypeUrl, generation: u64, error: &str) {
        self.desk.lock().refusals.push(Refusal { ty, generation, error: error.to_owned() });
    }

    fn settled(&mut self, generation: u64) {
        self.desk.lock().settled = generation;
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.desk.generations.subscribe()
    }
}
