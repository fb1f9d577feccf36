//! `connectionPool`: how many connections and requests there may be, and how long they live.

use std::time::Duration;

use crate::read::At;
use crate::schema::{COUNT, DURATION, DURATION_OR_ZERO, Field, Shape, U32, ok, warned_unless};

/// Limits of connections to a host; what is None is not limited, or left to the mesh's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionPool {
    /// Of connections.
    pub tcp: TcpPool,
    /// Of requests.
    pub http: HttpPool,
}

/// Limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpPool {
    /// The most connections at a time.
    pub max_connections: Option<u32>,
    /// The longest a connect may take.
    pub connect_timeout: Option<Duration>,
    /// Probes of idle connections.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// The longest a connection may live.
    pub max_connection_duration: Option<Duration>,
    /// The longest a connection may be idle; zero is for ever.
    pub idle_timeout: Option<Duration>,
}

/// Probes of idle connections; what is None is left to the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpKeepalive {
    /// How many go unanswered before the connection is dead.
    pub probes: Option<u32>,
    /// How long a connection is idle before the first.
    pub time: Option<Duration>,
    /// How long from one to the next.
    pub interval: Option<Duration>,
}

/// Limits of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HttpPool {
    /// The most requests that wait for a connection.
    pub http1_max_pending_requests: Option<u32>,
    /// The most requests at a time.
    pub http2_max_requests: Option<u32>,
    /// The most requests over one connection; 1 is no keep-alive.
    pub max_requests_per_connection: Option<u32>,
    /// The most retries at a time.
    pub max_retries: Option<u32>,
    /// The longest a connection may be without a request; zero is for ever.
    pub idle_timeout: Option<Duration>,
    /// Whether HTTP/1.1 becomes HTTP/2 on the way.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// Whether the server is spoken to as the client spoke.
    pub uses_client_protocol: bool,
    /// The most streams at a time over one connection.
    pub max_concurrent_streams: Option<u32>,
    /// Pings over idle HTTP/2 connections.
    pub http2_keepalive: Option<Http2Keepalive>,
}

/// Whether HTTP/1.1 becomes HTTP/2 on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum H2UpgradePolicy {
    /// As the mesh has it.
    #[default]
    Default,
    /// It does not.
    DoNotUpgrade,
    /// It does.
    Upgrade,
}

/// Pings over idle HTTP/2 connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Http2Keepalive {
    /// How long from one to the next.
    pub interval: Duration,
    /// The longest an answer may take.
    pub timeout: Duration,
}

pub(crate) const FIELDS: &[Field] = &[ok("tcp", Shape::Object(TCP)), ok("http", Shape::Object(HTTP))];

/// Of connections to a proxy's own workload.
pub(crate) const INBOUND_FIELDS: &[Field] =
    &[ok("tcp", Shape::Object(TCP)), ok("http", Shape::Object(INBOUND_HTTP))];

const TCP: &[Field] = &[
    ok("maxConnections", COUNT),
    ok("connectTimeout", DURATION),
    ok("tcpKeepalive", Shape::Object(KEEPALIVE)),
    ok("maxConnectionDuration", DURATION),
    ok("idleTimeout", DURATION_OR_ZERO),
];

pub(crate) const KEEPALIVE: &[Field] = &[ok("probes", U32), ok("time", DURATION), ok("interval", DURATION)];

/// The limits of requests, with what becomes of `h2UpgradePolicy`.
macro_rules! http {
    ($upgrade:expr) => {
        &[
            ok("http1MaxPendingRequests", COUNT),
            ok("http2MaxRequests", COUNT),
            ok("maxRequestsPerConnection", COUNT),
            ok("maxRetries", COUNT),
            ok("idleTimeout", DURATION_OR_ZERO),
            $upgrade,
            ok("useClientProtocol", Shape::Bool),
            ok("maxConcurrentStreams", COUNT),
            ok("http2KeepAlive", Shape::Object(&[ok("interval", DURATION), ok("timeout", DURATION)])),
        ]
    };
}

const HTTP: &[Field] = http!(ok("h2UpgradePolicy", H2_UPGRADE));

const INBOUND_HTTP: &[Field] =
    http!(warned_unless("h2UpgradePolicy", H2_UPGRADE, &["DEFAULT", "DO_NOT_UPGRADE"], AS_ITS_PORT_SAYS));

const AS_ITS_PORT_SAYS: &str = "a workload is spoken to as its port says";

pub(crate) const H2_UPGRADE: Shape = Shape::Word(&["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]);

/// Reads `connectionPool`.
pub(crate) fn read(at: &At<'_>) -> ConnectionPool {
    if at.field("tcp").is_none() && at.field("http").is_none() {
        at.error("missing-field", "a connection pool needs `tcp` or `http`");
    }
    ConnectionPool {
        tcp: at.field("tcp").map(|field| tcp(&field)).unwrap_or_default(),
        http: at.field("http").map(|field| http(&field)).unwrap_or_default(),
    }
}

fn tcp(at: &At<'_>) -> TcpPool {
    if at.node.entries().iter().all(|entry| entry.node.is_null()) {
        at.error("missing-field", "limits of connections that say nothing are a mistake; take them away");
    }
    TcpPool {
        max_connections: at.positive("maxConnections"),
        connect_timeout: at.duration("connectTimeout"),
        tcp_keepalive: at.field("tcpKeepalive").map(|field| keepalive(&field)),
        max_connection_duration: at.duration("maxConnectionDuration"),
        idle_timeout: at.duration("idleTimeout"),
    }
}

/// Reads `tcpKeepalive`.
pub(crate) fn keepalive(at: &At<'_>) -> TcpKeepalive {
    TcpKeepalive {
        probes: at.positive("probes"),
        time: at.duration("time"),
        interval: at.duration("interval"),
    }
}

fn http(at: &At<'_>) -> HttpPool {
    let h2_upgrade_policy = h2_upgrade(at);
    let uses_client_protocol = at.bool("useClientProtocol").unwrap_or(false);
    if h2_upgrade_policy == H2UpgradePolicy::Upgrade && uses_client_protocol {
        at.error("conflict", "`useClientProtocol` cannot stand beside `h2UpgradePolicy: UPGRADE`");
    }
    HttpPool {
        http1_max_pending_requests: at.positive("http1MaxPendingRequests"),
        http2_max_requests: at.positive("http2MaxRequests"),
        max_requests_per_connection: at.positive("maxRequestsPerConnection"),
        max_retries: at.positive("maxRetries"),
        idle_timeout: at.duration("idleTimeout"),
        h2_upgrade_policy,
        uses_client_protocol,
        max_concurrent_streams: at.positive("maxConcurrentStreams"),
        http2_keepalive: at.field("http2KeepAlive").and_then(|field| http2_keepalive(&field)),
    }
}

/// Reads `h2UpgradePolicy`.
pub(crate) fn h2_upgrade(at: &At<'_>) -> H2UpgradePolicy {
    match at.text("h2UpgradePolicy") {
        Some("DO_NOT_UPGRADE") => H2UpgradePolicy::DoNotUpgrade,
        Some("UPGRADE") => H2UpgradePolicy::Upgrade,
        _ => H2UpgradePolicy::Default,
    }
}

fn http2_keepalive(at: &At<'_>) -> Option<Http2Keepalive> {
    for field in ["interval", "timeout"] {
        if at.field(field).is_none() {
            at.missing(field, "keep-alive needs both `interval` and `timeout`");
        }
    }
    Some(Http2Keepalive { interval: at.duration("interval")?, timeout: at.duration("timeout")? })
}
