//! ServiceEntries as services of the mesh: one for each host.

use api::Valid;
use api::service::TargetPort;
use api::service_entry::{EntryPort, Location, Resolution as Written};
use base::Host;

use crate::port::Port;
use crate::service::{DISTRIBUTION, Distribution, Resolution, Service};
use crate::session;
use crate::settings::{self, Settings};
use crate::slice::{Network, ServiceName};
use crate::workload::{self, Instance, Platform};

pub(super) fn of_entry(
    entry: &Valid<api::ServiceEntry>,
    host: &Host,
    platform: &Platform<'_>,
    settings: &Settings,
) -> Service {
    let meta = entry.meta();
    let ports: Vec<Port> = entry.ports.iter().map(port).collect();
    let resolution = match entry.resolution {
        Written::Dns => Resolution::Dns,
        Written::DnsRoundRobin => Resolution::DnsRoundRobin,
        Written::DynamicDns => Resolution::DnsOfClient,
        Written::None => Resolution::OfClient,
        Written::Static => Resolution::Known,
    };
    Service {
        host: host.clone(),
        name: ServiceName {
            host: host.as_str().to_owned(),
            name: host.as_str().to_owned(),
            namespace: meta.namespace.to_string(),
        },
        instances: instances(entry, host, &ports, platform),
        ports,
        resolution,
        is_external: entry.location == Location::External,
        addresses: entry.addresses.iter().filter_map(|address| Network::parse(address)).collect(),
        automatic: None,
        labels: meta.labels.clone(),
        selector: entry.workload_selector.clone(),
        subject_alt_names: entry.subject_alt_names.clone(),
        distribution: meta
            .annotations
            .get(DISTRIBUTION)
            .map_or(Distribution::Any, |w| Distribution::named(w)),
        session: session::of_labels(&meta.labels),
        is_node_local: false,
        aliases: Vec::new(),
        export_to: settings::visible(entry.export_to.as_ref(), &settings.exports.services, &meta.namespace),
        age: crate::age(meta),
        origin: entry.origin(),
    }
}

fn port(port: &EntryPort) -> Port {
    Port {
        number: port.number,
        name: port.name.clone(),
        protocol: port.protocol,
        target: TargetPort::Number(port.target_port),
    }
}

/// The workloads it selects, else the endpoints written; without either it is the host itself that is resolved.
fn instances(
    entry: &Valid<api::ServiceEntry>,
    host: &Host,
    ports: &[Port],
    platform: &Platform<'_>,
) -> Vec<Instance> {
    let meta = entry.meta();
    let is_resolved = matches!(entry.resolution, Written::Dns | Written::DnsRoundRobin);
    if let Some(selector) = &entry.workload_selector {
        let mut all: Vec<Instance> = platform.entries(&meta.namespace, selector, ports).collect();
        if !is_resolved {
            all.extend(platform.pods(&meta.namespace, selector, ports));
        }
        return all;
    }
    if entry.endpoints.is_empty() && is_resolved && !host.is_wildcard() {
        return vec![Instance::elsewhere(host.as_str(), ports)];
    }
    let written = entry.endpoints.iter().filter(|endpoint| !endpoint.address.is_empty());
    written.map(|endpoint| workload::of_entry(endpoint, &meta.name, &meta.namespace, ports)).collect()
}
