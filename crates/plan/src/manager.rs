//! The HTTP side of a filter chain: what is done with each request before and beside routing.

use std::sync::Arc;
use std::time::Duration;

use filter::Registry;
use http::{HeaderMap, HeaderName, HeaderValue};
use proto::envoy::config::core::v3::HttpProtocolOptions;
use proto::envoy::extensions::filters::network::http_connection_manager::v3 as wire;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    RouteSpecifier, StripPortMode,
};
use proto::google::protobuf::UInt32Value;

use crate::access_log::{AccessLog, access_logs};
use crate::filter_list::FilterList;
use crate::http1::HeaderCase;
use crate::http2::Ping;
use crate::path::PathRules;
use crate::read::{At, Within, Wrong, duration, each, flag, limit, named, number, refuse};
use crate::routes::Routes;
use crate::sieve::{Range, range};
use crate::table::RouteTable;

/// How the HTTP of one filter chain is spoken and routed.
#[derive(Debug)]
pub struct HttpManager {
    /// The prefix of its counters.
    pub stat_prefix: Arc<str>,
    /// Where its routes are.
    pub routes: RouteSource,
    /// Its HTTP filters.
    pub filters: Arc<FilterList>,
    /// Which versions of HTTP a client may speak.
    pub codec: Codec,
    /// Whether HTTP/1.0 is answered instead of refused with 426.
    pub accepts_http_10: bool,
    /// How the names of headers are written to a client that speaks HTTP/1.
    pub header_case: HeaderCase,
    /// How many requests one HTTP/2 connection may carry at a time; none for as many as are usual.
    pub max_streams: Option<u32>,
    /// How many bytes one stream of HTTP/2 may have under way towards the proxy; none for as many as are usual.
    pub stream_window: Option<u32>,
    /// The same of a whole connection.
    pub connection_window: Option<u32>,
    /// How an HTTP/2 connection is found out to be dead; none for not at all.
    pub ping: Option<Ping>,
    /// What becomes of the `server` header.
    pub server: ServerHeader,
    /// Whether the client's address is the connection's, and `x-forwarded-*` from it are not believed.
    pub use_remote_address: bool,
    /// Which addresses are inside: requests from them may carry headers of the mesh's own. None unless said.
    pub inside: Vec<Range>,
    /// How many trusted proxies stand in front.
    pub trusted_hops: u32,
    /// Whether `x-forwarded-for` is left as it is.
    pub skip_xff_append: bool,
    /// Whether the port a request arrived at is told in `x-forwarded-port`.
    pub append_x_forwarded_port: bool,
    /// Whether a request gets an id where it has none.
    pub generate_request_id: bool,
    /// Whether an id that comes from outside is kept.
    pub preserve_external_request_id: bool,
    /// Whether the id is told in the response.
    pub request_id_in_response: bool,
    /// What is done to a path before routing.
    pub path: PathRules,
    /// What is done to the port in a request's authority before routing.
    pub strip_port: StripPort,
    /// Whether a trailing dot of the authority is taken away.
    pub strip_trailing_dot: bool,
    /// Ends a request that was silent this long.
    pub stream_idle_timeout: Option<Duration>,
    /// Ends a request that has not arrived whole after this time.
    pub request_timeout: Option<Duration>,
    /// Ends a request whose head has not arrived whole after this time.
    pub head_timeout: Option<Duration>,
    /// Closes a connection without a request after this time.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection that is this old.
    pub max_connection_duration: Option<Duration>,
    /// Ends a request and its response that take longer.
    pub max_stream_duration: Option<Duration>,
    /// How long a client may take to close after it was answered before it had said all; none for no time.
    pub delayed_close: Option<Duration>,
    /// How many requests a connection may carry.
    pub max_requests_per_connection: Option<u32>,
    /// How many bytes a request's head may have.
    pub max_head_bytes: u32,
    /// How many headers a request may have.
    pub max_headers: u32,
    /// What becomes of a request's headers with an underscore in their name.
    pub underscores: Underscores,
    /// The protocols, in lower case, a connection may be upgraded to; `connect` for the method.
    pub upgrades: Vec<Box<str>>,
    /// Where requests are logged.
    pub access_log: Vec<AccessLog>,
    /// What is done with the header that names a client's certificate.
    pub client_certificate: ClientCertificate,
    /// What is told of a client's certificate there.
    pub certificate_details: CertificateDetails,
    /// How `100-continue` is treated: passed on to the upstream instead of answered.
    pub passes_100_continue: bool,
    /// The name put into `via`.
    pub via: Option<HeaderValue>,
    /// The share of requests that begin a trace, in percent; none without tracing.
    pub trace_sampling: Option<f64>,
}

