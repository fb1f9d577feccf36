//! A stock Envoy under Weft's own control plane, with Bookinfo, over the mesh's socket: as a state of the world and
//! as what differs.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base::{Bootstrap, Labels, LocalNet};
use control::wire::{Apply, Delete, Document, Reply};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Echo, wait_until};
use tests_interop::{Envoy, PATIENCE, Plane, get};

/// A control plane in this process, and workloads that are backends and nothing more.
pub(super) struct Mesh {
    pub(super) number: u8,
    dir: TempDir,
    plane: Plane,
    _backends: Vec<Echo>,
}

impl Mesh {
    /// Starts Bookinfo, every request to v1, with two versions of reviews.
    fn start() -> Self {
        Self::with(|number, dir| {
            for file in [
                "platform/bookinfo.yaml",
                "networking/destination-rule-all.yaml",
                "networking/virtual-service-all-v1.yaml",
            ] {
                write(dir, file.rsplit('/').next().unwrap_or(file), &sample(file));
            }
            let workloads = [(2, "reviews", "v1"), (3, "reviews", "v2"), (4, "ratings", "v1")];
            let backend = |(workload, app, version)| {
                let ip = LocalNet { mesh: number, workload }.sidecar();
                let name = format!("{app}-{version}");
                write(dir, &format!("{name}.yaml"), &entry(&name, app, version, ip.into()));
                backend(&name, SocketAddr::from((ip, 9080)))
            };
            workloads.map(backend).into()
        })
    }

    /// Starts a mesh of what a function writes, given its number and directory, and of the backends it starts.
    pub(super) fn with(write: impl FnOnce(u8, &Path) -> Vec<Echo>) -> Self {
        let claim = local::claim(None).expect("a free mesh");
        let number = claim.mesh;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let backends = write(number, dir.path());
        let plane = Plane::start(dir.path(), claim.listener);
        Self { number, dir, plane, _backends: backends }
    }

    /// What the proxy of a workload of the mesh is started with, that of a gateway where it is to be one.
    pub(super) fn bootstrap(
        &self,
        workload: u8,
        app: &str,
        role: local::Role,
        dns: &[SocketAddr],
    ) -> Bootstrap {
        let name = format!("{app}-v1");
        let described = local::Workload {
            pod: format!("{name}-abc-xyz"),
            name,
            namespace: "default".into(),
            labels: Labels::from([("app", app), ("version", "v1")]),
            ports: vec![9080],
            role,
            sidecar: local::Sidecar::Envoy,
            dns: dns.to_vec(),
            ..local::Workload::default()
        };
        let net = LocalNet { mesh: self.number, workload };
        local::bootstrap::bootstrap(&described, net, self.plane.socket.clone(), None)
    }

    /// Starts an Envoy as productpage's sidecar, which discovers by an API type.
    fn sidecar(&self, api_type: &str) -> Sidecar {
        let bootstrap = self.bootstrap(1, "productpage", local::Role::default(), &[]);
        let mut written = local::bootstrap::envoy(&bootstrap);
        written["dynamic_resources"]["ads_config"]["api_type"] = api_type.into();
        let envoy = Envoy::start_with(&written, bootstrap.admin);
        envoy.wait_live();
        let net = LocalNet { mesh: self.number, workload: 1 };
        Sidecar { envoy, outbound: SocketAddr::from((net.outbound(), 9080)) }
    }

    pub(super) fn apply(&self, text: &str) -> Reply {
        let document = Document { file: "test.yaml".into(), text: text.to_owned() };
        let request = Apply { documents: vec![document], timeout_ms: millis(), ..Apply::default() };
        acknowledged(self.plane.block_on(self.plane.client.apply(&request)).expect("an answer"))
    }

    fn delete(&self, key: &str) -> Reply {
        let request = Delete { keys: vec![key.to_owned()], timeout_ms: millis(), ..Delete::default() };
        acknowledged(self.plane.block_on(self.plane.client.delete(&request)).expect("an answer"))
    }

    /// Writes a file, as anybody may.
    fn edit(&self, file: &str, text: &str) {
        write(self.dir.path(), file, text);
    }
}

/// An Envoy, and where its program speaks to it.
struct Sidecar {
    envoy: Envoy,
    outbound: SocketAddr,
}

impl Sidecar {
    /// Who answers a request to a service.
    fn answers(&self, host: &str) -> Result<String, String> {
        let reply = get(self.outbound, host, "/").map_err(|error| error.to_string())?;
        match serde_json::from_str::<Value>(&reply.body) {
            Ok(told) if reply.status == 200 => Ok(told["name"].as_str().unwrap_or_default().to_owned()),
            _ => Err(format!("{reply:?}")),
        }
    }

