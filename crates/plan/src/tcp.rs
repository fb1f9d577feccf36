//! Forwarding of bytes: which cluster takes a connection.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use filter::{Exchange, Peer};
use http::HeaderMap;
use proto::envoy::extensions::filters::network::tcp_proxy::v3 as wire;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, TunnelingConfig,
};
use proto::envoy::r#type::v3::hash_policy::PolicySpecifier;

use crate::access_log::{AccessLog, access_logs};
use crate::hash::source_ip;
use crate::headers::{HeaderOps, HeaderScope};
use crate::read::{Within, Wrong, duration, each, limit, named, number, percent, refuse};
use crate::route::weighted;

/// Forwards a connection's bytes to a cluster.
#[derive(Clone, Debug)]
pub struct TcpProxy {
    /// The prefix of its counters; istiod puts the cluster's name there.
    pub stat_prefix: Arc<str>,
    /// The clusters and their weights, none of which is zero.
    pub clusters: Vec<(Arc<str>, u32)>,
    /// Whether the server name of a TLS greeting, where there is one, is the cluster's name instead.
    pub follows_sni: bool,
    /// The port at which a dynamic cluster reaches whom the server name of a TLS greeting names; none where that
    /// name is not resolved, and such a cluster has nobody.
    pub forwards_by_name: Option<u16>,
    /// Whether a cluster that chooses by hash gets that of the client's address.
    pub hashes_source_ip: bool,
    /// Closes a connection that was silent this long; none for never.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection that is this old.
    pub max_duration: Option<Duration>,
    /// Up to this part of that time, in percent, is added by chance.
    pub max_duration_jitter: f64,
    /// How often connecting to the upstream is tried.
    pub connect_attempts: u32,
    /// The request inside of which the bytes travel; none for as they are.
    pub tunnel: Option<Box<Tunnel>>,
    /// Where its connections are logged.
    pub access_log: Vec<AccessLog>,
}

/// A request to the upstream inside of which a connection's bytes travel.
#[derive(Clone, Debug)]
pub struct Tunnel {
    host: Vec<HostPart>,
    /// Whether it is a POST to this path instead of a CONNECT.
    pub post_path: Option<Arc<str>>,
    headers: Option<HeaderOps>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPart {
    LocalAddress,
    LocalPort,
    ServerName,
    Text(Arc<str>),
}

impl TcpProxy {
    pub(crate) fn compile(message: &wire::TcpProxy) -> Result<Self, Wrong> {
        refuse(message.on_demand.is_some(), "on_demand")?;
        refuse(message.metadata_match.is_some(), "metadata_match")?;
        refuse(message.upstream_connect_mode != 0, "upstream_connect_mode")?;
        refuse(!message.proxy_protocol_tlvs.is_empty(), "proxy_protocol_tlvs")?;
        let clusters = match &message.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => vec![(named(name, "cluster")?, 1)],
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                each(&weighted.clusters, "weighted_clusters.clusters", |cluster| {
                    refuse(cluster.metadata_match.is_some(), "metadata_match")?;
                    match cluster.weight {
                        0 => Err(Wrong::new("weight", "must be more than zero")),
                        weight => Ok((named(&cluster.name, "name")?, weight)),
                    }
                })?
            }
            None => return Err(Wrong::new("cluster", "is missing")),
        };
        if clusters.is_empty() {
            return Err(Wrong::new("weighted_clusters.clusters", "is empty"));
        }
        let jitter = &message.max_downstream_connection_duration_jitter_percentage;
        Ok(Self {
            stat_prefix: message.stat_prefix.as_str().into(),
            clusters,
            follows_sni: false,
            forwards_by_name: None,
            hashes_source_ip: hashes_source_ip(message)?,
            idle_timeout: match duration(&message.idle_timeout, "idle_timeout")? {
                None => Some(Duration::from_secs(3600)),
                Some(timeout) => Some(timeout).filter(|t| !t.is_zero()),
            },
            max_duration: limit(
                &message.max_downstream_connection_duration,
                "max_downstream_connection_duration",
            )?,
            max_duration_jitter: percent(jitter, "max_downstream_connection_duration_jitter_percentage")?
                .unwrap_or(0.0),
            connect_attempts: number(&message.max_connect_attempts).unwrap_or(1).max(1),
            tunnel: match &message.tunneling_config {
                Some(tunnel) => Some(Box::new(Tunnel::compile(tunnel).within("tunneling_config")?)),
                None => None,
            },
            access_log: access_logs(&message.access_log)?,
        })
    }

    /// The cluster that takes a connection, by the server name of its TLS greeting and a random number.
    pub fn choose<'c>(&'c self, server_name: Option<&'c str>, random: u64) -> Option<&'c str> {
        match server_name.filter(|name| self.follows_sni && !name.is_empty()) {
            Some(name) => Some(name),
            None => weighted(&self.clusters, |(_, weight)| *weight, random).map(|(name, _)| &**name),
        }
    }

    /// Whom a dynamic cluster is to reach, with the port, by the server name of a connection's TLS greeting.
    pub fn named(&self, server_name: Option<&str>) -> Option<String> {
        let (name, port) = (server_name.filter(|name| !name.is_empty())?, self.forwards_by_name?);
        Some(format!("{name}:{port}"))
    }

    /// The hash of a connection, by which a cluster may choose its endpoint.
    pub fn hashed(&self, peer: &Peer) -> Option<u64> {
        self.hashes_source_ip.then(|| source_ip(peer)).flatten()
    }
}