/// Where routes are.
#[derive(Clone, Debug)]
pub enum RouteSource {
    /// In the listener itself.
    Inline(Arc<Routes>),
    /// In a RouteConfiguration of this name.
    Named(Arc<str>),
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As the first bytes say.
    Auto,
    /// HTTP/1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// What becomes of a response's `server` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHeader {
    /// It is this unless the upstream set one.
    AppendIfAbsent(HeaderValue),
    /// It is always this.
    Overwrite(HeaderValue),
    /// It stays as it is, or absent.
    PassThrough,
}

/// What becomes of headers with an underscore in their name, which some programs take for a hyphen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They are as good as others.
    #[default]
    Allow,
    /// They are left out.
    Drop,
    /// The request is refused.
    Reject,
}

impl Underscores {
    /// Does it to the headers of a request; whether the request may go on.
    pub fn admit(self, headers: &mut HeaderMap) -> bool {
        let has_one = |name: &HeaderName| name.as_str().contains('_');
        if self == Self::Allow || !headers.keys().any(has_one) {
            return true;
        }
        let found: Vec<HeaderName> = headers.keys().filter(|name| has_one(name)).cloned().collect();
        found.iter().for_each(|name| drop(headers.remove(name)));
        self == Self::Drop
    }

    fn compile(common: &HttpProtocolOptions) -> Result<Self, Wrong> {
        match common.headers_with_underscores_action {
            0 => Ok(Self::Allow),
            1 => Ok(Self::Reject),
            2 => Ok(Self::Drop),
            other => {
                let path = "common_http_protocol_options.headers_with_underscores_action";
                Err(Wrong::new(path, format!("{other} is not known")))
            }
        }
    }
}

/// What is done to the port in an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripPort {
    /// It is always taken away.
    Any,
    /// It is taken away where it is the listener's.
    Matching,
    /// Nothing.
    Never,
}

impl StripPort {
    fn compile(message: &wire::HttpConnectionManager) -> Self {
        match (&message.strip_port_mode, message.strip_matching_host_port) {
            (Some(StripPortMode::StripAnyHostPort(true)), _) => Self::Any,
            (_, true) => Self::Matching,
            (_, false) => Self::Never,
        }
    }
}

/// What is done with `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Always passed on.
    AlwaysForwardOnly,
    /// Passed on with the client's appended, over mutual TLS.
    AppendForward,
    /// Passed on over mutual TLS.
    ForwardOnly,
    /// Taken away.
    Sanitize,
    /// Replaced by the client's, over mutual TLS.
    SanitizeSet,
}

/// What is told of a client's certificate beside its hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateDetails {
    /// The certificate itself.
    pub cert: bool,
    /// The certificates that came with it.
    pub chain: bool,
    /// Its host names.
    pub dns: bool,
    /// Its subject.
    pub subject: bool,
    /// Its URIs.
    pub uri: bool,
}

impl CertificateDetails {
    fn compile(message: &wire::HttpConnectionManager) -> Self {
        let details = message.set_current_client_cert_details.unwrap_or_default();
        Self {
            cert: details.cert,
            chain: details.chain,
            dns: details.dns,
            subject: flag(&details.subject, false),
            uri: details.uri,
        }
    }
}