    fn assert_nothing_refused(&self) {
        for discovery in ["cluster_manager.cds", "listener_manager.lds"] {
            assert_eq!(self.envoy.stat(&format!("{discovery}.update_rejected")), 0, "{}", self.envoy.log());
        }
        assert_eq!(self.envoy.stat("control_plane.connected_state"), 1);
    }
}

fn millis() -> u64 {
    u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX)
}

/// What was asked for was done, and whoever is there has it.
fn acknowledged(reply: Reply) -> Reply {
    let nobody: [String; 0] = [];
    assert_eq!(
        (reply.pending.as_slice(), reply.disconnected.as_slice()),
        (&nobody[..], &nobody[..]),
        "{reply:?}"
    );
    reply
}

/// A backend at an address of the mesh; those of a test that had it before may take a moment to go.
pub(super) fn backend(name: &str, address: SocketAddr) -> Echo {
    wait_until("an address for a backend", PATIENCE, || {
        Echo::start_at(name, address).map_err(|error| error.to_string())
    })
}

pub(super) fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn sample(file: &str) -> String {
    let path = testkit::workspace_root().join("samples/bookinfo").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entry(name: &str, app: &str, version: &str, address: IpAddr) -> String {
    let labels = json!({ "app": app, "version": version });
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": { "name": name, "namespace": "default", "labels": labels },
        "spec": { "address": address, "labels": labels },
    })
    .to_string()
}

fn reviews(subset: &str) -> String {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": { "name": "reviews", "namespace": "default" },
        "spec": {
            "hosts": ["reviews"],
            "http": [{ "route": [{ "destination": { "host": "reviews", "subset": subset } }] }],
        },
    })
    .to_string()
}

#[test]
fn an_envoy_lives_by_states_of_the_world() {
    lives_by("GRPC");
}

#[test]
fn an_envoy_lives_by_what_differs() {
    lives_by("DELTA_GRPC");
}

/// Routes, clusters and endpoints come, change and go, and the Envoy is never without what a route names.
fn lives_by(api_type: &str) {
    if testkit::skip_without_envoy() {
        return;
    }
    let mesh = Mesh::start();
    let sidecar = mesh.sidecar(api_type);
    assert_eq!(sidecar.answers("reviews:9080").as_deref(), Ok("reviews-v1"));
    assert_eq!(sidecar.answers("ratings:9080").as_deref(), Ok("ratings-v1"));

    mesh.apply(&reviews("v2"));
    assert_eq!(sidecar.answers("reviews:9080").as_deref(), Ok("reviews-v2"));

    // A new service: its cluster, its endpoints and its routes.
    let service =
        sample("platform/bookinfo.yaml").split("---").next().unwrap_or_default().replace("details", "more");
    let net = LocalNet { mesh: mesh.number, workload: 4 };
    mesh.apply(&format!("{service}\n---\n{}", entry("more-v1", "more", "v1", net.sidecar().into())));
    // Its address is one more of the listener, which Envoy replaces after it has said yes: a connection made in
    // between may be reset.
    wait_until("the new service to answer", PATIENCE, || match sidecar.answers("more:9080") {
        Ok(name) if name == "ratings-v1" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    // An endpoint moves: the same name at another address.
    let net = LocalNet { mesh: mesh.number, workload: 2 };
    mesh.apply(&entry("more-v1", "more", "v1", net.sidecar().into()));
    assert_eq!(sidecar.answers("more:9080").as_deref(), Ok("reviews-v1"));

    // The route goes before the cluster it names, and other requests are not disturbed.
    mesh.delete("VirtualService/default/reviews");
    mesh.delete("Service/default/more");
    wait_until("both versions to answer", PATIENCE, || {
        let names = (0..8).map(|_| sidecar.answers("reviews:9080")).collect::<Result<Vec<_>, _>>()?;
        let both = ["reviews-v1", "reviews-v2"].iter().all(|name| names.iter().any(|other| other == name));
        if both { Ok(()) } else { Err(format!("{names:?}")) }
    });

    // What is written by hand arrives as well.
    mesh.edit("reviews.yaml", &reviews("v1"));
    wait_until("only the first version to answer", PATIENCE, || {
        let names = (0..8).map(|_| sidecar.answers("reviews:9080")).collect::<Result<Vec<_>, _>>()?;
        if names.iter().all(|name| name == "reviews-v1") { Ok(()) } else { Err(format!("{names:?}")) }
    });
    sidecar.assert_nothing_refused();
}
