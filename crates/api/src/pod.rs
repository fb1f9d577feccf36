//! Kubernetes' Pod, as far as a mesh asks: its labels, where it is found, and whether it is ready.

use std::collections::BTreeMap;

use crate::read::At;
use crate::schema::{Field, Shape, partly};

/// A workload of the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Its addresses, the main one first; empty until it has one.
    pub addresses: Vec<String>,
    /// The node it runs on.
    pub node_name: Option<String>,
    /// The service account it runs as, empty where none is written.
    pub service_account: String,
    /// The numbers of its containers' named ports.
    pub ports: BTreeMap<String, u16>,
    /// Whether it takes traffic.
    pub ready: bool,
}

/// The fields of the object itself: what a cluster runs is not ours to check.
pub(crate) const FIELDS: &[Field] = &[partly("spec", Shape::Any, "its `nodeName` is read")];

/// Reads the object.
pub(crate) fn read(root: &At<'_>) -> Pod {
    let mut pod = Pod::default();
    if let Some(spec) = root.field("spec") {
        pod.node_name = spec.owned("nodeName");
        pod.service_account = spec.owned("serviceAccountName").unwrap_or_default();
        for container in spec.list("containers") {
            for port in container.list("ports") {
                let number = port.field("containerPort").and_then(|number| number.int());
                let number = number.and_then(|number| u16::try_from(number).ok());
                if let (Some(name), Some(number)) = (port.owned("name"), number) {
                    pod.ports.insert(name, number);
                }
            }
        }
    }
    let Some(status) = root.field("status") else { return pod };
    for ip in
        status.owned("podIP").into_iter().chain(status.list("podIPs").iter().filter_map(|ip| ip.owned("ip")))
    {
        if !pod.addresses.contains(&ip) {
            pod.addresses.push(ip);
        }
    }
    let condition =
        |item: &At<'_>| (item.text("type") == Some("Ready")).then(|| item.text("status") == Some("True"));
    let is_running = status.text("phase") == Some("Running");
    pod.ready = status.list("conditions").iter().find_map(condition).unwrap_or(is_running);
    pod
}
