//! Who is asking: a proxy as it described itself in its xDS node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::Value;

use base::node::NodeKind;
use base::{Digest, Labels, LocalNet, NodeId};

use crate::slice::DnsFamily;

/// How connections reach the proxy (Istio's `INTERCEPTION_MODE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interception {
    /// They are made to the proxy's own listening addresses.
    None,
    /// The kernel redirects them and remembers where they went.
    #[default]
    Redirect,
    /// The kernel hands them over with both addresses intact.
    Tproxy,
}

/// Which extensions a proxy has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Those of a stock Envoy.
    #[default]
    Envoy,
    /// Those of a stock Envoy, and Weft's own.
    Weft,
}

/// A proxy, as far as its configuration depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Its node id.
    pub id: NodeId,
    /// The namespace its configuration is seen from.
    pub namespace: String,
    /// The workload's labels.
    pub labels: Labels,
    /// Its addresses: the node id's and those of `INSTANCE_IPS`.
    pub addresses: Vec<IpAddr>,
    /// Its loopback addresses, in a mesh of local processes; None where connections are captured.
    pub local: Option<LocalNet>,
    /// How connections reach it.
    pub interception: Interception,
    /// Whether it may not bind ports below 1024.
    pub unprivileged: bool,
    /// Which extensions it has.
    pub dialect: Dialect,
    /// The port of the HTTP proxy listener, where it has one.
    pub http_proxy_port: Option<u16>,
    /// The port the program really listens on, by target port; the same port where absent.
    pub program_ports: BTreeMap<u16, u16>,
    /// Where a local gateway binds.
    pub gateway_bind: IpAddr,
    /// Where it runs, `region/zone/subzone`; empty where it does not say.
    pub locality: String,
    /// The network it is in, empty for the mesh's own.
    pub network: String,
    /// The node it runs on, empty where unknown.
    pub node: String,
    /// Whether it answers its workload's DNS queries, and so can give hosts addresses of their own.
    pub answers_dns: bool,
    /// How long a stream through it may be idle where nothing else is said.
    pub idle_timeout: Option<Duration>,
    /// The cluster it runs in.
    pub cluster: String,
    /// Whether clients of a gateway begin with a PROXY header, whatever the mesh says.
    pub takes_proxy_protocol: bool,
    /// How many proxies before a gateway are believed about the client's address; None is as the mesh says.
    pub trusted_proxies: Option<u32>,
    /// Whether it takes HTTP/1.0.
    pub takes_http10: bool,
}

impl Proxy {
    /// Reads a node: its id, its metadata and the names of its extensions.
    ///
    /// # Errors
    /// Says which part of the node is missing or unreadable.
    pub fn new(id: &str, metadata: &Value, extensions: &[String]) -> Result<Self, String> {
        let id: NodeId = id.parse()?;
        let namespace = text(metadata, "NAMESPACE").unwrap_or(&id.namespace).to_owned();
        let interception = interception(metadata)?;
        let local = match metadata.get("WEFT_LOCAL") {
            Some(value) if !value.is_null() => Some(local_net(value)?),
            _ => None,
        };
        Ok(Self {
            labels: labels(metadata)?,
            addresses: addresses(&id, metadata)?,
            interception,
            unprivileged: flag(metadata, "UNPRIVILEGED_POD"),
            dialect: if extensions.iter().any(|e| e == "weft") { Dialect::Weft } else { Dialect::Envoy },
            http_proxy_port: match metadata.get("HTTP_PROXY_PORT") {
                Some(value) => Some(port(value).ok_or_else(|| unreadable("HTTP_PROXY_PORT", value))?),
                None => None,
            },
            program_ports: program_ports(metadata)?,
            gateway_bind: match text(metadata, "GATEWAY_BIND") {
                Some(bind) => {
                    bind.parse().map_err(|_| format!("GATEWAY_BIND {bind:?} is not an IP address"))?
                }
                None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            },
            locality: String::new(),
            network: text(metadata, "NETWORK").unwrap_or_default().to_owned(),
            node: text(metadata, "NODE_NAME").unwrap_or_default().to_owned(),
            answers_dns: flag(metadata, "DNS_CAPTURE"),
            idle_timeout: match text(metadata, "IDLE_TIMEOUT") {
                Some(written) => {
                    Some(base::duration::parse(written).map_err(|why| format!("IDLE_TIMEOUT: {why}"))?)
                }
                None => None,
            },
            takes_http10: text(metadata, "HTTP10") == Some("1"),
            cluster: text(metadata, "CLUSTER_ID").unwrap_or("Kubernetes").to_owned(),
            takes_proxy_protocol: topology(metadata, "proxyProtocol").is_some(),
            trusted_proxies: topology(metadata, "numTrustedProxies").and_then(number).map(u32::from),
            namespace,
            local: local.filter(|_| interception == Interception::None),
            id,
        })
    }

