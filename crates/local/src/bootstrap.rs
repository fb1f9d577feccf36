//! What a proxy is started with: who it is, where its control plane is, and its own addresses.

mod envoy;

pub use envoy::envoy;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};

use base::node::NodeKind;
use base::{Bootstrap, Discovery, LocalNet, NodeId};

use crate::claim::Claim;
use crate::layout::Layout;
use crate::workload::{Role, Sidecar, Workload};

/// The port of a sidecar's HTTP proxy.
pub const HTTP_PROXY_PORT: u16 = 15007;

/// The domain every service name ends in.
pub const DOMAIN: &str = "cluster.local";

/// The longest path of a socket that a stock Envoy connects to: what an address of the kernel's has room for.
const LONGEST_PIPE: usize = 107;

/// Where a workload's proxy finds the control plane of a mesh: the socket in its directory, which secrets travel by.
///
/// An Envoy whose mesh lies deeper than a socket's address can say takes the network, where it is served no keys.
pub fn discovery(workload: &Workload, net: LocalNet, layout: &Layout) -> Discovery {
    let socket = layout.ads();
    if workload.sidecar == Sidecar::Envoy && socket.as_os_str().len() > LONGEST_PIPE {
        tracing::warn!(
            workload = workload.name,
            socket = %socket.display(),
            "the path is too long for Envoy, which will have no Secret of this mesh"
        );
        return Claim::discovery(net.mesh).into();
    }
    Discovery::Unix(socket)
}

/// The bootstrap of a workload's proxy.
pub fn bootstrap(
    workload: &Workload,
    net: LocalNet,
    discovery: Discovery,
    access_log: Option<PathBuf>,
) -> Bootstrap {
    let sidecar = net.sidecar();
    let kind = match workload.role {
        Role::Gateway(_) => NodeKind::Router,
        Role::Sidecar(_) => NodeKind::Sidecar,
    };
    let id = NodeId {
        kind,
        ip: IpAddr::V4(sidecar),
        name: workload.pod.clone(),
        namespace: workload.namespace.clone(),
        domain: format!("{}.svc.{DOMAIN}", workload.namespace),
    };
    let app = workload.labels.value("app").unwrap_or(&workload.name);
    Bootstrap {
        id: id.to_string(),
        cluster: format!("{app}.{}", workload.namespace),
        metadata: metadata(workload, net),
        discovery,
        admin: SocketAddr::from((sidecar, 15000)),
        readiness: SocketAddr::from((sidecar, 15021)),
        metrics: SocketAddr::from((sidecar, 15090)),
        access_log,
        concurrency: workload.concurrency,
        dns: workload.dns.clone(),
    }
}

fn metadata(workload: &Workload, net: LocalNet) -> BTreeMap<String, Value> {
    let mut metadata = BTreeMap::from([
        ("CLUSTER_ID".to_owned(), json!("Kubernetes")),
        ("INSTANCE_IPS".to_owned(), json!(net.sidecar().to_string())),
        ("INTERCEPTION_MODE".to_owned(), json!("NONE")),
        ("LABELS".to_owned(), json!(workload.labels)),
        ("NAME".to_owned(), json!(workload.pod)),
        ("NAMESPACE".to_owned(), json!(workload.namespace)),
        ("SERVICE_ACCOUNT".to_owned(), json!(workload.service_account)),
        ("WEFT_LOCAL".to_owned(), json!(net)),
        ("WORKLOAD_NAME".to_owned(), json!(workload.owner())),
    ]);
    if !may_bind_low_ports() {
        metadata.insert("UNPRIVILEGED_POD".to_owned(), json!("true"));
    }
    if !workload.listens.is_empty() {
        metadata.insert("PROGRAM_PORTS".to_owned(), json!(workload.listens));
    }
    match &workload.role {
        Role::Gateway(bind) => {
            if !bind.is_unspecified() {
                metadata.insert("INSTANCE_IPS".to_owned(), json!(format!("{},{bind}", net.sidecar())));
            }
            metadata.insert("GATEWAY_BIND".to_owned(), json!(bind.to_string()))
        }
        Role::Sidecar(_) => metadata.insert("HTTP_PROXY_PORT".to_owned(), json!(HTTP_PROXY_PORT.to_string())),
    };
    metadata
}

/// Whether this process, and so the ones it starts, may listen below 1024: found out by doing it.
pub fn may_bind_low_ports() -> bool {
    // Any low port of an address nobody else uses will do; nobody is listening once this returns.
    let probe =
        (1..=32).map(|port| std::net::TcpListener::bind((std::net::Ipv4Addr::new(127, 127, 127, 127), port)));
    for bound in probe {
        match bound {
            Ok(_) => return true,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return false,
            // Someone has it: the next one tells.
            Err(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
