//! Istio's own simulation cases: configuration and a call in, the listener, route and cluster that take it out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use api::{MeshConfig, ResourceSet, parse};
use base::Severity;
use explain::{Call, Decision, Protocol, Security};
use mesh::{Proxy, Settings, Snapshot};
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::core::v3::address::Address;
use proto::envoy::config::core::v3::socket_address::PortSpecifier;
use proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use proto::envoy::config::route::v3::route::Action;
use proto::envoy::config::route::v3::route_action::ClusterSpecifier;
use proto::envoy::config::route::v3::{Route, RouteConfiguration};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::istiod::same;
use crate::{Case, json};

/// Runs the three tables of the folder: calls by the group their id begins with, route tables by API, and inbound
/// clusters.
///
/// # Errors
/// A file cannot be read.
pub fn run(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let services = std::fs::read_to_string(folder.join("routes-services.yaml"))?;
    let calls: Vec<CallCase> = json(&folder.join("cases.json"))?;
    let routes: Vec<RouteCase> = json(&folder.join("routes.json"))?;
    let inbound: Vec<InboundCase> = json(&folder.join("inbound-clusters.json"))?;

    let calls = calls.into_iter().map(|case| Case {
        kind: case.id.split('/').next().unwrap_or_default().to_owned(),
        outcome: case.check(),
        id: case.id,
    });
    let routes = routes.into_iter().map(|case| Case {
        kind: case.id.rsplit('/').next().unwrap_or_default().to_owned(),
        outcome: case.check(&services),
        id: case.id,
    });
    let inbound = inbound.into_iter().map(|case| Case {
        kind: "inbound-clusters".to_owned(),
        outcome: case.check(),
        id: case.id,
    });
    Ok(calls.chain(routes).chain(inbound).collect())
}

/// One case of `cases.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CallCase {
    id: String,
    proxy: ProxySpec,
    #[serde(default)]
    config: String,
    #[serde(default)]
    kube_config: String,
    #[serde(default)]
    mesh_config: Option<Value>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    invalid_xds_expected: bool,
    #[serde(default, rename = "upstreamBug")]
    _upstream_bug: Option<String>,
    calls: Vec<Asked>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxySpec {
    #[serde(rename = "type")]
    kind: String,
    namespace: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    ips: Option<Vec<String>>,
    cluster: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
}

