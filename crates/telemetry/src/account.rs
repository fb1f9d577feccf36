//! The account of one request, or of one TCP connection: what its log line and its metrics are made of.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Version};

use base::{Address, Digest};

/// One exchange as it ended. It borrows; filling one in allocates nothing.
///
/// ```
/// let account = telemetry::Account { method: Some("GET"), path: Some("/"), response_code: 200, ..Default::default() };
/// let mut line = Vec::new();
/// telemetry::Format::istio_default().write(&account, &mut line);
/// assert!(line.starts_with(b"[1970-01-01T00:00:00.000Z] \"GET / -\" 200 - -"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Account<'a> {
    /// When the request's first byte arrived, since the Unix epoch.
    pub start: Duration,
    /// From its first byte to the last byte of the response.
    pub duration: Duration,
    /// From its first byte to the last byte of the request.
    pub request_duration: Option<Duration>,
    /// From its first byte to the first byte of the upstream's response.
    pub response_duration: Option<Duration>,
    /// What `x-envoy-upstream-service-time` says.
    pub upstream_service_time: Option<Duration>,
    /// What kind of traffic it was.
    pub traffic: Traffic,
    /// The HTTP version; none for TCP.
    pub protocol: Option<Version>,
    /// The method.
    pub method: Option<&'a str>,
    /// The scheme.
    pub scheme: Option<&'a str>,
    /// The path and query as they went upstream.
    pub path: Option<&'a str>,
    /// The path and query the client sent, where a rewrite changed them (`x-envoy-original-path`).
    pub original_path: Option<&'a str>,
    /// The authority, or the `host` header.
    pub authority: Option<&'a str>,
    /// `x-request-id`.
    pub request_id: Option<&'a [u8]>,
    /// `user-agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `x-forwarded-for`.
    pub forwarded_for: Option<&'a [u8]>,
    /// The request's headers, for log formats that name any other; see [`crate::Format::reads_request_headers`].
    pub request_headers: Option<&'a HeaderMap>,
    /// The response's headers, for the same; see [`crate::Format::reads_response_headers`].
    pub response_headers: Option<&'a HeaderMap>,
    /// The response's status; 0 where there was none.
    pub response_code: u16,
    /// The response's gRPC status.
    pub grpc_status: Option<u16>,
    /// The response flags.
    pub flags: Flags,
    /// Envoy's response code details, e.g. `via_upstream`.
    pub code_details: Option<&'a str>,
    /// Why the connection was ended, where we ended it.
    pub termination: Option<&'a str>,
    /// Why the upstream's transport failed.
    pub upstream_failure: Option<&'a str>,
    /// Bytes of the request's body.
    pub bytes_received: u64,
    /// Bytes of the response's body.
    pub bytes_sent: u64,
    /// gRPC messages of the request.
    pub request_messages: u64,
    /// gRPC messages of the response.
    pub response_messages: u64,
    /// Upstream attempts, the first included.
    pub attempts: u32,
    /// The endpoint.
    pub upstream_host: Option<&'a Address>,
    /// The upstream cluster.
    pub upstream_cluster: Option<&'a str>,
    /// Our end of the upstream connection.
    pub upstream_local: Option<&'a Address>,
    /// Our end of the client's connection.
    pub downstream_local: Option<&'a Address>,
    /// The client's end; `x-forwarded-for` may have decided it.
    pub downstream_remote: Option<&'a Address>,
    /// The client's end of the very connection.
    pub downstream_direct: Option<&'a Address>,
    /// The server name of the TLS client hello.
    pub server_name: Option<&'a str>,
    /// The route's name.
    pub route_name: Option<&'a str>,
    /// Which object decided, as [`base::Origin`] writes itself.
    pub origin: Option<&'a str>,
    /// Which side is telling.
    pub reporter: Reporter,
    /// The client; none where unknown.
    pub source: Option<&'a Arc<Workload>>,
    /// The server; none where unknown.
    pub destination: Option<&'a Arc<Workload>>,
    /// The service the request was meant for; none where unknown.
    pub service: Option<&'a Arc<Service>>,
    /// How the connection was secured.
    pub security: Security,
    /// What the client's TLS told, where it spoke TLS.
    pub tls: Option<&'a TlsFacts>,
}

