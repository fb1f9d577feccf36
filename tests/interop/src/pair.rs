//! A stock Envoy and `weft-proxy`, given the same configuration and asked the same.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use base::{Bootstrap, LocalNet};
use mesh::{Proxy as Node, Settings, Snapshot};
use serde_json::json;
use testkit::{Dns, wait_until};
use tokio::runtime::Runtime;
use xds::TypeUrl;

use crate::desk::Resource;
use crate::exchange::{Asked, Seen, exchange};
use crate::{ControlPlane, Desk, Envoy, Home, PATIENCE, Proxy};

/// What the access log tells of a request that says who it is.
const LOG: &str = "told %REQ(X-ASKED)% %ROUTE_NAME% %UPSTREAM_CLUSTER_RAW% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \
     %RESPONSE_CODE%/%BYTES_SENT%/%PROTOCOL%";

/// The port that [`Pair::ask`] asks at.
const PORT: u16 = 8080;

/// Both proxies, each at a home of its own under a control plane of its own.
pub struct Pair {
    envoy: Side,
    weft: Side,
    processes: (Envoy, Proxy),
    clients: Runtime,
    /// Knows no name, and says so at once.
    _names: Dns,
}

struct Side {
    home: Home,
    /// Where a sidecar's workload lives; none for a gateway.
    local: Option<LocalNet>,
    id: String,
    node: Node,
    desk: Desk,
    control_plane: ControlPlane,
}

/// What both proxies made of a request, Envoy first.
pub type Both = [io::Result<Seen>; 2];

/// A request under way.
#[derive(Debug)]
pub struct Pending(mpsc::Receiver<Both>);

impl Pending {
    /// What both make of it: Envoy's first.
    ///
    /// # Panics
    /// When a client does.
    pub fn wait(self) -> Both {
        self.0.recv().expect("a client that does not panic")
    }
}

/// What a proxy wrote of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The name of the route it took, `-` for none.
    pub route: String,
    /// The cluster it went to, `-` for none.
    pub cluster: String,
    /// What went wrong, `-` for nothing.
    pub flags: String,
    /// Why it was answered as it was; not the words of a library for that.
    pub details: String,
    /// Its status, size and protocol.
    pub answer: String,
}

impl Pair {
    /// Starts both, as a gateway.
    pub fn start() -> Self {
        Self::of([None, None])
    }

    /// Starts both, as the sidecar of a workload `app: client`, in two places of a local mesh.
    pub fn sidecars(mesh: u8) -> Self {
        Self::of([1, 2].map(|workload| Some(LocalNet { mesh, workload })))
    }

    fn of(places: [Option<LocalNet>; 2]) -> Self {
        let [envoy, weft] = places.map(Side::new);
        let names = Dns::start(BTreeMap::new()).expect("a server of names");
        let envoys = envoy.bootstrap(&names);
        let processes = (
            Envoy::start_with(&local::bootstrap::envoy(&envoys), envoys.admin),
            Proxy::start_with(weft.bootstrap(&names)),
        );
        let clients = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the clients");
        Self { envoy, weft, processes, clients, _names: names }
    }

    /// Gives both a configuration and waits until both serve it.
    ///
    /// # Panics
    /// When a document is refused, or a proxy refuses what was made of it.
    pub fn configure(&self, text: &str) {
        self.configure_with(text, &[]);
    }

    /// The same with secrets, by the names they are asked for.
    ///
    /// # Panics
    /// As [`Pair::configure`].
    pub fn configure_with(&self, text: &str, secrets: &[String]) {
        give(&[self], text, secrets);
        self.processes.0.wait_live();
        self.processes.1.wait_live();
    }

    /// Where each listens on a port: Envoy first.
    pub fn at(&self, port: u16) -> [SocketAddr; 2] {
        self.sides().map(|side| match side.local {
            None => side.home.at(port),
            Some(local) => (local.outbound(), port).into(),
        })
    }

    /// Where each sidecar takes connections to a service: Envoy first.
    pub fn at_service(&self, slot: u8, port: u16) -> [SocketAddr; 2] {
        self.sides().map(|side| match side.local {
            None => side.home.at(port),
            Some(local) => (local.service(slot), port).into(),
        })
    }

    /// Waits until both take connections at these addresses.
    ///
    /// # Panics
    /// When one does not.
    pub fn wait_open(&self, at: [SocketAddr; 2]) {
        for address in at {
            wait_until(&format!("a listener at {address}"), PATIENCE, || {
                TcpStream::connect(address).map_err(|error| error.to_string())
            });
        }
    }

    /// Asks both at these addresses, and does not wait for what they make of it.
    pub fn begin(&self, [envoy, weft]: [SocketAddr; 2], asked: &Asked) -> Pending {
        let asked = asked.clone();
        let (answered, answers) = mpsc::channel();
        self.clients.spawn(async move {
            let both = tokio::join!(exchange(envoy, &asked), exchange(weft, &asked));
            // Nobody waits any more where the test has failed.
            let _ = answered.send(both.into());
        });
        Pending(answers)
    }

    /// What one of them makes of a request: Envoy is 0, `weft-proxy` 1.
    ///
    /// # Errors
    /// The connection failed, or was cut before an answer.
    pub fn ask_one(&self, side: usize, asked: &Asked) -> io::Result<Seen> {
        self.clients.block_on(exchange(self.at(PORT)[side], asked))
    }