impl ProxySpec {
    fn proxy(&self) -> Result<Proxy, String> {
        let namespace = self.namespace.as_deref().unwrap_or("default");
        let ips = self.ips.clone().unwrap_or_else(|| vec!["1.1.1.1".to_owned()]);
        let ip = ips.first().ok_or("a proxy without an address")?;
        let mut metadata = json!({
            "NAMESPACE": namespace,
            "LABELS": self.labels,
            "INSTANCE_IPS": ips.join(","),
            "CLUSTER_ID": self.cluster.as_deref().unwrap_or("Kubernetes"),
        });
        for (key, value) in &self.metadata {
            metadata[key.as_str()] = value.clone();
        }
        let id = format!("{}~{ip}~test.{namespace}~{namespace}.svc.cluster.local", self.kind);
        Proxy::new(&id, &metadata, &[])
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    name: String,
    call: CallSpec,
    expect: Expect,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CallSpec {
    port: u16,
    address: Option<IpAddr>,
    protocol: Option<String>,
    tls: Option<String>,
    alpn: Option<String>,
    host: Option<String>,
    sni: Option<String>,
    path: Option<String>,
    mode: Option<String>,
    mtls_secret: Option<String>,
}

impl CallSpec {
    fn call(&self) -> Result<Call, String> {
        let mut call = Call::http(self.port, self.host.as_deref().unwrap_or_default());
        call.address = self.address.unwrap_or(IpAddr::from([1, 3, 3, 7]));
        call.protocol = match self.protocol.as_deref() {
            Some("http") => Protocol::Http1,
            Some("http2") => Protocol::Http2,
            Some("tcp") | None => Protocol::Tcp,
            Some(other) => return Err(format!("unknown protocol {other:?}")),
        };
        call.security = match self.tls.as_deref() {
            // Only TLS has a server name, so a call with one is TLS though it does not say so.
            None if self.sni.is_some() => Security::Tls,
            Some("plaintext") | None => Security::Plaintext,
            Some("tls") => Security::Tls,
            Some("mtls") => Security::Mutual,
            Some(other) => return Err(format!("unknown tls {other:?}")),
        };
        call.alpn =
            self.alpn.clone().or_else(|| default_alpn(call.security, call.protocol)).into_iter().collect();
        let is_secured = call.security != Security::Plaintext;
        call.sni = self.sni.clone().or_else(|| self.host.clone().filter(|_| is_secured));
        call.path = self.path.clone().unwrap_or_else(|| "/".to_owned());
        call.inbound = self.mode.as_deref() == Some("inbound");
        call.secret = self.mtls_secret.clone();
        Ok(call)
    }
}

fn default_alpn(security: Security, protocol: Protocol) -> Option<String> {
    Some(
        match (security, protocol) {
            (Security::Mutual, Protocol::Http1) => "istio-http/1.1",
            (Security::Mutual, Protocol::Http2) => "istio-h2",
            (Security::Mutual, Protocol::Tcp) => "istio",
            (Security::Tls, Protocol::Http1) => "http/1.1",
            (Security::Tls, Protocol::Http2) => "h2",
            _ => return None,
        }
        .to_owned(),
    )
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expect {
    listener: Option<String>,
    filter_chain: Option<String>,
    route_config: Option<String>,
    virtual_host: Option<String>,
    route: Option<String>,
    cluster: Option<String>,
    error: Option<String>,
    #[serde(default)]
    strict: bool,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

impl Expect {
    fn compare(&self, decision: &Decision) -> Result<(), String> {
        let error = decision.failure.as_ref().map(ToString::to_string);
        same("error", &self.error, &error)?;
        let cluster = match &decision.clusters[..] {
            [] => None,
            shares => Some(
                shares
                    .iter()
                    .map(|s| without_domain(&s.cluster, self.cluster.as_deref()))
                    .collect::<Vec<_>>()
                    .join(","),
            ),
        };
        let fields = [
            ("listener", &self.listener, &decision.listener),
            ("filterChain", &self.filter_chain, &decision.filter_chain),
            ("routeConfig", &self.route_config, &decision.route_config),
            ("virtualHost", &self.virtual_host, &decision.virtual_host),
            ("route", &self.route, &decision.route),
            ("cluster", &self.cluster, &cluster),
        ];
        for (what, wanted, found) in fields {
            if wanted.is_some() {
                same(what, wanted, found)?;
            } else if self.strict
                && what != "filterChain"
                && found.as_deref().is_some_and(|found| !found.is_empty())
            {
                return Err(format!("{what}: expected none, found {found:?}"));
            }
        }
        Ok(())
    }
}

/// The cases give configuration an empty DNS domain: `a` in `default` is `a.default` there.
fn without_domain(found: &str, wanted: Option<&str>) -> String {
    match wanted {
        Some(wanted) if !wanted.contains(".svc.") => found.replace(".svc.cluster.local", ""),
        _ => found.to_owned(),
    }
}

impl CallCase {
    fn check(&self) -> Result<(), String> {
        let is_built_in =
            |(key, value): &(&String, &String)| BUILT_IN.contains(&(key.as_str(), value.as_str()));
        let switches: Vec<&str> =
            self.env.iter().filter(|each| !is_built_in(each)).map(|(key, _)| key.as_str()).collect();
        if !switches.is_empty() {
            return Err(format!("needs the switch {}", switches.join(", ")));
        }
        let set = resources(&[&self.kube_config, &self.config])?;
        let snapshot = Snapshot::next(None, &set, &settings(self.mesh_config.as_ref())?);
        let compiled = explain::compile(&snapshot, &self.proxy.proxy()?);
        if let Some(reject) = compiled.rejects.first().filter(|_| !self.invalid_xds_expected) {
            return Err(format!("a proxy refuses {}: {}", reject.name, reject.message));
        }
        for asked in &self.calls {
            let decision = explain::decide(&compiled.plan, &asked.call.call()?);
            asked.expect.compare(&decision).map_err(|why| format!("{}: {why}", asked.name))?;
        }
        Ok(())
    }
}

/// Switches of a real control plane whose position in the cases is the only one there is here.
const BUILT_IN: [(&str, &str); 2] =
    [("ENABLE_TLS_ON_SIDECAR_INGRESS", "true"), ("PILOT_ENABLE_IP_AUTOALLOCATE", "false")];

fn settings(mesh_config: Option<&Value>) -> Result<Settings, String> {
    let Some(written) = mesh_config else { return Ok(Settings::default()) };
    let (config, issues) = MeshConfig::parse("mesh.yaml", written.to_string().as_bytes());
    let fault = issues.iter().find(|issue| issue.severity == Severity::Error);
    match (config, fault) {
        (Some(config), None) => Ok(Settings::new(&config)),
        (_, fault) => Err(fault.map_or_else(|| "the mesh settings are refused".into(), ToString::to_string)),
    }
}

/// Everything the documents say; a document that is refused or of an unread kind makes the case fail by its reason.
pub(crate) fn resources(texts: &[&str]) -> Result<ResourceSet, String> {
    let mut set = ResourceSet::default();
    for text in texts {
        let parsed = parse("case.yaml", text.as_bytes());
        let unread = |code: &str| code == "unknown-kind" || code == "skipped-kind";
        let fault =
            parsed.issues.iter().find(|issue| issue.severity == Severity::Error || unread(&issue.code));
        if let Some(issue) = fault {
            return Err(issue.to_string());
        }
        for resource in parsed.resources {
            set.insert(resource);
        }
    }
    Ok(set)
}

/// One table of `routes.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RouteCase {
    id: String,
    proxy_namespace: String,
    route_config: String,
    config: Vec<Value>,
    expect: Option<BTreeMap<String, Option<Vec<String>>>>,
}

impl RouteCase {
    fn check(&self, services: &str) -> Result<(), String> {
        let config = json!({"apiVersion": "v1", "kind": "List", "items": self.config}).to_string();
        let set = resources(&[services, &config])?;
        let snapshot = Snapshot::next(None, &set, &Settings::default());
        let proxy = ProxySpec {
            kind: "sidecar".into(),
            namespace: Some(self.proxy_namespace.clone()),
            ..ProxySpec::default()
        };
        let view = mesh::view(&snapshot, &proxy.proxy()?);
        // Nothing is expected of a table that no listener asks for.
        let Some(expect) = &self.expect else { return Ok(()) };
        let slice =
            view.route(&self.route_config).ok_or_else(|| format!("no route {}", self.route_config))?;
        let table: RouteConfiguration = proto::any::unpack(&translate::route(&slice).any)?;
        for (domain, wanted) in expect {
            let host = table.virtual_hosts.iter().find(|host| host.domains.contains(domain));
            let found = host.map(|host| host.routes.iter().flat_map(clusters).collect::<Vec<_>>());
            same(domain, wanted, &found)?;
        }
        Ok(())
    }
}

fn clusters(route: &Route) -> Vec<String> {
    match &route.action {
        Some(Action::Route(action)) => match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(cluster)) => vec![cluster.clone()],
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                weighted.clusters.iter().map(|cluster| cluster.name.clone()).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The addresses of a cluster that has its own; None where connections keep theirs.
fn endpoints(cluster: &Cluster) -> Result<Option<Vec<String>>, String> {
    let Some(assignment) = &cluster.load_assignment else { return Ok(None) };
    let all = assignment.endpoints.iter().flat_map(|locality| &locality.lb_endpoints);
    all.map(|endpoint| {
        let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
            return Err("an endpoint without an address".to_owned());
        };
        match endpoint.address.as_ref().and_then(|address| address.address.as_ref()) {
            Some(Address::SocketAddress(socket)) => match &socket.port_specifier {
                Some(PortSpecifier::PortValue(port)) => Ok(format!("{}:{port}", socket.address)),
                other => Err(format!("a port {other:?}")),
            },
            other => Err(format!("an address {other:?}")),
        }
    })
    .collect::<Result<_, _>>()
    .map(Some)
}

/// One case of `inbound-clusters.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct InboundCase {
    id: String,
    services: Vec<ServiceSpec>,
    instances: Vec<Instance>,
    config: Vec<Value>,
    #[serde(default)]
    mesh_config: Value,
    expect: InboundExpect,
}

#[derive(Clone, Debug, Deserialize)]
struct ServiceSpec {
    hostname: String,
    ports: Vec<PortSpec>,
}

#[derive(Clone, Debug, Deserialize)]
struct PortSpec {
    port: u16,
    protocol: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    service: String,
    service_port: u16,
    target_port: u16,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InboundExpect {
    clusters: BTreeMap<String, Option<Vec<String>>>,
    #[serde(default)]
    services: BTreeMap<String, Vec<String>>,
}

impl InboundCase {
    fn check(&self) -> Result<(), String> {
        let items: Vec<Value> = self.config.iter().cloned().chain(self.instance_entries()?).collect();
        let config = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let set = resources(&[&config])?;
        let settings = settings(Some(&self.mesh_config).filter(|written| written.is_object()))?;
        let snapshot = Snapshot::next(None, &set, &settings);
        let spec =
            ProxySpec { kind: "sidecar".into(), ips: Some(vec!["1.2.3.4".into()]), ..ProxySpec::default() };
        let view = mesh::view(&snapshot, &spec.proxy()?);
        let mut clusters = BTreeMap::new();
        let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for cluster in view.clusters.clusters.iter().filter(|cluster| cluster.name.starts_with("inbound|")) {
            let wire: Cluster = proto::any::unpack(&translate::cluster(cluster).any)?;
            clusters.insert(wire.name.clone(), endpoints(&wire)?);
            let hosts: Vec<String> = cluster.services.iter().map(|service| service.host.clone()).collect();
            if !hosts.is_empty() {
                services.insert(wire.name, hosts);
            }
        }
        same("clusters", &self.expect.clusters, &clusters)?;
        same("services", &self.expect.services, &services)
    }

    /// What the workload serves, as one ServiceEntry a host with an endpoint per instance.
    fn instance_entries(&self) -> Result<Vec<Value>, String> {
        let mut hosts: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
        for instance in &self.instances {
            hosts.entry(&instance.service).or_default().push(instance);
        }
        hosts
            .into_iter()
            .enumerate()
            .map(|(at, (host, instances))| self.entry(at, host, &instances))
            .collect()
    }

    fn entry(&self, at: usize, host: &str, instances: &[&Instance]) -> Result<Value, String> {
        let service = self.services.iter().find(|service| service.hostname == host);
        let service = service.ok_or_else(|| format!("no service {host}"))?;
        let ports: Vec<Value> = service
            .ports
            .iter()
            .map(|port| json!({"number": port.port, "name": format!("p{}", port.port), "protocol": port.protocol}))
            .collect();
        let targets: serde_json::Map<String, Value> = instances
            .iter()
            .map(|instance| (format!("p{}", instance.service_port), instance.target_port.into()))
            .collect();
        Ok(json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": format!("service-{at}"), "namespace": "default"},
            "spec": {
                "hosts": [host],
                "location": "MESH_INTERNAL",
                "resolution": "STATIC",
                "ports": ports,
                "endpoints": [{"address": "1.2.3.4", "ports": targets}],
            },
        }))
    }
}