/// What the TLS of a client's connection told; empty where a fact is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version, e.g. `TLSv1.3`.
    pub version: &'static str,
    /// The cipher, by its name in the RFCs.
    pub cipher: &'static str,
    /// The owner of the client's certificate.
    pub peer_subject: String,
    /// Its issuer.
    pub peer_issuer: String,
    /// Its serial number.
    pub peer_serial: String,
    /// Its SHA-256.
    pub peer_fingerprint: String,
    /// Its URIs, joined by commas.
    pub peer_uris: String,
    /// Its host names, joined by commas.
    pub peer_dns: String,
    /// The owner of our own certificate.
    pub local_subject: String,
    /// Its URIs, joined by commas.
    pub local_uris: String,
    /// Its host names, joined by commas.
    pub local_dns: String,
}

/// Which side of a connection reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reporter {
    /// The server's side: an inbound listener.
    Destination,
    /// The client's side: an outbound listener, or a gateway.
    #[default]
    Source,
}

impl Reporter {
    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Source => "source",
        }
    }
}

/// What kind of traffic was accounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// gRPC over HTTP/2.
    Grpc,
    /// HTTP of any version.
    #[default]
    Http,
    /// Bytes.
    Tcp,
}

impl Traffic {
    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// How a connection was secured, as the reporting side can know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// Both sides proved who they are.
    MutualTls,
    /// Cleartext.
    None,
    /// The client's side does not say.
    #[default]
    Unknown,
}

impl Security {
    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::MutualTls => "mutual_tls",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known about a workload; empty where a fact is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadFacts {
    /// The workload's (deployment's) name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its identity, e.g. `spiffe://cluster.local/ns/default/sa/bookinfo-reviews`.
    pub principal: String,
    /// Its `app` label.
    pub app: String,
    /// Its `version` label.
    pub version: String,
    /// Its canonical service.
    pub canonical_service: String,
    /// Its canonical revision.
    pub canonical_revision: String,
    /// Its cluster.
    pub cluster: String,
}

/// A workload's facts with their digest, under which series are found; made once, when a peer becomes known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    facts: WorkloadFacts,
    digest: Digest,
}

impl Workload {
    /// Makes a workload of its facts.
    pub fn new(facts: WorkloadFacts) -> Self {
        Self { digest: Digest::of_value(&facts), facts }
    }

    /// The facts.
    pub fn facts(&self) -> &WorkloadFacts {
        &self.facts
    }

    /// Their digest.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}

/// A destination service with the digest of its names, made once per cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    host: String,
    name: String,
    namespace: String,
    digest: Digest,
}

impl Service {
    /// Makes a service of its host, e.g. `reviews.default.svc.cluster.local`, name and namespace.
    pub fn new(host: &str, name: &str, namespace: &str) -> Self {
        let digest = Digest::of_value(&(host, name, namespace));
        Self { host: host.into(), name: name.into(), namespace: namespace.into(), digest }
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The digest of all three.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}

/// A set of Envoy's response flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(u32);

impl Flags {
    /// Every short form Envoy has, in the order in which Envoy writes several.
    pub const NAMES: [&'static str; 30] = [
        "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
        "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
    ];

    /// This set and one more flag, by Envoy's short form; a name Envoy does not have changes nothing.
    #[must_use]
    pub fn with(self, short: &str) -> Self {
        match Self::NAMES.iter().position(|name| *name == short) {
            Some(bit) => Self(self.0 | 1 << bit),
            None => self,
        }
    }

    /// Whether no flag is raised.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The short forms, in Envoy's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_in_envoys_order_whatever_order_they_were_raised_in() {
        let flags = Flags::default().with("URX").with("UF").with("URX").with("no such flag");

        assert_eq!(flags.names().collect::<Vec<_>>(), ["UF", "URX"]);
    }

    #[test]
    fn equal_facts_have_equal_digests_and_others_do_not() {
        let facts = WorkloadFacts { name: "reviews-v1".into(), ..Default::default() };
        let other = WorkloadFacts { namespace: "reviews-v1".into(), ..Default::default() };

        assert_eq!(Workload::new(facts.clone()).digest(), Workload::new(facts.clone()).digest());
        assert_ne!(Workload::new(facts).digest(), Workload::new(other).digest());
    }
}