    /// The same proxy where its node says that it runs; an empty locality says nothing.
    pub fn at(mut self, region: &str, zone: &str, subzone: &str) -> Self {
        self.locality = [region, zone, subzone].join("/").trim_end_matches('/').to_owned();
        self
    }

    /// A digest of everything a view depends on: proxies of equal scope have equal views of one snapshot.
    ///
    /// It includes the addresses; [`Snapshot::scope`](crate::Snapshot::scope) is coarser and shares more.
    pub fn scope(&self) -> Digest {
        Digest::of_value(&self.without_name())
    }

    /// Whether it stands alone and takes the traffic of Gateways.
    pub fn is_gateway(&self) -> bool {
        self.id.kind == NodeKind::Router
    }

    /// Which addresses it can use. One of a local mesh has whatever the machine has.
    pub(crate) fn dns_family(&self) -> DnsFamily {
        if self.local.is_some() {
            DnsFamily::V4First
        } else if self.addresses.iter().all(IpAddr::is_ipv6) {
            DnsFamily::V6
        } else {
            DnsFamily::V4
        }
    }

    /// Whether it may listen on a port.
    pub fn may_bind(&self, port: u16) -> bool {
        // A Unix socket, whose number is 0, asks no privilege.
        port >= 1024 || port == 0 || !self.unprivileged
    }

    /// The same proxy with the parts blanked that no configuration depends on.
    pub(crate) fn without_name(&self) -> Self {
        let mut proxy = self.clone();
        proxy.id.name.clear();
        proxy
    }
}

fn text<'a>(metadata: &'a Value, key: &str) -> Option<&'a str> {
    metadata.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A field of `PROXY_CONFIG.gatewayTopology`: what a gateway says of what stands before it.
fn topology<'a>(metadata: &'a Value, key: &str) -> Option<&'a Value> {
    metadata.get("PROXY_CONFIG")?.get("gatewayTopology")?.get(key).filter(|value| !value.is_null())
}

/// Istio writes booleans of node metadata as text.
fn flag(metadata: &Value, key: &str) -> bool {
    match metadata.get(key) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(value)) => value.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// Numbers of node metadata arrive as text, or as the floating point of a protobuf Struct.
fn number(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => match number.as_f64() {
            // A whole float is written without a point, any other does not parse.
            Some(float) => float.to_string().parse().ok(),
            None => None,
        },
        _ => None,
    }
}

fn port(value: &Value) -> Option<u16> {
    number(value).filter(|n| *n != 0)
}

fn unreadable(key: &str, value: &Value) -> String {
    format!("node metadata {key} is {value}, which cannot be read")
}

fn labels(metadata: &Value) -> Result<Labels, String> {
    let mut labels = Labels::default();
    match metadata.get("LABELS") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (key, value) in map {
                let value = value.as_str().ok_or_else(|| unreadable("LABELS", value))?;
                labels.0.insert(key.clone(), value.to_owned());
            }
        }
        Some(other) => return Err(unreadable("LABELS", other)),
    }
    Ok(labels)
}

fn addresses(id: &NodeId, metadata: &Value) -> Result<Vec<IpAddr>, String> {
    let mut addresses = vec![id.ip];
    for address in text(metadata, "INSTANCE_IPS").into_iter().flat_map(|list| list.split(',')) {
        let address =
            address.trim().parse().map_err(|_| format!("INSTANCE_IPS: {address:?} is not an IP address"))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn interception(metadata: &Value) -> Result<Interception, String> {
    match text(metadata, "INTERCEPTION_MODE") {
        None | Some("REDIRECT") => Ok(Interception::Redirect),
        Some("NONE") => Ok(Interception::None),
        Some("TPROXY") => Ok(Interception::Tproxy),
        Some(other) => Err(format!("INTERCEPTION_MODE {other:?} is none of NONE, REDIRECT, TPROXY")),
    }
}

fn local_net(value: &Value) -> Result<LocalNet, String> {
    let byte =
        |key: &str| value.get(key).and_then(port).and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= 250);
    match (byte("mesh"), byte("workload")) {
        (Some(mesh), Some(workload)) => Ok(LocalNet { mesh, workload }),
        _ => Err(unreadable("WEFT_LOCAL", value)),
    }
}

fn program_ports(metadata: &Value) -> Result<BTreeMap<u16, u16>, String> {
    let mut ports = BTreeMap::new();
    match metadata.get("PROGRAM_PORTS") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (target, real) in map {
                match (target.parse::<u16>(), port(real)) {
                    (Ok(target), Some(real)) => ports.insert(target, real),
                    _ => return Err(unreadable("PROGRAM_PORTS", real)),
                };
            }
        }
        Some(other) => return Err(unreadable("PROGRAM_PORTS", other)),
    }
    Ok(ports)
}

#[cfg(test)]
mod tests;
