//! Requests that read or change what is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use api::{Key, Kind, Resource, ResourceSet};
use base::{Issue, Place, Severity};
use mesh::{Settings, Snapshot};
use source::{Directory, Edit, Receipt, StoreError, Verb};
use tokio::time::Instant;
use xds::{Connections, TypeStatus};

use crate::builder::Built;
use crate::plane::Plane;
use crate::proxies::{Pending, Proxies};
use crate::wire::{
    Action, Apply, Delete, Document, Object, Objects, Outcome, ProxyStatus, Reply, Status, TypeSync, Wait,
};

/// The longest a request may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Everything a request may touch.
pub(crate) struct Desk {
    pub(crate) dir: PathBuf,
    pub(crate) discovery: String,
    pub(crate) http: String,
    pub(crate) directory: Directory,
    pub(crate) built: Arc<Built>,
    pub(crate) plane: Arc<Plane>,
    pub(crate) proxies: Proxies,
    pub(crate) connections: Connections,
    pub(crate) settings: Arc<Settings>,
}

/// Which objects are asked for; what is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) kind: Option<Kind>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

impl Desk {
    /// Puts objects in force and waits for the proxies.
    pub(crate) async fn apply(&self, request: Apply) -> Reply {
        let deadline = deadline(request.timeout_ms);
        let handed = Handed::read(&request.documents);
        let mut reply = Reply { issues: handed.issues, ..Reply::default() };
        let resources: Vec<Resource> = handed.resources.into_values().collect();
        for key in &handed.refused {
            reply.results.push(Outcome { object: key.to_string(), action: Action::Refused });
        }
        if request.dry_run {
            self.try_out(resources, &mut reply).await;
            return reply;
        }
        let keys: Vec<Key> = resources.iter().map(Resource::key).collect();
        let receipt = self.directory.write(resources.into_iter().map(Edit::Put).collect()).await;
        self.finish(&keys, receipt, deadline, &mut reply).await;
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
        reply
    }

    /// Waits until proxies have acknowledged what is in force.
    pub(crate) async fn wait(&self, request: Wait) -> Reply {
        let mut reply = Reply { generation: self.plane.current().number, ..Reply::default() };
        let must_connect = !request.nodes.is_empty();
        let nodes = if must_connect { request.nodes.into_iter().collect() } else { self.proxies.nodes() };
        self.settle(&nodes, must_connect, deadline(request.timeout_ms), &mut reply).await;
        reply
    }

    /// The objects in force that were asked for.
    pub(crate) fn objects(&self, selection: &Selection) -> Objects {
        let standing = self.built.standing();
        let wanted = |resource: &&Resource| {
            let meta = resource.meta();
            selection.kind.is_none_or(|kind| kind == resource.kind())
                && selection.namespace.as_deref().is_none_or(|namespace| namespace == &*meta.namespace)
                && selection.name.as_deref().is_none_or(|name| name == &*meta.name)
        };
        Objects { objects: standing.set.iter().filter(wanted).map(object).collect() }
    }

    /// How everything stands.
    pub(crate) fn status(&self) -> Status {
        let standing = self.built.standing();
        let count = |kind: Kind| (kind.name().to_owned(), standing.set.of_kind(kind).count());
        let mut proxies: Vec<ProxyStatus> = self.connections.list().iter().map(proxy_status).collect();
        proxies.sort_by(|a, b| a.node.cmp(&b.node));
        Status {
            dir: self.dir.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            discovery: self.discovery.clone(),
            http: self.http.clone(),
            generation: self.plane.current().number,
            objects: Kind::ALL.into_iter().map(count).collect(),
            proxies,
            issues: standing.issues,
        }
    }

    /// Tells what was written, and waits until it is in force everywhere.
    async fn finish(&self, keys: &[Key], receipt: Receipt, deadline: Instant, reply: &mut Reply) {
        for (key, written) in keys.iter().zip(receipt.written) {
            let object = key.to_string();
            let action = match written {
                Ok(written) => action(written.verb),
                Err(StoreError::Absent(_)) => Action::Missing,
                Err(error) => {
                    reply.issues.push(issue("not-written", &object, in_full(&error)));
                    Action::Refused
                }
            };
            reply.results.push(Outcome { object, action });
        }
        let mut progress = self.built.progress();
        let reached = progress.wait_for(|progress| progress.sequence >= receipt.sequence);
        let nodes = self.proxies.nodes();
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(progress)) => reply.generation = progress.generation,
            // It is written and will be in force, but nobody has been told of it in time.
            Ok(Err(_)) | Err(_) => {
                reply.pending = nodes.into_iter().collect();
                return;
            }
        }
        let objects: BTreeSet<String> = keys.iter().map(Key::to_string).collect();
        let snapshot = self.plane.current().snapshot.clone();
        reply.issues.extend(about(&objects, snapshot.issues()));
        self.settle(&nodes, false, deadline, reply).await;
    }

    async fn settle(
        &self,
        nodes: &BTreeSet<String>,
        must_connect: bool,
        deadline: Instant,
        reply: &mut Reply,
    ) {
        for pending in self.proxies.wait(nodes, reply.generation, must_connect, deadline).await {
            let Pending { node, refused, .. } = pending;
            for (ty, error) in refused {
                reply.issues.push(issue("proxy-refused", "", format!("{node} refuses {ty}: {error}")));
            }
            reply.pending.push(node);
        }
    }

    /// Says what applying would do, and touches nothing.
    async fn try_out(&self, resources: Vec<Resource>, reply: &mut Reply) {
        let mut set: ResourceSet = self.built.standing().set;
        let mut objects = BTreeSet::new();
        for resource in resources {
            let key = resource.key();
            let action = match set.get(&key) {
                Some(known) if known.digest() == resource.digest() => Action::Unchanged,
                Some(_) => Action::Configured,
                None => Action::Created,
            };
            set.insert(resource);
            objects.insert(key.to_string());
            reply.results.push(Outcome { object: key.to_string(), action });
        }
        let current = self.plane.current();
        reply.generation = current.number;
        let settings = self.settings.clone();
        let next = move || Snapshot::next(Some(&current.snapshot), &set, &settings).issues().to_vec();
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
}

fn deadline(timeout_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(timeout_ms).min(LONGEST_WAIT)
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

fn object(resource: &Resource) -> Object {
    let meta = resource.meta();
    let place = resource.place("");
    Object {
        kind: resource.kind().name().into(),
        namespace: meta.namespace.as_ref().into(),
        name: meta.name.as_ref().into(),
        file: place.file.as_ref().into(),
        line: place.line,
        created: meta.created.clone(),
        text: resource.text().into(),
        json: resource.to_json(),
        yaml: resource.to_yaml(),
    }
}

fn proxy_status(connection: &xds::Connection) -> ProxyStatus {
    let since = connection.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    ProxyStatus {
        node: connection.node.clone(),
        peer: connection.peer.clone(),
        since: since.as_secs(),
        settled: connection.settled,
        types: connection.types.iter().map(|(ty, status)| (ty.short().to_owned(), sync(status))).collect(),
    }
}

fn sync(status: &TypeStatus) -> TypeSync {
    match &status.refused {
        Some(error) => TypeSync::Refused { error: error.clone() },
        None if status.is_synced() => TypeSync::Synced,
        None => TypeSync::Stale,
    }
}

fn issue(code: &str, object: &str, message: String) -> Issue {
    Issue {
        severity: Severity::Error,
        code: code.into(),
        place: Place::default(),
        object: object.into(),
        path: String::new(),
        message,
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
