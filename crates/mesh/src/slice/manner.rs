//! How listeners treat what comes, whoever it is for.

use std::time::Duration;

use api::mesh_config::{AccessLog, ConnectionSettings, PathNormalization};

use crate::slice::DnsFamily;

/// How a listener treats connections and requests, whoever they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Manner {
    /// What is written of them.
    pub log: AccessLog,
    /// How long is waited for a client's first bytes where they are looked at; None is for ever.
    pub detection_timeout: Option<Duration>,
    /// How a request's path is made plain.
    pub path_normalization: PathNormalization,
    /// How many proxies the client's address is believed from.
    pub trusted_proxies: u32,
    /// Which addresses are wanted of names that are resolved as they are asked for.
    pub dns_family: DnsFamily,
    /// Whether connections begin with a PROXY header.
    pub takes_proxy_protocol: bool,
    /// Whether HTTP/1.0 is taken.
    pub takes_http10: bool,
    /// The limits of connections and requests.
    pub connections: ConnectionSettings,
}
