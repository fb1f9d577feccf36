//! `defaultConfig.connectionSettings`: limits of clients' connections and requests.

use std::time::Duration;

use crate::read::At;
use crate::schema::{COUNT, DURATION_OR_ZERO, Field, Shape, ok, partly, warned};

/// Limits of clients' connections and requests; what is None is left to the proxy, and a time of zero is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionSettings {
    /// Whether gateways keep the limits that suit the edge of a mesh, where nothing else is said.
    pub is_edge: bool,
    /// The most bytes held back for one connection of a client.
    pub listener_per_connection_buffer_limit_bytes: Option<u32>,
    /// The most bytes held back for one connection to an endpoint.
    pub cluster_per_connection_buffer_limit_bytes: Option<u32>,
    /// How long a connection may be without a request.
    pub http_idle_timeout: Option<Duration>,
    /// How old a connection may become.
    pub http_max_connection_duration: Option<Duration>,
    /// How long a request and its response may take together.
    pub http_max_stream_duration: Option<Duration>,
    /// How long a request may be silent.
    pub http_stream_idle_timeout: Option<Duration>,
    /// How long a request may take to arrive whole.
    pub http_request_timeout: Option<Duration>,
    /// How long a request's head may take to arrive whole.
    pub http_request_headers_timeout: Option<Duration>,
    /// How long a connection that is wound up goes on taking requests.
    pub http_drain_timeout: Option<Duration>,
    /// The most streams at a time over one connection.
    pub http_max_concurrent_streams: Option<u32>,
    /// The window of a connection of HTTP/2.
    pub http2_initial_connection_window_size: Option<u32>,
    /// The window of a stream of HTTP/2.
    pub http2_initial_stream_window_size: Option<u32>,
    /// What becomes of headers with an underscore in their name.
    pub http_headers_with_underscores_action: Option<HeadersWithUnderscores>,
    /// What becomes of paths with escaped slashes; comes before the mesh's `pathNormalization`.
    pub http_path_with_escaped_slashes_action: Option<EscapedSlashes>,
    /// Whether slashes that follow each other are made one; comes before the mesh's `pathNormalization`.
    pub http_merge_slashes: Option<bool>,
}

/// What becomes of headers with an underscore in their name, which some programs take for a hyphen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadersWithUnderscores {
    /// They are as good as others.
    Allow,
    /// They are left out.
    DropHeader,
    /// The request is refused.
    RejectRequest,
}

/// What becomes of paths with escaped slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EscapedSlashes {
    /// They stay as they are.
    KeepUnchanged,
    /// The request is refused.
    RejectRequest,
    /// The slashes are slashes from here on.
    UnescapeAndForward,
    /// The client is sent to the path with the slashes.
    UnescapeAndRedirect,
}

impl ConnectionSettings {
    /// The settings of a gateway, where what the profile says takes the place of what is not said.
    pub fn of_gateway(mut self) -> Self {
        if !self.is_edge {
            return self;
        }
        const MINUTE: Duration = Duration::from_secs(60);
        self.listener_per_connection_buffer_limit_bytes.get_or_insert(32 << 10);
        self.cluster_per_connection_buffer_limit_bytes.get_or_insert(32 << 10);
        self.http_idle_timeout.get_or_insert(60 * MINUTE);
        self.http_stream_idle_timeout.get_or_insert(5 * MINUTE);
        self.http_request_timeout.get_or_insert(5 * MINUTE);
        self.http_request_headers_timeout.get_or_insert(MINUTE);
        self.http_max_concurrent_streams.get_or_insert(100);
        self.http2_initial_connection_window_size.get_or_insert(1 << 20);
        self.http2_initial_stream_window_size.get_or_insert(64 << 10);
        self.http_headers_with_underscores_action.get_or_insert(HeadersWithUnderscores::RejectRequest);
        self.http_path_with_escaped_slashes_action.get_or_insert(EscapedSlashes::UnescapeAndRedirect);
        self.http_merge_slashes.get_or_insert(true);
        self
    }
}

const SIZE: Shape = Shape::Int(65535, i32::MAX as i64);

const OWN_SIZE: &str = "by Envoy; the buffers of `weft-proxy` are of its own size";

