//! Kubernetes Services as services of the mesh.

use api::Valid;
use api::service::Exposure;
use base::Host;

use crate::port::Port;
use crate::service::{DISTRIBUTION, Distribution, Resolution, Service};
use crate::session;
use crate::settings::{self, Settings};
use crate::slice::{Network, ServiceName};
use crate::workload::{Instance, Platform};

pub(super) fn host_of(service: &Valid<api::Service>, settings: &Settings) -> Host {
    let meta = service.meta();
    host(&meta.name, &meta.namespace, settings)
}

/// The host of a Service.
pub(crate) fn host(name: &str, namespace: &str, settings: &Settings) -> Host {
    Host::new(&format!("{name}.{namespace}.svc.{}", settings.domain))
}

pub(crate) fn of_service(
    service: &Valid<api::Service>,
    platform: &Platform<'_>,
    settings: &Settings,
) -> Service {
    let meta = service.meta();
    let host = host_of(service, settings);
    let ports: Vec<Port> = service
        .ports
        .iter()
        .map(|port| Port {
            number: port.number,
            name: port.name.clone(),
            protocol: port.protocol,
            target: port.target_port.clone(),
        })
        .collect();
    let selector = (!service.selector.0.is_empty()).then(|| service.selector.clone());
    let mut instances = Vec::new();
    // WorkloadEntries first: of two instances with one address the first counts.
    if let Some(selector) = &selector {
        let entries = platform.entries(&meta.namespace, selector, &ports);
        // A Service's workloads have addresses; a name is for ServiceEntries to resolve.
        instances.extend(entries.filter(|entry| entry.address.parse::<std::net::IpAddr>().is_ok()));
    }
    instances.extend(platform.endpoints(service, &ports));
    let mut resolution = if service.headless { Resolution::Headless } else { Resolution::Known };
    if let (Exposure::ExternalName, Some(name)) = (service.exposure, &service.external_name) {
        resolution = Resolution::Dns;
        instances = vec![Instance::elsewhere(name, &ports)];
    }
    let word = service.traffic_distribution.as_ref().or_else(|| meta.annotations.get(DISTRIBUTION));
    Service {
        name: ServiceName {
            host: host.as_str().to_owned(),
            name: meta.name.to_string(),
            namespace: meta.namespace.to_string(),
        },
        ports,
        resolution,
        is_external: service.exposure == Exposure::ExternalName,
        addresses: service.cluster_ips.iter().map(|ip| Network::single(*ip)).collect(),
        automatic: None,
        labels: meta.labels.clone(),
        selector,
        instances,
        subject_alt_names: Vec::new(),
        distribution: word.map_or(Distribution::Any, |word| Distribution::named(word)),
        session: session::of_labels(&meta.labels),
        is_node_local: service.is_node_local,
        aliases: Vec::new(),
        export_to: settings::visible(service.export_to.as_ref(), &settings.exports.services, &meta.namespace),
        age: crate::age(meta),
        origin: service.origin(),
        host,
    }
}
