//! One workload: what runs, under which name and labels, behind which sidecar.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use base::{Digest, Labels};

use crate::ready::Pace;

/// The letters Kubernetes makes the ends of pod names of: none that form words or look alike.
const SUFFIX_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Which proxy stands beside a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sidecar {
    /// A stock Envoy.
    Envoy,
    /// None: the workload is outside the mesh and speaks for itself.
    None,
    /// `weft-proxy`.
    #[default]
    Weft,
}

/// A program and how it is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beyond those every program gets.
    pub env: BTreeMap<String, String>,
    /// Where it is started; where the supervisor was, unless given.
    pub dir: Option<PathBuf>,
}

/// When a workload's program counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Once a GET of the path on this port is answered with a status from 200 to 399.
    Http(u16, String),
    /// As soon as it has been started.
    Started,
    /// Once connections to this port are accepted.
    Tcp(u16),
}

/// Whether a process that ends by itself is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Always,
    /// Never: its end is told, and nothing more.
    #[default]
    Never,
    /// Unless it ended with success.
    OnFailure,
}

impl Restart {
    /// How long to wait before the next start, after so many that did not last: 100 ms, doubled up to 10 s.
    pub fn pause(failures: u32) -> Duration {
        Duration::from_millis(100 << failures.min(10)).min(Duration::from_secs(10))
    }
}

/// What a workload's proxy is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It stands alone and takes the traffic of Gateways, listening on this address.
    Gateway(IpAddr),
    /// It stands beside a program.
    Sidecar(Program),
}

impl Default for Role {
    fn default() -> Self {
        Self::Sidecar(Program::default())
    }
}

/// One workload of a mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its name in the mesh, `reviews-v1`; its files are found under it.
    pub name: String,
    /// What it is a replica of, as a pod of a Deployment; its own name where empty.
    pub owner: String,
    /// Its pod's name, `reviews-v1-6fd4c2b8d9-x7kqz`, by which proxies and programs know it.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels, by which Services and subsets select it.
    pub labels: Labels,
    /// Its service account.
    pub service_account: String,
    /// The ports its program serves; the first is told to it as `PORT`.
    pub ports: Vec<u16>,
    /// The port its program really listens on, by the port it serves; the same port where absent.
    pub listens: BTreeMap<u16, u16>,
    /// Where it is, as `region/zone/subzone`; empty where nothing is known.
    pub locality: String,
    /// When its program is ready; once its first port accepts connections where absent.
    pub readiness: Option<Readiness>,
    /// How often its program is asked for that.
    pub pace: Pace,
    /// Whether its processes are started again.
    pub restart: Restart,
    /// What it is.
    pub role: Role,
    /// Which proxy it has.
    pub sidecar: Sidecar,
    /// The proxy's worker threads; one per core where absent.
    pub concurrency: Option<usize>,
    /// The name servers the proxy asks; the system's where empty.
    pub dns: Vec<SocketAddr>,
}

impl Workload {
    /// A pod's name made of a workload's, the same for the same seed.
    pub fn pod_name(name: &str, seed: &str) -> String {
        let Digest(mut digest) = Digest::of_value(&(name, seed));
        let mut letter = || {
            let base = SUFFIX_LETTERS.len() as u128;
            let index = usize::try_from(digest % base).unwrap_or_default();
            digest /= base;
            SUFFIX_LETTERS.get(index).copied().map_or('b', char::from)
        };
        let set: String = (0..9).map(|_| letter()).collect();
        let pod: String = (0..5).map(|_| letter()).collect();
        format!("{name}-{set}-{pod}")
    }

    /// What it is a replica of.
    pub fn owner(&self) -> &str {
        if self.owner.is_empty() { &self.name } else { &self.owner }
    }

    /// The port its program listens on, for a port it serves.
    pub fn listens_on(&self, port: u16) -> u16 {
        self.listens.get(&port).copied().unwrap_or(port)
    }

    /// When its program is ready.
    pub fn readiness(&self) -> Readiness {
        match (&self.readiness, self.ports.first()) {
            (Some(readiness), _) => readiness.clone(),
            (None, Some(port)) => Readiness::Tcp(*port),
            (None, None) => Readiness::Started,
        }
    }

    /// Whether a user means this workload: by its own name, by its `app` label (a service: all its workloads),
    /// or as `gateway`.
    pub fn is_meant_by(&self, name: &str) -> bool {
        let is_gateway = matches!(self.role, Role::Gateway(_));
        self.name == name
            || self.owner == name
            || self.pod == name
            || (is_gateway && name == "gateway")
            || (!is_gateway && self.labels.value("app") == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str, app: &str, role: Role) -> Workload {
        Workload {
            name: name.into(),
            pod: Workload::pod_name(name, "seed"),
            namespace: "default".into(),
            labels: Labels::from([("app", app)]),
            ports: vec![9080],
            role,
            ..Workload::default()
        }
    }

    #[test]
    fn pods_are_named_as_kubernetes_names_them() {
        let name = Workload::pod_name("reviews-v1", "a");

        assert_eq!(name, Workload::pod_name("reviews-v1", "a"));
        assert_ne!(name, Workload::pod_name("reviews-v1", "b"));
        let parts: Vec<usize> = name.split('-').map(str::len).collect();
        assert_eq!(parts, [7, 2, 9, 5]);
    }

    #[test]
    fn a_program_that_keeps_ending_is_started_ever_later() {
        let pauses: Vec<u128> = [0, 1, 2, 7, 60].map(|n| Restart::pause(n).as_millis()).into();

        assert_eq!(pauses, [100, 200, 400, 10_000, 10_000]);
    }

    #[test]
    fn a_workload_is_meant_by_its_name_its_service_or_its_role() {
        let reviews = workload("reviews-v1", "reviews", Role::Sidecar(Program::default()));
        let gateway =
            workload("istio-ingressgateway", "istio-ingressgateway", Role::Gateway([127, 0, 0, 1].into()));

        assert!(reviews.is_meant_by("reviews") && reviews.is_meant_by("reviews-v1"));
        assert!(!reviews.is_meant_by("reviews-v2") && !reviews.is_meant_by("gateway"));
        assert!(gateway.is_meant_by("gateway") && gateway.is_meant_by("istio-ingressgateway"));
    }
}