impl HttpManager {
    pub(crate) fn compile(message: &wire::HttpConnectionManager, registry: &Registry) -> Result<Self, Wrong> {
        refuse_fields(message)?;
        let common = message.common_http_protocol_options.unwrap_or_default();
        let http1 = message.http_protocol_options.as_ref();
        let http2 = message.http2_protocol_options.as_ref();
        let filters = Arc::new(FilterList::compile(&message.http_filters, registry)?);
        Ok(Self {
            stat_prefix: message.stat_prefix.as_str().into(),
            routes: route_source(message, &filters, registry)?,
            filters,
            codec: match message.codec_type {
                0 => Codec::Auto,
                1 => Codec::Http1,
                2 => Codec::Http2,
                _ => return Err(Wrong::new("codec_type", "only AUTO, HTTP1 and HTTP2 are supported")),
            },
            accepts_http_10: http1.is_some_and(|http1| http1.accept_http_10),
            header_case: HeaderCase::compile(http1).within("http_protocol_options")?,
            max_streams: http2.and_then(|http2| number(&http2.max_concurrent_streams)),
            stream_window: window(http2.map(|http2| &http2.initial_stream_window_size))?,
            connection_window: window(http2.map(|http2| &http2.initial_connection_window_size))?,
            ping: Ping::compile(http2)?,
            server: server_header(message)?,
            use_remote_address: flag(&message.use_remote_address, false),
            inside: match &message.internal_address_config {
                Some(inside) => each(&inside.cidr_ranges, "internal_address_config.cidr_ranges", range)?,
                None => Vec::new(),
            },
            trusted_hops: message.xff_num_trusted_hops,
            skip_xff_append: message.skip_xff_append,
            append_x_forwarded_port: message.append_x_forwarded_port,
            generate_request_id: flag(&message.generate_request_id, true),
            preserve_external_request_id: message.preserve_external_request_id,
            request_id_in_response: message.always_set_request_id_in_response,
            path: PathRules::compile(message)?,
            strip_port: StripPort::compile(message),
            strip_trailing_dot: message.strip_trailing_host_dot,
            stream_idle_timeout: or(duration(&message.stream_idle_timeout, "stream_idle_timeout")?, 300),
            request_timeout: limit(&message.request_timeout, "request_timeout")?,
            head_timeout: limit(&message.request_headers_timeout, "request_headers_timeout")?,
            idle_timeout: or(idle_timeout(&common)?, 3600),
            max_connection_duration: limit(
                &common.max_connection_duration,
                "common_http_protocol_options.max_connection_duration",
            )?,
            max_stream_duration: limit(
                &common.max_stream_duration,
                "common_http_protocol_options.max_stream_duration",
            )?,
            delayed_close: or(duration(&message.delayed_close_timeout, "delayed_close_timeout")?, 1),
            max_requests_per_connection: number(&common.max_requests_per_connection).filter(|n| *n > 0),
            max_head_bytes: number(&message.max_request_headers_kb).unwrap_or(60).saturating_mul(1024),
            max_headers: number(&common.max_headers_count).unwrap_or(100),
            underscores: Underscores::compile(&common)?,
            upgrades: upgrades(message)?,
            access_log: access_logs(&message.access_log)?,
            client_certificate: match message.forward_client_cert_details {
                1 => ClientCertificate::ForwardOnly,
                2 => ClientCertificate::AppendForward,
                3 => ClientCertificate::SanitizeSet,
                4 => ClientCertificate::AlwaysForwardOnly,
                _ => ClientCertificate::Sanitize,
            },
            certificate_details: CertificateDetails::compile(message),
            passes_100_continue: message.proxy_100_continue,
            via: Some(message.via.as_str())
                .filter(|v| !v.is_empty())
                .map(|v| header_value(v, "via"))
                .transpose()?,
            trace_sampling: message.tracing.as_ref().map(|tracing| {
                let percent =
                    |p: &Option<proto::envoy::r#type::v3::Percent>| p.as_ref().map_or(100.0, |p| p.value);
                percent(&tracing.random_sampling).min(percent(&tracing.overall_sampling))
            }),
        })
    }
}

