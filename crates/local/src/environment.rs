//! What a program is told: where to listen, how to go out, who it is, and where every service is.

use std::collections::BTreeMap;

use api::Resource;
use base::LocalNet;

use crate::bootstrap::{DOMAIN, HTTP_PROXY_PORT};
use crate::layout::Layout;
use crate::objects;
use crate::workload::{Role, Sidecar, Workload};

/// Hosts a program reaches without its sidecar's HTTP proxy: itself, and services by their addresses.
const DIRECT: &str = "localhost,127.0.0.0/8";

/// Variables of the supervisor's own environment that would lead a program round its sidecar.
pub const UNWANTED: [&str; 5] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "PORT"];

/// The variables of a workload's program; its own settings come last and win.
pub fn variables(workload: &Workload, net: LocalNet, layout: &Layout) -> BTreeMap<String, String> {
    let has_sidecar = workload.sidecar != Sidecar::None;
    // Only a sidecar has the addresses of services.
    let mut variables = if has_sidecar { services(workload, net, layout) } else { BTreeMap::new() };
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    if has_sidecar {
        let proxy = format!("http://{}:{HTTP_PROXY_PORT}", net.outbound());
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            set(name, &proxy);
        }
        for name in ["NO_PROXY", "no_proxy"] {
            set(name, DIRECT);
        }
    }
    set("BIND", &net.program().to_string());
    set("HOSTNAME", &workload.pod);
    set("POD_NAME", &workload.pod);
    set("POD_NAMESPACE", &workload.namespace);
    set("SERVICE_ACCOUNT", &workload.service_account);
    if let Some(port) = workload.ports.first() {
        set("PORT", &workload.listens_on(*port).to_string());
    }
    if let Role::Sidecar(program) = &workload.role {
        variables.extend(program.env.clone());
    }
    variables
}

/// `<SVC>_SERVICE_HOST` and `_PORT` of every Service of the namespace that has been given an address.
fn services(workload: &Workload, net: LocalNet, layout: &Layout) -> BTreeMap<String, String> {
    let slots: BTreeMap<String, u8> = std::fs::read(layout.addresses())
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut variables = BTreeMap::new();
    for (name, port) in declared(workload, layout) {
        let host = format!("{name}.{}.svc.{DOMAIN}", workload.namespace);
        let Some(slot) = slots.get(&host) else { continue };
        let stem = name.to_ascii_uppercase().replace(['-', '.'], "_");
        variables.insert(format!("{stem}_SERVICE_HOST"), net.service(*slot).to_string());
        variables.insert(format!("{stem}_SERVICE_PORT"), port.to_string());
    }
    variables
}

/// The Services of a workload's namespace that stand in the mesh's directory, with their first port.
fn declared(workload: &Workload, layout: &Layout) -> BTreeMap<String, u16> {
    let mut declared = BTreeMap::new();
    for resource in objects::declared(layout) {
        if let Resource::Service(service) = &resource
            && *service.meta().namespace == *workload.namespace
            && let Some(port) = service.ports.first()
        {
            declared.insert(service.meta().name.to_string(), port.number);
        }
    }
    declared
}

#[cfg(test)]
mod tests;
