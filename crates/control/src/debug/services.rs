//! What is known of services and the workloads behind them.

use std::collections::BTreeMap;

use base::{Labels, Protocol};
use mesh::{Finding, KnownPort, KnownService, KnownWorkload};
use serde_json::{Map, Value, json};

use super::moment::NEVER;
use crate::desk::Desk;

/// The one cluster there is, as istiod names it.
const CLUSTER: &str = "Kubernetes";

/// Every service.
pub(super) fn registryz(desk: &Desk) -> Value {
    desk.plane.current().snapshot.known_services().map(|known| service(&known)).collect()
}

/// The services each connected proxy stands behind, by port.
pub(super) fn instancesz(desk: &Desk) -> Value {
    let current = desk.plane.current();
    let mut proxies = Map::new();
    for known in desk.proxies.by_connection().into_values() {
        let id = &known.proxy.id;
        let instances = current.snapshot.known_instances(&known.proxy).into_iter().map(|instance| {
            let mut port = port(&instance.port);
            port["TargetPort"] = instance.target.into();
            json!({ "Service": service(&instance.service), "Port": port })
        });
        proxies.insert(format!("{}.{}", id.name, id.namespace), instances.collect());
    }
    Value::Object(proxies)
}

/// The workloads of every service that has some, by host and namespace.
pub(super) fn endpointz(desk: &Desk) -> Value {
    let mut hosts: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for known in desk.plane.current().snapshot.known_services() {
        let endpoints: Vec<Value> =
            known.workloads.iter().flat_map(|workload| endpoints(&known, workload)).collect();
        if endpoints.is_empty() {
            continue;
        }
        let shards = json!({ format!("{CLUSTER}/{CLUSTER}"): endpoints });
        let entry = json!({ "Shards": shards, "ServiceAccounts": {} });
        hosts.entry(known.host.to_string()).or_default().insert(known.namespace, entry);
    }
    Value::Object(hosts.into_iter().map(|(host, namespaces)| (host, Value::Object(namespaces))).collect())
}

/// One workload, once for each port of a service that it has.
fn endpoints(service: &KnownService, workload: &KnownWorkload) -> Vec<Value> {
    let ports = service.ports.iter().zip(&workload.ports);
    let taken = ports.filter_map(|(port, own)| own.map(|own| (port, own)));
    taken
        .map(|(port, own)| {
            json!({
                "Labels": workload.labels,
                "Addresses": [workload.address],
                "ServicePortName": port.name,
                "LegacyClusterPortKey": 0,
                "ServiceAccount": "",
                "Network": "",
                "Locality": { "Label": workload.locality, "ClusterID": CLUSTER },
                "EndpointPort": own,
                "LbWeight": workload.weight,
                "TLSMode": "disabled",
                "Namespace": service.namespace,
                "WorkloadName": workload.name,
                "HostName": "",
                "SubDomain": "",
                "HealthStatus": 1,
                "SendUnhealthyEndpoints": false,
                "NodeName": "",
            })
        })
        .collect()
}

fn service(known: &KnownService) -> Value {
    let is_of_platform = known.kind == "Service";
    let addresses: Vec<String> = known.addresses.iter().map(ToString::to_string).collect();
    let aliases: Vec<Value> = known.aliases.iter().map(|host| json!({ "Hostname": host.as_str() })).collect();
    json!({
        "Attributes": {
            "ServiceRegistry": if is_of_platform { CLUSTER } else { "External" },
            "Name": known.name,
            "Namespace": known.namespace,
            "Labels": labels(&known.labels),
            "ExportTo": known.export_to.as_ref().map(|all| {
                all.iter().map(|namespace| (namespace.clone(), json!({}))).collect::<Map<_, _>>()
            }),
            "Visibility": 0,
            "LabelSelectors": known.selector.as_ref().map_or(Value::Null, labels),
            "Aliases": if aliases.is_empty() { Value::Null } else { aliases.into() },
            "ClusterExternalAddresses": { "Addresses": null },
            "ClusterExternalPorts": null,
            "PassthroughTargetPorts": null,
            "Type": if is_of_platform { "ClusterIP" } else { "" },
            "ExternalName": "",
            "NodeLocal": known.is_node_local,
            "TrafficDistribution": 0,
            "ObjectName": "",
            "DNSConnectStrategy": 0,
            "PublishNotReadyAddresses": false,
        },
        "ports": known.ports.iter().map(port).collect::<Vec<_>>(),
        "creationTime": known.created.as_deref().unwrap_or(NEVER),
        "hostname": known.host.as_str(),
        "clusterVIPs": {
            "Addresses": if addresses.is_empty() { Value::Null } else { json!({ CLUSTER: addresses }) },
        },
        "defaultAddress": addresses.first().map_or("0.0.0.0", String::as_str),
        "Resolution": resolution(known.finding),
        "MeshExternal": known.is_external,
        "ResourceVersion": "",
    })
}

/// Go writes a map without a value as null.
fn labels(labels: &Labels) -> Value {
    if labels.0.is_empty() { Value::Null } else { json!(labels) }
}

fn port(port: &KnownPort) -> Value {
    json!({ "name": port.name, "port": port.number, "protocol": protocol(port.protocol) })
}

/// istiod's number for how endpoints are found.
fn resolution(finding: Finding) -> u8 {
    match finding {
        Finding::Known => 0,
        Finding::Dns => 1,
        Finding::OfClient => 2,
        Finding::DnsRoundRobin => 3,
        Finding::DnsOfClient => 5,
    }
}

/// istiod's name for a protocol.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Auto => "UnsupportedProtocol",
        Protocol::Grpc => "GRPC",
        Protocol::GrpcWeb => "GRPC-Web",
        Protocol::Http => "HTTP",
        Protocol::Http2 => "HTTP2",
        Protocol::HttpProxy => "HTTP_PROXY",
        Protocol::Https => "HTTPS",
        Protocol::Mongo => "Mongo",
        Protocol::Mysql => "MySQL",
        Protocol::Redis => "Redis",
        Protocol::Tcp => "TCP",
        Protocol::Tls => "TLS",
        Protocol::Udp => "UDP",
    }
}
