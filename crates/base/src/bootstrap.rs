//! What a proxy is started with: who it is, where its control plane is, and its own addresses.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What `weft-proxy` is started with; `weft bootstrap` writes it, `weft bootstrap --envoy` says the same to an Envoy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Istio's node id.
    pub id: String,
    /// Envoy's node cluster, `APP.NAMESPACE`.
    pub cluster: String,
    /// Istio's node metadata (`LABELS`, `NAMESPACE`, `INTERCEPTION_MODE` …).
    #[serde(default)]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The control plane's ADS.
    pub discovery: Discovery,
    /// Admin (15000); loopback only.
    pub admin: SocketAddr,
    /// Readiness, `/healthz/ready` (15021).
    pub readiness: SocketAddr,
    /// `/stats/prometheus` (15090).
    pub metrics: SocketAddr,
    /// The access log; standard output where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<PathBuf>,
    /// Worker threads; one per core where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// The name servers it asks; the system's where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<SocketAddr>,
}

/// Where a control plane serves ADS as plaintext gRPC, written `ADDRESS:PORT` or `unix:PATH`.
///
/// Keys of certificates are served on a Unix socket only: who may open it is decided by its directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Discovery {
    /// An address on the network (15010).
    Tcp(SocketAddr),
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

impl Discovery {
    /// The socket's path, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Discovery::Tcp(_) => None,
            Discovery::Unix(path) => Some(path),
        }
    }
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Discovery::Tcp(address) => address.fmt(f),
            Discovery::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Discovery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            // `unix:///run/x` is what URLs of sockets look like elsewhere.
            Some(path) => match path.strip_prefix("//").unwrap_or(path) {
                path if Path::new(path).is_absolute() => Ok(Discovery::Unix(path.into())),
                path => Err(format!("{path:?} is not the absolute path of a Unix socket")),
            },
            None => text
                .parse()
                .map(Discovery::Tcp)
                .map_err(|_| format!("{text:?} is neither ADDRESS:PORT nor unix:PATH")),
        }
    }
}

impl TryFrom<String> for Discovery {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Discovery> for String {
    fn from(discovery: Discovery) -> String {
        discovery.to_string()
    }
}

impl From<SocketAddr> for Discovery {
    fn from(address: SocketAddr) -> Self {
        Discovery::Tcp(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_address_survive_their_text() {
        for text in ["127.77.0.1:15010", "[::1]:15010", "unix:/mesh/.weft/ads.sock"] {
            let discovery: Discovery = text.parse().expect("invariant: the address is well formed");

            assert_eq!(discovery.to_string(), text);
        }
        assert_eq!("unix:///mesh/ads.sock".parse(), Ok(Discovery::Unix("/mesh/ads.sock".into())));
    }

    #[test]
    fn a_relative_path_a_name_and_a_bare_port_are_refused() {
        for text in ["unix:ads.sock", "unix:", "istiod:15010", "15010", ""] {
            assert!(text.parse::<Discovery>().is_err(), "{text:?}");
        }
    }
}
