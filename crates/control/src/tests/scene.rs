//! A control plane over a temporary directory, and proxies that do as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Discovery, Host};
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use proto::google::protobuf::value::Kind;
use proto::google::protobuf::{Struct, Value};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use xds::{Accept, Node, Reject, TypeUrl, Update};

use crate::builder::Built;
use crate::client::Client;
use crate::plane::Plane;
use crate::wire::Wait;
use crate::{Control, Options};

/// No test waits longer than this for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const NODE: &str = "sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local";

/// A secret of the directory, and one of the proxy's machine.
pub(crate) const SECRET: &str = "kubernetes://web";
pub(crate) const FILE_SECRET: &str = "file-cert:/certs/cert.pem~/certs/key.pem";

/// One running control plane.
pub(crate) struct Scene {
    dir: TempDir,
    registry: TempDir,
    shared_registry: Option<PathBuf>,
    pub(crate) ads: SocketAddr,
    socket: PathBuf,
    http: SocketAddr,
    pub(crate) client: Client,
    built: Arc<Built>,
    plane: Arc<Plane>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), crate::StartError>>,
}

impl Scene {
    pub(crate) async fn start(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self::start_in(dir).await
    }

    pub(crate) async fn start_in(dir: TempDir) -> Self {
        Self::launch(dir, None).await
    }

