//! What HTTP a cluster's endpoints are spoken to with, from the options in the new place and in the old ones.

use std::time::Duration;

use http::HeaderName;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::core::v3::{Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions};
use proto::envoy::extensions::upstreams::http::v3 as wire;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;

use crate::http1::HeaderCase;
use crate::http2::Ping;
use crate::outlier::Errors;
use crate::read::{At, Within, Wrong, duration, limit, number, refuse};

/// The key under which a cluster says what HTTP it speaks.
pub(crate) const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Which HTTP endpoints are spoken to with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamHttp {
    /// The one the client speaks.
    AsDownstream,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, on plain connections by prior knowledge.
    Http2,
    /// The one that TLS negotiates: HTTP/2 where the endpoint takes it, else HTTP/1.1.
    Negotiated,
}

/// What TLS takes from the request that a connection is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoSni {
    /// Whether the server name is the request's host; then it takes the place of a fixed one.
    pub sends_host: bool,
    /// Whether the certificate must name that host.
    pub checks_host: bool,
    /// The header the host is read from instead.
    pub header: Option<HeaderName>,
}

/// How HTTP is spoken to a cluster's endpoints.
#[derive(Clone, Debug)]
pub(crate) struct HttpOptions {
    pub(crate) version: UpstreamHttp,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_duration: Option<Duration>,
    pub(crate) max_stream_duration: Option<Duration>,
    pub(crate) max_requests: Option<u32>,
    pub(crate) max_streams: Option<u32>,
    pub(crate) ping: Option<Ping>,
    pub(crate) auto_sni: AutoSni,
    pub(crate) header_case: HeaderCase,
    pub(crate) errors: Option<Errors>,
}

impl HttpOptions {
    #[allow(deprecated, reason = "old control planes still write the old spellings")]
    pub(crate) fn compile(message: &Cluster) -> Result<Self, Wrong> {
        let old_max = number(&message.max_requests_per_connection);
        let mut errors = None;
        let (common, version, (streams, ping), auto_sni, http1) =
            match message.typed_extension_protocol_options.get(HTTP_OPTIONS) {
                Some(any) => {
                    let path = "typed_extension_protocol_options";
                    let options: wire::HttpProtocolOptions = proto::any::unpack(any).at(path)?;
                    let (version, http2) = version(&options).within(path)?;
                    let auto_sni = auto_sni(&options).within(path)?;
                    let detection = options.outlier_detection.as_ref().map(Errors::compile);
                    errors = detection.transpose().within("outlier_detection").within(path)?;
                    let http1 = header_case(http1_options(&options)).within(path)?;
                    let http2 = (http2.and_then(streams), Ping::compile(http2).within(path)?);
                    (options.common_http_protocol_options, version, http2, auto_sni, http1)
                }
                None => {
                    let http2 = message.http2_protocol_options.as_ref();
                    let version = match (http2.is_some(), message.protocol_selection) {
                        (_, 1) => UpstreamHttp::AsDownstream,
                        (true, _) => UpstreamHttp::Http2,
                        (false, _) => UpstreamHttp::Http1,
                    };
                    let http2 = (http2.and_then(streams), Ping::compile(http2)?);
                    let http1 = header_case(message.http_protocol_options.as_ref())?;
                    (message.common_http_protocol_options, version, http2, AutoSni::default(), http1)
                }
            };
        let common = common.unwrap_or_default();
        let path = "common_http_protocol_options";
        let idle = duration(&common.idle_timeout, "idle_timeout").within(path)?;
        Ok(Self {
            version,
            idle_timeout: idle.or(Some(Duration::from_secs(3600))).filter(|idle| !idle.is_zero()),
            max_duration: limit(&common.max_connection_duration, "max_connection_duration").within(path)?,
            max_stream_duration: limit(&common.max_stream_duration, "max_stream_duration").within(path)?,
            max_requests: max_requests(&common).or(old_max).filter(|most| *most > 0),
            max_streams: streams,
            ping,
            auto_sni,
            header_case: http1,
            errors,
        })
    }
}

fn header_case(options: Option<&Http1ProtocolOptions>) -> Result<HeaderCase, Wrong> {
    HeaderCase::compile(options).within("http_protocol_options")
}

/// The options for HTTP/1, wherever the version chosen keeps them.
fn http1_options(options: &wire::HttpProtocolOptions) -> Option<&Http1ProtocolOptions> {
    match options.upstream_protocol_options.as_ref()? {
        UpstreamProtocolOptions::AutoConfig(config) => config.http_protocol_options.as_ref(),
        UpstreamProtocolOptions::ExplicitHttpConfig(explicit) => match explicit.protocol_config.as_ref()? {
            ProtocolConfig::HttpProtocolOptions(http1) => Some(http1),
            _ => None,
        },
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(config) => config.http_protocol_options.as_ref(),
    }
}

fn max_requests(common: &HttpProtocolOptions) -> Option<u32> {
    number(&common.max_requests_per_connection)
}

/// How many requests one HTTP/2 connection may carry at a time.
fn streams(options: &Http2ProtocolOptions) -> Option<u32> {
    number(&options.max_concurrent_streams)
}

fn auto_sni(options: &wire::HttpProtocolOptions) -> Result<AutoSni, Wrong> {
    let Some(upstream) = &options.upstream_http_protocol_options else { return Ok(AutoSni::default()) };
    let header = Some(upstream.override_auto_sni_header.as_str()).filter(|name| !name.is_empty());
    let header = header.map(|name| {
        let wrong = |_| {
            let path = "upstream_http_protocol_options.override_auto_sni_header";
            Wrong::new(path, format!("{name:?} is not a header name"))
        };
        HeaderName::try_from(name).map_err(wrong)
    });
    Ok(AutoSni {
        sends_host: upstream.auto_sni,
        checks_host: upstream.auto_san_validation,
        // The host is where it is looked for anyway.
        header: header.transpose()?.filter(|name| name != http::header::HOST),
    })
}

type Version<'o> = (UpstreamHttp, Option<&'o Http2ProtocolOptions>);

fn version(options: &wire::HttpProtocolOptions) -> Result<Version<'_>, Wrong> {
    refuse(!options.http_filters.is_empty(), "http_filters")?;
    refuse(options.retry_policy.is_some(), "retry_policy")?;
    refuse(!options.request_mirror_policies.is_empty(), "request_mirror_policies")?;
    match &options.upstream_protocol_options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => match &explicit.protocol_config {
            Some(ProtocolConfig::Http2ProtocolOptions(http2)) => Ok((UpstreamHttp::Http2, Some(http2))),
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                Err(Wrong::new("explicit_http_config.http3_protocol_options", "is not supported"))
            }
            Some(ProtocolConfig::HttpProtocolOptions(_)) | None => Ok((UpstreamHttp::Http1, None)),
        },
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(config)) => {
            refuse(
                config.http3_protocol_options.is_some(),
                "use_downstream_protocol_config.http3_protocol_options",
            )?;
            Ok((UpstreamHttp::AsDownstream, config.http2_protocol_options.as_ref()))
        }
        Some(UpstreamProtocolOptions::AutoConfig(config)) => {
            refuse(config.http3_protocol_options.is_some(), "auto_config.http3_protocol_options")?;
            Ok((UpstreamHttp::Negotiated, config.http2_protocol_options.as_ref()))
        }
        None => Err(Wrong::new("upstream_protocol_options", "is missing")),
    }
}
