//! Requests that change what is in force, or ask what a change would come to.

use std::collections::{BTreeMap, BTreeSet};

use api::{Key, Resource, ResourceSet};
use base::{Issue, Place};
use mesh::{Settings, Snapshot};
use source::{Edit, Receipt, StoreError, Verb};
use tokio::time::Instant;

use super::{Desk, deadline, issue};
use crate::proxies::Concern;
use crate::wire::{Action, Apply, Delete, Document, Mode, Outcome, Reply, Validate};

impl Desk {
    /// Puts objects in force and waits for the proxies.
    pub(crate) async fn apply(&self, request: Apply) -> Reply {
        let deadline = deadline(request.timeout_ms);
        let (resources, mut reply) = Handed::read(&request.documents).reply();
        if request.dry_run {
            self.try_out(resources, request.mode, &mut reply).await;
            return reply;
        }
        let keys: Vec<Key> = resources.iter().map(Resource::key).collect();
        let places: BTreeMap<String, Place> = resources.iter().map(placed).collect();
        let edits = resources.into_iter().map(edit(request.mode)).collect();
        let receipt = self.directory.write(edits).await;
        self.finish(&keys, receipt, deadline, &mut reply).await;
        locate(&mut reply.issues, &places);
        reply
    }

    /// Takes objects out of force and waits for the proxies.
    pub(crate) async fn delete(&self, request: Delete) -> Reply {
        let deadline = deadline(request.timeout_ms);
        let mut reply = Reply::default();
        let handed = Handed::read(&request.documents);
        // What an object says does not matter when it goes; that nothing could be told from a document does.
        reply.issues.extend(handed.issues.into_iter().filter(|issue| issue.object.is_empty()));
        let mut keys: BTreeSet<Key> = handed.resources.into_keys().chain(handed.refused).collect();
        for text in &request.keys {
            match text.parse() {
                Ok(key) => drop(keys.insert(key)),
                Err(why) => reply.issues.push(issue("unknown-object", text, why)),
            }
        }
        let keys: Vec<Key> = keys.into_iter().collect();
        if request.dry_run {
            let standing = self.built.standing();
            reply.results.extend(keys.iter().map(|key| {
                let action = if standing.set.get(key).is_some() { Action::Deleted } else { Action::Missing };
                Outcome { object: key.to_string(), action }
            }));
            return reply;
        }
        let receipt = self.directory.write(keys.iter().cloned().map(Edit::Remove).collect()).await;
        self.finish(&keys, receipt, deadline, &mut reply).await;
        // That there is nothing to delete is said by its outcome.
        reply.issues.retain(|issue| issue.code != NOT_FOUND);
        reply
    }

    /// Says whether objects could be put in force, and what would be wrong with what is in force then.
    pub(crate) async fn validate(&self, request: Validate) -> Reply {
        let (resources, mut reply) = Handed::read(&request.documents).reply();
        let valid = resources
            .iter()
            .map(|resource| Outcome { object: resource.key().to_string(), action: Action::Valid });
        reply.results.extend(valid);
        let set = self.built.standing().set;
        self.foresee(set, resources, &mut reply).await;
        reply
    }

    /// Tells what was written, and waits until it is in force everywhere.
    async fn finish(&self, keys: &[Key], receipt: Receipt, deadline: Instant, reply: &mut Reply) {
        for (key, written) in keys.iter().zip(receipt.written) {
            let action = match written {
                Ok(written) => action(written.verb),
                Err(StoreError::Absent(_)) => absent(key, reply),
                Err(StoreError::Exists(_)) => present(key, reply),
                Err(error) => {
                    reply.issues.push(issue("not-written", &key.to_string(), in_full(&error)));
                    Action::Refused
                }
            };
            reply.results.push(Outcome { object: key.to_string(), action });
        }
        let mut progress = self.built.progress();
        let reached = progress.wait_for(|progress| progress.sequence >= receipt.sequence);
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(progress)) => reply.generation = progress.generation,
            // It is written and will be in force, but nobody has been told of it in time.
            Ok(Err(_)) | Err(_) => {
                reply.pending = self.proxies.nodes().into_iter().collect();
                return;
            }
        }
        let objects: BTreeSet<String> = keys.iter().map(Key::to_string).collect();
        let snapshot = self.plane.current().snapshot.clone();
        reply.issues.extend(about(&objects, snapshot.issues()));
        self.settle(&Concern::Everybody, deadline, reply).await;
    }

    /// Says what applying would do, and touches nothing.
    async fn try_out(&self, resources: Vec<Resource>, mode: Mode, reply: &mut Reply) {
        let set: ResourceSet = self.built.standing().set;
        let places = resources.iter().map(placed).collect();
        let mut fit = Vec::new();
        for resource in resources {
            let key = resource.key();
            let action = match (mode, set.get(&key)) {
                (Mode::Create, Some(_)) => present(&key, reply),
                (Mode::Replace, None) => absent(&key, reply),
                (_, Some(known)) if edit(mode)(resource.clone()).is_done_by(known) => Action::Unchanged,
                (_, Some(_)) => Action::Configured,
                (_, None) => Action::Created,
            };
            reply.results.push(Outcome { object: key.to_string(), action });
            if !matches!(action, Action::Missing | Action::Refused) {
                fit.push(resource);
            }
        }
        locate(&mut reply.issues, &places);
        self.foresee(set, fit, reply).await;
    }

    /// Says what would be wrong with objects once they were in force.
    async fn foresee(&self, mut set: ResourceSet, resources: Vec<Resource>, reply: &mut Reply) {
        let objects: BTreeSet<String> = resources.iter().map(|resource| resource.key().to_string()).collect();
        resources.into_iter().for_each(|resource| drop(set.insert(resource)));
        let (current, source) = (self.plane.current(), self.settings.clone());
        reply.generation = current.number;
        let next = move || {
            let settings = Settings::new(&source.config(&set));
            Snapshot::next(Some(&current.snapshot), &set, &settings).issues().to_vec()
        };
        match tokio::task::spawn_blocking(next).await {
            Ok(issues) => reply.issues.extend(about(&objects, &issues)),
            Err(error) => tracing::error!(%error, "trying out objects"),
        }
    }
}

