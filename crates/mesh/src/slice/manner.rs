//! How listeners treat what comes, whoever it is for.

use std::time::Duration;

use api::mesh_config::{AccessLog, PathNormalization};

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
    /// Whether connections begin with a PROXY header.
    pub takes_proxy_protocol: bool,
    /// Whether HTTP/1.0 is taken.
    pub takes_http10: bool,
    /// The most bytes held back for one connection; None is left to the proxy.
    pub buffer_limit: Option<u32>,
    /// The most streams at a time over one connection of HTTP/2; None is left to the proxy.
    pub max_streams: Option<u32>,
    /// The window of a connection of HTTP/2; None is left to the proxy.
    pub connection_window: Option<u32>,
    /// The window of a stream of HTTP/2; None is left to the proxy.
    pub stream_window: Option<u32>,
}