    /// What both wrote of the requests that say who they are in `x-asked`, by that, once they have written of all of
    /// these.
    ///
    /// # Panics
    /// When one of them never does.
    pub fn wait_told(&self, all: &[u64]) -> [BTreeMap<u64, Told>; 2] {
        let logs: [&dyn Fn() -> String; 2] = [&|| self.processes.0.log(), &|| self.processes.1.access_log()];
        logs.map(|log| {
            wait_until("every request in the access log", PATIENCE, || {
                let told: BTreeMap<u64, Told> = log().lines().filter_map(told).collect();
                match all.iter().find(|id| !told.contains_key(id)) {
                    None => Ok(told),
                    Some(id) => Err(format!("nothing is told of request {id}")),
                }
            })
        })
    }

    fn sides(&self) -> [&Side; 2] {
        [&self.envoy, &self.weft]
    }
}

/// Gives several pairs one configuration and waits until all have taken it; the slots of its services in a local mesh.
///
/// # Panics
/// When a document is refused, or a proxy refuses what was made of it.
pub fn give(pairs: &[&Pair], text: &str, secrets: &[String]) -> BTreeMap<String, u8> {
    let parsed = api::parse("generated.yaml", text.as_bytes());
    let errors: Vec<String> = parsed
        .issues
        .iter()
        .filter(|issue| issue.severity == base::Severity::Error)
        .map(ToString::to_string)
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    let mut set = api::ResourceSet::default();
    let mut settings = Settings::default();
    for resource in parsed.resources {
        if let api::Resource::ConfigMap(map) = &resource
            && let Some(mesh) = &map.mesh
        {
            settings = Settings::new(mesh);
        }
        set.insert(resource);
    }
    settings.manner.log.file = Some("/dev/stdout".to_owned());
    settings.manner.log.format = LOG.to_owned();
    let snapshot = Snapshot::next(None, &set, &settings);
    let sides = pairs.iter().flat_map(|pair| pair.sides());
    let generations: Vec<(&Side, u64)> =
        sides.map(|side| (side, side.desk.replace(side.resources(&snapshot, secrets)))).collect();
    for (side, generation) in generations {
        side.desk.wait_settled(generation);
        assert_eq!(side.desk.refusals(generation), [], "{text}");
    }
    snapshot.addresses().iter().map(|(host, slot)| (host.to_string(), *slot)).collect()
}

impl Side {
    fn new(local: Option<LocalNet>) -> Self {
        let home = Home::claim();
        let mut metadata = json!({
            "NAMESPACE": "default", "INTERCEPTION_MODE": "NONE", "CLUSTER_ID": "Kubernetes",
        });
        let id = match local {
            None => {
                let ip = home.at(0).ip();
                metadata["LABELS"] = json!({"istio": "edge"});
                metadata["GATEWAY_BIND"] = json!(ip.to_string());
                format!("router~{ip}~edge.default~default.svc.cluster.local")
            }
            Some(local) => {
                metadata["LABELS"] = json!({"app": "client"});
                metadata["WEFT_LOCAL"] = json!(local);
                format!("sidecar~{}~client.default~default.svc.cluster.local", local.sidecar())
            }
        };
        let node = Node::new(&id, &metadata, &[]).expect("invariant: the node is well formed");
        let desk = Desk::default();
        let control_plane = ControlPlane::start(home.at(0), desk.clone());
        Self { home, local, id, node, desk, control_plane }
    }

    fn bootstrap(&self, names: &Dns) -> Bootstrap {
        Bootstrap {
            id: self.id.clone(),
            cluster: "interop.default".to_owned(),
            metadata: BTreeMap::new(),
            discovery: self.control_plane.address().into(),
            admin: self.home.at(15_000),
            readiness: self.home.at(15_021),
            metrics: self.home.at(15_090),
            access_log: None,
            concurrency: Some(2),
            dns: vec![names.address()],
        }
    }

    fn resources(&self, snapshot: &Snapshot, secrets: &[String]) -> Vec<Resource> {
        let view = mesh::view(snapshot, &self.node);
        let mut outputs = translate::clusters(&view.clusters);
        outputs.extend(translate::listeners(&view.listeners));
        outputs.extend(view.routes().map(|route| translate::route(route)));
        outputs.extend(
            view.endpoint_names().filter_map(|name| view.endpoints(name)).map(|e| translate::endpoints(&e)),
        );
        outputs.extend(secrets.iter().filter_map(|name| view.secret(name)).map(|s| translate::secret(&s)));
        let resource = |output: translate::Output| {
            let ty = TypeUrl::ALL.into_iter().find(|ty| ty.as_str() == output.any.type_url);
            Resource {
                ty: ty.expect("invariant: a type that is served"),
                name: output.name.into(),
                value: output.any.value,
            }
        };
        outputs.into_iter().map(resource).collect()
    }
}

/// A line of the access log that tells of a request, and which.
fn told(line: &str) -> Option<(u64, Told)> {
    let mut words = line.strip_prefix("told ")?.split(' ').map(str::to_owned);
    let id = words.next()?.parse().ok()?;
    let (route, cluster, flags) = (words.next()?, words.next()?, words.next()?);
    let details = words.next()?.split('{').next().unwrap_or_default().to_owned();
    Some((id, Told { route, cluster, flags, details, answer: words.next()? }))
}