/// What would change what a request is, who may send it, or what is answered.
fn refuse_fields(message: &wire::HttpConnectionManager) -> Result<(), Wrong> {
    refuse(message.local_reply_config.is_some(), "local_reply_config")?;
    refuse(!message.original_ip_detection_extensions.is_empty(), "original_ip_detection_extensions")?;
    refuse(!message.early_header_mutation_extensions.is_empty(), "early_header_mutation_extensions")?;
    refuse(message.path_normalization_options.is_some(), "path_normalization_options")?;
    refuse(message.typed_header_validation_config.is_some(), "typed_header_validation_config")?;
    refuse(message.forward_client_cert_matcher.is_some(), "forward_client_cert_matcher")?;
    refuse(message.scheme_header_transformation.is_some(), "scheme_header_transformation")?;
    refuse(flag(&message.add_user_agent, false), "add_user_agent")
}

fn route_source(
    message: &wire::HttpConnectionManager,
    filters: &FilterList,
    registry: &Registry,
) -> Result<RouteSource, Wrong> {
    match &message.route_specifier {
        Some(RouteSpecifier::Rds(rds)) => {
            Ok(RouteSource::Named(named(&rds.route_config_name, "rds.route_config_name")?))
        }
        Some(RouteSpecifier::RouteConfig(config)) => {
            let table = Arc::new(RouteTable::compile(config).within("route_config")?);
            Ok(RouteSource::Inline(Arc::new(Routes::bind(filters, table, registry).at("route_config")?)))
        }
        Some(RouteSpecifier::ScopedRoutes(_)) => Err(Wrong::new("scoped_routes", "is not supported")),
        None => Err(Wrong::new("route_specifier", "is missing")),
    }
}

fn server_header(message: &wire::HttpConnectionManager) -> Result<ServerHeader, Wrong> {
    let name = if message.server_name.is_empty() { "envoy" } else { &message.server_name };
    let name = header_value(name, "server_name")?;
    match message.server_header_transformation {
        0 => Ok(ServerHeader::Overwrite(name)),
        1 => Ok(ServerHeader::AppendIfAbsent(name)),
        2 => Ok(ServerHeader::PassThrough),
        other => Err(Wrong::new("server_header_transformation", format!("{other} is not known"))),
    }
}

fn header_value(text: &str, path: &str) -> Result<HeaderValue, Wrong> {
    HeaderValue::from_str(text).map_err(|_| Wrong::new(path, format!("{text:?} is not a header value")))
}

fn idle_timeout(common: &HttpProtocolOptions) -> Result<Option<Duration>, Wrong> {
    duration(&common.idle_timeout, "common_http_protocol_options.idle_timeout")
}

/// An absent limit is the default, a limit of zero is none.
fn or(set: Option<Duration>, default: u64) -> Option<Duration> {
    set.or(Some(Duration::from_secs(default))).filter(|limit| !limit.is_zero())
}

/// The size of a window of HTTP/2, within what the protocol and Envoy allow.
fn window(size: Option<&Option<UInt32Value>>) -> Result<Option<u32>, Wrong> {
    match size.and_then(number) {
        Some(size) if !(65_535..=0x7fff_ffff).contains(&size) => {
            Err(Wrong::new("http2_protocol_options", format!("a window of {size} bytes is not allowed")))
        }
        size => Ok(size),
    }
}

fn upgrades(message: &wire::HttpConnectionManager) -> Result<Vec<Box<str>>, Wrong> {
    let all = each(&message.upgrade_configs, "upgrade_configs", |upgrade| {
        refuse(!upgrade.filters.is_empty(), "filters")?;
        let kind = named(&upgrade.upgrade_type, "upgrade_type")?.to_ascii_lowercase();
        refuse(kind == "connect-udp", "upgrade_type")?;
        Ok(flag(&upgrade.enabled, true).then(|| kind.into_boxed_str()))
    })?;
    Ok(all.into_iter().flatten().collect())
}
