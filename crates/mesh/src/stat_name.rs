//! The names under which numbers of clusters are kept, where the mesh has a pattern for them.

use crate::port::Port;
use crate::service::Service;
use crate::state::{Own, State};

/// The name for calls to a port of a service, or of a subset there; None is the cluster's own.
pub(crate) fn outbound(state: &State, service: &Service, port: &Port, subset: &str) -> Option<String> {
    // The port a caller's connection ends at is as little known here as in Istio.
    filled(&state.settings.stat_names.outbound, service, port, (subset, 0))
}

/// The name for what comes to a port of the workload itself; None is the cluster's own.
pub(crate) fn inbound(state: &State, own: &Own) -> Option<String> {
    filled(&state.settings.stat_names.inbound, &own.service, &own.port, ("", own.target))
}

fn filled(pattern: &str, service: &Service, port: &Port, (subset, target): (&str, u16)) -> Option<String> {
    if pattern.is_empty() {
        return None;
    }
    let host = service.host.as_str();
    // Of other registries' services only the host is a name.
    let of_platform = |name: String| if service.is_of_platform() { name } else { host.to_owned() };
    let blanks = [
        ("%SERVICE%", of_platform(format!("{}.{}", service.name.name, service.name.namespace))),
        ("%SERVICE_NAME%", of_platform(service.name.name.clone())),
        ("%SERVICE_FQDN%", host.to_owned()),
        ("%SUBSET_NAME%", subset.to_owned()),
        ("%TARGET_PORT%", target.to_string()),
        ("%SERVICE_PORT%", port.number.to_string()),
        ("%SERVICE_PORT_NAME%", port.name.clone()),
    ];
    let fill = |name: String, (blank, value): &(&str, String)| name.replace(blank, value);
    Some(blanks.iter().fold(pattern.to_owned(), fill))
}
