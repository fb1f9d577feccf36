//! Requests that read or change what is in force.

mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use api::{Kind, Resource};
use base::{Issue, Place, Severity};
use source::Directory;
use tokio::time::Instant;
use xds::{Connections, TypeStatus};

use crate::builder::Built;
use crate::plane::Plane;
use crate::proxies::{Concern, Pending, Proxies};
use crate::settings;
use crate::wire::{Object, Objects, ProxyStatus, Reply, Status, TypeSync, Wait};

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
    pub(crate) settings: Arc<settings::Source>,
}

/// Which objects are asked for; what is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

impl Desk {
    /// Waits until proxies have acknowledged what is in force.
    pub(crate) async fn wait(&self, request: Wait) -> Reply {
        let mut reply = Reply { generation: self.plane.current().number, ..Reply::default() };
        let concern = match request.nodes.is_empty() {
            true => Concern::Everybody,
            false => Concern::These(request.nodes.into_iter().collect()),
        };
        self.settle(&concern, deadline(request.timeout_ms), &mut reply).await;
        reply
    }

    /// The objects in force that were asked for.
    pub(crate) fn objects(&self, selection: &Selection) -> Objects {
        let standing = self.built.standing();
        let wanted = |resource: &&Resource| {
            let meta = resource.meta();
            (selection.kinds.is_empty() || selection.kinds.contains(&resource.kind()))
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

    /// Waits for those concerned and tells how they stand.
    async fn settle(&self, concern: &Concern, deadline: Instant, reply: &mut Reply) {
        for pending in self.proxies.wait(concern, reply.generation, deadline).await {
            let Pending { node, refused, is_connected, .. } = pending;
            for (ty, error) in refused {
                reply.issues.push(issue("proxy-refused", "", format!("{node} refuses {ty}: {error}")));
            }
            match (is_connected, concern) {
                (false, Concern::Everybody) => reply.disconnected.push(node),
                _ => reply.pending.push(node),
            }
        }
    }
}

fn deadline(timeout_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(timeout_ms).min(LONGEST_WAIT)
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
        written: written(Path::new(&*place.file)),
        text: resource.shown().into(),
        json: resource.to_json(),
        yaml: resource.to_yaml(),
    }
}

fn written(file: &Path) -> Option<u64> {
    let modified = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
    modified.duration_since(UNIX_EPOCH).ok().map(|age| age.as_secs())
}

fn proxy_status(connection: &xds::Connection) -> ProxyStatus {
    let since = connection.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    ProxyStatus {
        node: connection.node.id.clone(),
        peer: connection.peer.to_string(),
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
