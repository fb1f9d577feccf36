//! What another control plane once pushed to one proxy, served again over delta ADS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use plan::{Plan, Store};
use proto::Any;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use xds::{Accept, Caller, Connections, Feed, Node, Reject, Served, Supply, Turned, TypeUrl, Update};

/// How long a replay may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// One recorded push: the node it was made for and the resources.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The proxy.
    pub node: Node,
    resources: Arc<BTreeMap<TypeUrl, BTreeMap<String, Arc<Served>>>>,
}

impl Recorded {
    /// Reads a folder of `node.json` and one JSON array per type.
    ///
    /// # Errors
    /// A file cannot be read, or is not what its name says.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let node: Value = crate::json(&folder.join("node.json"))?;
        let node = proto::json::from_json(&node).context("node.json")?;
        let mut resources = BTreeMap::new();
        for ty in [TypeUrl::Cluster, TypeUrl::Endpoint, TypeUrl::Listener, TypeUrl::Route] {
            let file = folder.join(file_of(ty));
            if !file.exists() {
                continue;
            }
            let array: Vec<Value> = crate::json(&file)?;
            let named: anyhow::Result<BTreeMap<_, _>> =
                array.into_iter().map(|json| served(ty, json)).collect();
            resources.insert(ty, named.with_context(|| file.display().to_string())?);
        }
        Ok(Self { node, resources: Arc::new(resources) })
    }

    /// Replays it to an empty plan over a socket; the plan that came of it and what was refused.
    ///
    /// # Errors
    /// The replay got stuck: something was never acknowledged.
    pub async fn replay(&self) -> anyhow::Result<(Arc<Plan>, Vec<Reject>)> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address: SocketAddr = listener.local_addr()?;
        let (settled, mut done) = watch::channel(0);
        let supply = Replay { recorded: self.clone(), settled: Arc::new(settled) };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(xds::serve(listener, Arc::new(supply), Connections::default(), async {
            let _ = stopped.await;
        }));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let accept = Compiling { store: crate::store(), seen: Arc::clone(&seen) };
        let finished = async {
            // The sender lives as long as the server.
            let _ = tokio::time::timeout(PATIENCE, done.wait_for(|generation| *generation > 0)).await;
        };
        xds::follow(address, self.node.clone(), 1, accept, finished).await;
        let complete = *done.borrow() > 0;
        let _ = stop.send(());
        server.await.context("serving the recording")?;

        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        if !complete {
            return Err(anyhow!("was never acknowledged whole"));
        }
        Ok((seen.plan.ok_or_else(|| anyhow!("nothing arrived"))?, seen.rejects))
    }
}

fn served(ty: TypeUrl, mut json: Value) -> anyhow::Result<(String, Arc<Served>)> {
    let key = if ty == TypeUrl::Endpoint { "cluster_name" } else { "name" };
    let name = json
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("a resource without {key}"))?
        .to_owned();
    if let Some(object) = json.as_object_mut() {
        object.entry("@type").or_insert_with(|| ty.as_str().into());
    }
    let any: Any = proto::json::from_json(&json).with_context(|| name.clone())?;
    let served = Served::new(&name, "1", any);
    Ok((name, Arc::new(served)))
}

fn file_of(ty: TypeUrl) -> String {
    format!("{}.json", ty.as_str().rsplit('.').next().unwrap_or_default())
}

/// Serves one recording to whoever asks.
pub struct Replay {
    /// What is served.
    pub recorded: Recorded,
    /// Told when a proxy has acknowledged everything.
    pub settled: Arc<watch::Sender<u64>>,
}

impl Supply for Replay {
    fn open(&self, _: &Caller<'_>) -> Result<Box<dyn Feed>, Turned> {
        Ok(Box::new(ReplayFeed {
            resources: Arc::clone(&self.recorded.resources),
            settled: Arc::clone(&self.settled),
            never: watch::channel(1).0,
        }))
    }
}

struct ReplayFeed {
    resources: Arc<BTreeMap<TypeUrl, BTreeMap<String, Arc<Served>>>>,
    settled: Arc<watch::Sender<u64>>,
    never: watch::Sender<u64>,
}

impl Feed for ReplayFeed {
    fn all(&mut self, ty: TypeUrl) -> Vec<Arc<Served>> {
        self.resources.get(&ty).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    fn named(&mut self, ty: TypeUrl, name: &str) -> Option<Arc<Served>> {
        self.resources.get(&ty)?.get(name).cloned()
    }

    fn refresh(&mut self) -> u64 {
        1
    }

    fn settled(&mut self, generation: u64) {
        self.settled.send_replace(generation);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.never.subscribe()
    }
}

#[derive(Default)]
struct Seen {
    plan: Option<Arc<Plan>>,
    rejects: Vec<Reject>,
}

/// Compiles what arrives, as a proxy does, and keeps the last plan.
struct Compiling {
    store: Store,
    seen: Arc<Mutex<Seen>>,
}

impl Accept for Compiling {
    async fn apply(&mut self, update: Update) -> Vec<Reject> {
        let added: Vec<(String, Any)> =
            update.added.into_iter().map(|added| (added.name, added.any)).collect();
        let rejects: Vec<Reject> = self
            .store
            .update(update.ty.as_str(), &added, &update.removed)
            .into_iter()
            .map(|reject| Reject { name: reject.name, message: reject.message })
            .collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.plan = Some(self.store.plan());
        seen.rejects.extend(rejects.iter().cloned());
        rejects
    }

    fn wanted(&self, ty: TypeUrl) -> Arc<BTreeSet<String>> {
        Arc::new(match ty {
            TypeUrl::Endpoint => self.store.wanted_endpoints(),
            TypeUrl::Route => self.store.wanted_routes(),
            _ => BTreeSet::new(),
        })
    }

    fn connected(&mut self, _connected: bool) {}
}