    pub(crate) async fn start_with_registry(registry: PathBuf) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), Some(registry)).await
    }

    pub(crate) async fn start_with_mesh_config(file: PathBuf) -> Self {
        Self::launch_with(tempfile::tempdir().unwrap(), None, Some(file)).await
    }

    async fn launch(dir: TempDir, shared_registry: Option<PathBuf>) -> Self {
        Self::launch_with(dir, shared_registry, None).await
    }

    async fn launch_with(
        dir: TempDir,
        shared_registry: Option<PathBuf>,
        mesh_config: Option<PathBuf>,
    ) -> Self {
        let registry = tempfile::tempdir().unwrap();
        let listed = shared_registry.clone().unwrap_or_else(|| registry.path().to_owned());
        let options = Options { mesh_config, ..options(dir.path(), &listed) };
        let control = Control::start(options).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            dir,
            registry,
            shared_registry,
            ads: control.ads(),
            socket: control.ads_socket(),
            http: control.http(),
            client: control.client(),
            built: control.built(),
            plane: control.plane(),
            stop,
            serving: tokio::spawn(control.serve(async move { drop(stopped.await) })),
        }
    }

    pub(crate) fn options(&self) -> Options {
        let listed = self.shared_registry.as_deref().unwrap_or(self.registry.path());
        options(self.dir.path(), listed)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn addresses(&self) -> BTreeMap<Host, u8> {
        self.plane.current().snapshot.addresses().clone()
    }

    /// Stops it and hands back its directory.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("an end in time").unwrap().unwrap();
        self.dir
    }

    /// Connects a proxy over the network and waits until it has everything.
    pub(crate) async fn connect(&self, mood: Mood) -> Proxy {
        let proxy = self.attach(Discovery::Tcp(self.ads), NODE, mood);
        self.until_settled(&[NODE.to_owned()]).await;
        proxy
    }

    /// Connects a proxy over the mesh's socket and waits until it has everything.
    pub(crate) async fn connect_privately(&self) -> Proxy {
        let proxy = self.attach(Discovery::Unix(self.socket.clone()), NODE, Mood::Content);
        self.until_settled(&[NODE.to_owned()]).await;
        proxy
    }

    /// Starts a proxy of a node id.
    pub(crate) fn attach(&self, discovery: Discovery, id: &str, mood: Mood) -> Proxy {
        let shared = Arc::new(Shared { heard: Mutex::default(), mood: watch::Sender::new(mood) });
        let inhabitant = Inhabitant { shared: shared.clone(), endpoints: BTreeSet::new() };
        let (stop, stopped) = oneshot::channel();
        let node = Node { id: id.to_owned(), ..node() };
        let following = tokio::spawn(async move {
            xds::follow(discovery, node, 1, inhabitant, async move { drop(stopped.await) }).await;
        });
        Proxy { shared, _stop: stop, following }
    }

    /// Waits until proxies have everything.
    pub(crate) async fn until_settled(&self, nodes: &[String]) {
        let request = Wait { nodes: nodes.to_vec(), ..Wait::default() };
        let reply = self.client.wait(&request).await.unwrap();
        assert_eq!(reply.pending, Vec::<String>::new());
    }

    /// How many resources were ever translated and encoded.
    pub(crate) fn made(&self) -> u64 {
        self.plane.memo.made()
    }

    /// The mesh's settings in force.
    pub(crate) fn mesh_config(&self) -> Arc<api::MeshConfig> {
        self.built.standing().mesh
    }

    /// Waits until the mesh's settings name a root namespace.
    pub(crate) async fn until_root_namespace(&self, name: &str) {
        let told = async {
            while self.mesh_config().root_namespace != name {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("settings in time");
    }

    /// Waits until there is a generation.
    pub(crate) async fn until_generation(&self, number: u64) {
        let mut generations = self.plane.numbers();
        let published = generations.wait_for(|newest| *newest >= number);
        drop(tokio::time::timeout(PATIENCE, published).await.expect("a generation in time").unwrap());
    }

    /// Waits until something is wrong with a file of this name.
    pub(crate) async fn until_issue(&self, name: &str) {
        let mut progress = self.built.progress();
        let told = async {
            while !self.built.standing().issues.iter().any(|issue| issue.place.file.ends_with(name)) {
                progress.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("an issue in time");
    }

    /// A place for the directory to be moved to.
    pub(crate) fn aside(&self) -> PathBuf {
        self.dir.path().with_extension("aside")
    }

    /// Waits until somebody answers on the control socket.
    pub(crate) async fn until_answering(&self) {
        let answering = async {
            while self.client.status().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answering).await.expect("an answer in time");
    }

    /// One page of 15014, head and body.
    pub(crate) async fn fetch(&self, path: &str) -> String {
        let stream = TcpStream::connect(self.http).await.unwrap();
        exchange(stream, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
    }

    /// Says something on the control socket and returns what is answered.
    pub(crate) async fn say(&self, text: &str) -> String {
        exchange(xds::unix::connect(self.client.socket()).await.unwrap(), text).await
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A server that closes with something unread resets the connection; what it said came before.
    let _ = end.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

fn options(dir: &Path, registry: &Path) -> Options {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Options { registry: registry.to_owned(), ..Options::new(dir, any, any) }
}

/// How a proxy takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Content,
    Refusing,
    Silent,
}

/// A proxy, seen from outside.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
    following: JoinHandle<()>,
}

struct Shared {
    heard: Mutex<Vec<Update>>,
    mood: watch::Sender<Mood>,
}

impl Proxy {
    pub(crate) fn becomes(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// Goes without a farewell.
    pub(crate) async fn vanish(self) {
        self.following.abort();
        let _ = self.following.await;
    }

    /// Everything it was sent so far.
    pub(crate) fn heard(&self) -> Vec<Update> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// Whether a text occurs in anything it was sent.
    pub(crate) fn knows(&self, text: &str) -> bool {
        let found = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.heard().iter().flat_map(|update| &update.added).any(|added| found(&added.any.value))
    }
}

/// A proxy, seen from inside.
struct Inhabitant {
    shared: Arc<Shared>,
    endpoints: BTreeSet<String>,
}

impl Accept for Inhabitant {
    fn apply(&mut self, update: Update) -> impl Future<Output = Vec<Reject>> + Send {
        let mood = *self.shared.mood.borrow();
        if update.ty == TypeUrl::Cluster && mood == Mood::Content {
            for added in &update.added {
                let cluster: Cluster = proto::any::unpack(&added.any).unwrap();
                let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds as i32);
                if cluster.cluster_discovery_type == Some(eds) {
                    self.endpoints.insert(added.name.clone());
                }
            }
        }
        let names: Vec<String> = update.added.iter().map(|added| added.name.clone()).collect();
        self.shared.heard.lock().unwrap().push(update);
        async move {
            match mood {
                Mood::Content => Vec::new(),
                Mood::Refusing => {
                    let refuse = |name| Reject { name, message: "not to my taste".into() };
                    names.into_iter().map(refuse).collect()
                }
                Mood::Silent => std::future::pending().await,
            }
        }
    }

    fn wanted(&self, ty: TypeUrl) -> Arc<BTreeSet<String>> {
        Arc::new(match ty {
            TypeUrl::Endpoint => self.endpoints.clone(),
            TypeUrl::Secret => [SECRET.to_owned(), FILE_SECRET.to_owned()].into(),
            TypeUrl::Route => ["9080".to_owned(), "http_proxy".to_owned(), "none".to_owned()].into(),
            _ => BTreeSet::new(),
        })
    }

    fn connected(&mut self, _connected: bool) {}
}

fn node() -> Node {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.into())) };
    let number = |number: f64| Value { kind: Some(Kind::NumberValue(number)) };
    let local = [("mesh".to_owned(), number(77.0)), ("workload".to_owned(), number(3.0))];
    let labels = [("app".to_owned(), text("reviews")), ("version".to_owned(), text("v1"))];
    let metadata = [
        ("CLUSTER_ID".to_owned(), text("Kubernetes")),
        ("INTERCEPTION_MODE".to_owned(), text("NONE")),
        ("NAMESPACE".to_owned(), text("default")),
        ("HTTP_PROXY_PORT".to_owned(), text("15007")),
        ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(Struct { fields: labels.into() })) }),
        ("WEFT_LOCAL".to_owned(), Value { kind: Some(Kind::StructValue(Struct { fields: local.into() })) }),
    ];
    Node { id: NODE.into(), metadata: Some(Struct { fields: metadata.into() }), ..Node::default() }
}

pub(crate) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector:
    app: {name}
  ports:
  - name: http
    port: 9080
"
    )
}

pub(crate) fn workload(name: &str, version: &str, address: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: {name}
  labels:
    app: reviews
    version: {version}
spec:
  address: {address}
  labels:
    app: reviews
    version: {version}
"
    )
}

pub(crate) fn virtual_service(name: &str, subset: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {name}
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: {subset}
"
    )
}

/// One service with two versions.
pub(crate) fn mesh() -> String {
    let rule = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: reviews
spec:
  host: reviews
  subsets:
  - name: v1
    labels:
      version: v1
  - name: v2
    labels:
      version: v2
";
    [
        service("reviews"),
        workload("reviews-v1", "v1", "127.77.3.1"),
        workload("reviews-v2", "v2", "127.77.4.1"),
        rule.into(),
    ]
    .join("---\n")
}