pub(super) const FIELDS: &[Field] = &[
    ok("profile", Shape::Word(&["SIDECAR", "EDGE"])),
    partly("listenerPerConnectionBufferLimitBytes", COUNT, OWN_SIZE),
    partly("clusterPerConnectionBufferLimitBytes", COUNT, OWN_SIZE),
    ok("httpIdleTimeout", DURATION_OR_ZERO),
    ok("httpMaxConnectionDuration", DURATION_OR_ZERO),
    ok("httpMaxStreamDuration", DURATION_OR_ZERO),
    ok("httpStreamIdleTimeout", DURATION_OR_ZERO),
    ok("httpRequestTimeout", DURATION_OR_ZERO),
    ok("httpRequestHeadersTimeout", DURATION_OR_ZERO),
    partly(
        "httpDrainTimeout",
        DURATION_OR_ZERO,
        "by Envoy; `weft-proxy` takes no more requests once the client has been told",
    ),
    ok("httpMaxConcurrentStreams", Shape::Int(1, i32::MAX as i64)),
    ok("http2InitialConnectionWindowSize", SIZE),
    ok("http2InitialStreamWindowSize", SIZE),
    ok(
        "httpHeadersWithUnderscoresAction",
        Shape::Word(&[
            "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
            "HEADERS_WITH_UNDERSCORES_ALLOW",
            "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
            "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
        ]),
    ),
    ok(
        "httpPathWithEscapedSlashesAction",
        Shape::Word(&[
            "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
            "KEEP_UNCHANGED",
            "REJECT_REQUEST",
            "UNESCAPE_AND_REDIRECT",
            "UNESCAPE_AND_FORWARD",
        ]),
    ),
    ok("httpMergeSlashes", Shape::Bool),
    warned(
        "globalDownstreamConnectionLimit",
        COUNT,
        "a proxy takes as many connections as the system lets it",
    ),
];

/// Reads `connectionSettings`.
pub(super) fn read(at: &At<'_>) -> ConnectionSettings {
    ConnectionSettings {
        is_edge: at.text("profile") == Some("EDGE"),
        listener_per_connection_buffer_limit_bytes: at.whole("listenerPerConnectionBufferLimitBytes"),
        cluster_per_connection_buffer_limit_bytes: at.whole("clusterPerConnectionBufferLimitBytes"),
        http_idle_timeout: at.duration("httpIdleTimeout"),
        http_max_connection_duration: at.duration("httpMaxConnectionDuration"),
        http_max_stream_duration: at.duration("httpMaxStreamDuration"),
        http_stream_idle_timeout: at.duration("httpStreamIdleTimeout"),
        http_request_timeout: at.duration("httpRequestTimeout"),
        http_request_headers_timeout: at.duration("httpRequestHeadersTimeout"),
        http_drain_timeout: at.duration("httpDrainTimeout"),
        http_max_concurrent_streams: at.whole("httpMaxConcurrentStreams"),
        http2_initial_connection_window_size: at.whole("http2InitialConnectionWindowSize"),
        http2_initial_stream_window_size: at.whole("http2InitialStreamWindowSize"),
        http_headers_with_underscores_action: match at.text("httpHeadersWithUnderscoresAction") {
            Some("HEADERS_WITH_UNDERSCORES_ALLOW") => Some(HeadersWithUnderscores::Allow),
            Some("HEADERS_WITH_UNDERSCORES_DROP_HEADER") => Some(HeadersWithUnderscores::DropHeader),
            Some("HEADERS_WITH_UNDERSCORES_REJECT_REQUEST") => Some(HeadersWithUnderscores::RejectRequest),
            _ => None,
        },
        http_path_with_escaped_slashes_action: match at.text("httpPathWithEscapedSlashesAction") {
            Some("KEEP_UNCHANGED") => Some(EscapedSlashes::KeepUnchanged),
            Some("REJECT_REQUEST") => Some(EscapedSlashes::RejectRequest),
            Some("UNESCAPE_AND_FORWARD") => Some(EscapedSlashes::UnescapeAndForward),
            Some("UNESCAPE_AND_REDIRECT") => Some(EscapedSlashes::UnescapeAndRedirect),
            _ => None,
        },
        http_merge_slashes: at.bool("httpMergeSlashes"),
    }
}
