//! A small world for tests: resources whose content is text, and a proxy that lives by them.
//!
//! A listener's text names routes, a route's text names clusters, a cluster has endpoints under its own name, and
//! text that begins with `bad` is refused.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proto::Any;
use tokio::sync::watch;

use crate::{Caller, Feed, Reject, Served, Supply, Turned, TypeUrl, Update};

/// What there is: text by type and name.
pub(crate) type Texts = BTreeMap<TypeUrl, BTreeMap<String, String>>;

/// What a feed was told by its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Acked(TypeUrl),
    Nacked(TypeUrl, u64, String),
    Settled(u64),
}

/// The control plane's truth; clones share it.
#[derive(Clone)]
pub(crate) struct World {
    texts: Arc<Mutex<Texts>>,
    generations: watch::Sender<u64>,
    pub(crate) told: Arc<Mutex<Vec<Told>>>,
}

/// Two clusters with their endpoints, and a listener whose route leads to the first.
pub(crate) fn bookinfo() -> World {
    World::of(&[
        (TypeUrl::Cluster, "a", "1"),
        (TypeUrl::Cluster, "b", "1"),
        (TypeUrl::Endpoint, "a", "1"),
        (TypeUrl::Endpoint, "b", "1"),
        (TypeUrl::Listener, "9080", "9080"),
        (TypeUrl::Route, "9080", "a"),
    ])
}

impl World {
    pub(crate) fn new() -> World {
        World { texts: Arc::default(), generations: watch::Sender::new(1), told: Arc::default() }
    }

    /// Makes a world of `TYPE NAME TEXT` triples.
    pub(crate) fn of(resources: &[(TypeUrl, &str, &str)]) -> World {
        let world = World::new();
        world.change(|texts| {
            for (ty, name, text) in resources {
                texts.entry(*ty).or_default().insert((*name).to_owned(), (*text).to_owned());
            }
        });
        world
    }

    /// Changes what there is; this makes a new generation.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Texts)) {
        change(&mut self.texts.lock().unwrap());
        self.generations.send_modify(|generation| *generation += 1);
    }

    pub(crate) fn put(&self, ty: TypeUrl, name: &str, text: &str) {
        self.change(|texts| drop(texts.entry(ty).or_default().insert(name.to_owned(), text.to_owned())));
    }

    pub(crate) fn remove(&self, ty: TypeUrl, name: &str) {
        self.change(|texts| drop(texts.entry(ty).or_default().remove(name)));
    }

    pub(crate) fn texts(&self) -> Texts {
        self.texts.lock().unwrap().clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        *self.generations.borrow()
    }

    pub(crate) fn feed(&self) -> WorldFeed {
        WorldFeed { world: self.clone(), texts: self.texts(), before: None, is_open: true }
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

impl Supply for World {
    fn open(&self, caller: &Caller<'_>) -> Result<Box<dyn Feed>, Turned> {
        if caller.node.id == "stranger" {
            return Err(Turned::Denied("no strangers".to_owned()));
        }
        Ok(Box::new(self.feed()))
    }
}

/// What one proxy is told of the world.
pub(crate) struct WorldFeed {
    world: World,
    texts: Texts,
    before: Option<Texts>,
    /// Whether it says what a refresh has changed.
    pub(crate) is_open: bool,
}

fn served(name: &str, text: &str) -> Arc<Served> {
    let any = Any { type_url: String::new(), value: text.as_bytes().to_vec() };
    Arc::new(Served::new(name, text, any))
}

impl Feed for WorldFeed {
    fn all(&mut self, ty: TypeUrl) -> Vec<Arc<Served>> {
        self.texts.get(&ty).into_iter().flatten().map(|(name, text)| served(name, text)).collect()
    }

    fn named(&mut self, ty: TypeUrl, name: &str) -> Option<Arc<Served>> {
        Some(served(name, self.texts.get(&ty)?.get(name)?))
    }

    fn refresh(&mut self) -> u64 {
        self.before = Some(std::mem::replace(&mut self.texts, self.world.texts()));
        self.world.generation()
    }

    fn differing(&self, ty: TypeUrl) -> Option<Arc<[Arc<str>]>> {
        let before = self.before.as_ref().filter(|_| self.is_open)?;
        let none = BTreeMap::new();
        let (before, now) = (before.get(&ty).unwrap_or(&none), self.texts.get(&ty).unwrap_or(&none));
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let differing = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
        Some(differing.map(|name| name.as_str().into()).collect())
    }

    fn acked(&mut self, ty: TypeUrl) {
        self.world.told.lock().unwrap().push(Told::Acked(ty));
    }

    fn nacked(&mut self, ty: TypeUrl, generation: u64, error: &str) {
        self.world.told.lock().unwrap().push(Told::Nacked(ty, generation, error.to_owned()));
    }

    fn settled(&mut self, generation: u64) {
        self.world.told.lock().unwrap().push(Told::Settled(generation));
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.world.generations.subscribe()
    }
}

/// A proxy that lives by what it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxy {
    pub(crate) texts: Texts,
    /// Names it was told there is nothing under.
    pub(crate) absent: BTreeMap<TypeUrl, BTreeSet<String>>,
}

impl Proxy {
    pub(crate) fn apply(&mut self, update: Update) -> Vec<Reject> {
        let mut rejects = Vec::new();
        let texts = self.texts.entry(update.ty).or_default();
        let absent = self.absent.entry(update.ty).or_default();
        for added in update.added {
            match String::from_utf8(added.any.value) {
                Ok(text) if !text.starts_with("bad") => {
                    absent.remove(&added.name);
                    texts.insert(added.name, text);
                }
                _ => rejects.push(Reject { name: added.name, message: "is bad".to_owned() }),
            }
        }
        for name in update.removed {
            texts.remove(&name);
            absent.insert(name);
        }
        self.forget();
        rejects
    }

    pub(crate) fn wanted(&self, ty: TypeUrl) -> BTreeSet<String> {
        let texts = |ty| self.texts.get(&ty).into_iter().flatten();
        match ty {
            TypeUrl::Endpoint => texts(TypeUrl::Cluster).map(|(name, _)| name.clone()).collect(),
            TypeUrl::Route => texts(TypeUrl::Listener)
                .flat_map(|(_, text)| text.split_whitespace().map(str::to_owned))
                .collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Drops what nothing refers to any more.
    fn forget(&mut self) {
        for ty in [TypeUrl::Endpoint, TypeUrl::Route] {
            let wanted = self.wanted(ty);
            self.texts.entry(ty).or_default().retain(|name, _| wanted.contains(name));
            self.absent.entry(ty).or_default().retain(|name| wanted.contains(name));
        }
    }

    /// The first cluster some route names and that is not wholly there.
    pub(crate) fn dangling(&self) -> Option<String> {
        let none = BTreeMap::new();
        let texts = |ty| self.texts.get(&ty).unwrap_or(&none);
        let named = texts(TypeUrl::Route).values().flat_map(|text| text.split_whitespace());
        let there = |name: &str| {
            texts(TypeUrl::Cluster).contains_key(name) && texts(TypeUrl::Endpoint).contains_key(name)
        };
        named.map(str::to_owned).find(|name| !there(name))
    }
}