fn hashes_source_ip(message: &wire::TcpProxy) -> Result<bool, Wrong> {
    let all = each(&message.hash_policy, "hash_policy", |policy| match &policy.policy_specifier {
        Some(PolicySpecifier::SourceIp(_)) => Ok(()),
        _ => Err(Wrong::new("policy_specifier", "only source_ip is supported")),
    })?;
    Ok(!all.is_empty())
}

impl Tunnel {
    fn compile(message: &TunnelingConfig) -> Result<Self, Wrong> {
        refuse(message.propagate_response_headers, "propagate_response_headers")?;
        refuse(message.propagate_response_trailers, "propagate_response_trailers")?;
        refuse(message.request_id_extension.is_some(), "request_id_extension")?;
        refuse(!message.formatters.is_empty(), "formatters")?;
        let post_path = match (message.use_post, message.post_path.as_str()) {
            (false, "") => None,
            (false, _) => return Err(Wrong::new("post_path", "is for POST only")),
            (true, "") => Some("/".into()),
            (true, path) => Some(path.into()),
        };
        Ok(Self {
            host: host(&named(&message.hostname, "hostname")?)?,
            post_path,
            headers: HeaderOps::compile(&message.headers_to_add, &[], "tunnel")?,
        })
    }

    /// The host the tunnel leads to, for a connection with this server name.
    pub fn host(&self, server_name: Option<&str>, peer: &Peer) -> String {
        let mut host = String::new();
        for part in &self.host {
            match part {
                HostPart::LocalAddress => host.push_str(&peer.local.to_string()),
                HostPart::LocalPort => {
                    host.extend(peer.local.port().map(|port| port.to_string()));
                }
                HostPart::ServerName => host.push_str(server_name.unwrap_or("-")),
                HostPart::Text(text) => host.push_str(text),
            }
        }
        host
    }

    /// The headers that are added to the request, which speak of an exchange that stands for the connection.
    pub fn headers(&self, x: &mut Exchange, scope: HeaderScope<'_>) -> HeaderMap {
        let Some(headers) = &self.headers else { return HeaderMap::new() };
        headers.apply_to_request(x, scope);
        std::mem::take(&mut x.request.headers)
    }
}

/// A host with blanks to be filled in.
fn host(text: &str) -> Result<Vec<HostPart>, Wrong> {
    let mut parts = Vec::new();
    for (i, piece) in text.split('%').enumerate() {
        let part = match (i % 2, piece) {
            (0, "") => continue,
            (0, text) => HostPart::Text(text.into()),
            (_, "DOWNSTREAM_LOCAL_ADDRESS") => HostPart::LocalAddress,
            (_, "DOWNSTREAM_LOCAL_PORT") => HostPart::LocalPort,
            (_, "REQUESTED_SERVER_NAME") => HostPart::ServerName,
            (_, other) => return Err(Wrong::new("hostname", format!("%{other}% is not supported"))),
        };
        parts.push(part);
    }
    match text.matches('%').count() % 2 {
        0 => Ok(parts),
        _ => Err(Wrong::new("hostname", format!("{text:?} has a single %"))),
    }
}