/// What was handed over, read. Of two versions of an object the later counts.
#[derive(Default)]
struct Handed {
    resources: BTreeMap<Key, Resource>,
    refused: BTreeSet<Key>,
    issues: Vec<Issue>,
}

impl Handed {
    fn read(documents: &[Document]) -> Self {
        let mut handed = Self::default();
        for document in documents {
            let parsed = api::parse(&document.file, document.text.as_bytes());
            handed.issues.extend(parsed.issues);
            handed.refused.extend(parsed.refused);
            handed.resources.extend(parsed.resources.into_iter().map(|resource| (resource.key(), resource)));
        }
        // An object that was refused in one place is not put in force from another.
        handed.resources.retain(|key, _| !handed.refused.contains(key));
        handed
    }

    /// The good objects, and an answer that tells of the bad ones.
    fn reply(self) -> (Vec<Resource>, Reply) {
        let refused = self.refused.iter();
        let results =
            refused.map(|key| Outcome { object: key.to_string(), action: Action::Refused }).collect();
        let reply = Reply { results, issues: self.issues, ..Reply::default() };
        (self.resources.into_values().collect(), reply)
    }
}

/// What a mode does with an object.
fn edit(mode: Mode) -> fn(Resource) -> Edit {
    match mode {
        Mode::Apply => Edit::Put,
        Mode::Create => Edit::Create,
        Mode::Replace => Edit::Replace,
    }
}

/// An object, and where the user wrote it.
fn placed(resource: &Resource) -> (String, Place) {
    (resource.key().to_string(), resource.place(""))
}

/// Gives findings about whole objects the place where the user wrote them.
fn locate(issues: &mut [Issue], places: &BTreeMap<String, Place>) {
    for issue in issues.iter_mut().filter(|issue| issue.place == Place::default()) {
        if let Some(place) = places.get(&issue.object) {
            issue.place = place.clone();
        }
    }
}

/// What an object is called that was to be replaced and is not there.
const NOT_FOUND: &str = "not-found";

/// Says that an object is not there, in kubectl's words.
fn absent(key: &Key, reply: &mut Reply) -> Action {
    reply.issues.push(issue(NOT_FOUND, &key.to_string(), format!("{} not found", called(key))));
    Action::Missing
}

/// Says that an object is there already, in kubectl's words.
fn present(key: &Key, reply: &mut Reply) -> Action {
    reply.issues.push(issue("already-exists", &key.to_string(), format!("{} already exists", called(key))));
    Action::Refused
}

/// `virtualservices.networking.istio.io "reviews"`.
fn called(key: &Key) -> String {
    match key.kind.group() {
        "" => format!("{} {:?}", key.kind.plural(), key.name),
        group => format!("{}.{group} {:?}", key.kind.plural(), key.name),
    }
}

fn about(objects: &BTreeSet<String>, issues: &[Issue]) -> Vec<Issue> {
    issues.iter().filter(|issue| objects.contains(&issue.object)).cloned().collect()
}

fn action(verb: Verb) -> Action {
    match verb {
        Verb::Configured => Action::Configured,
        Verb::Created => Action::Created,
        Verb::Deleted => Action::Deleted,
        Verb::Unchanged => Action::Unchanged,
    }
}

/// An error and what caused it, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
