//! HTTP connection managers: what is done with requests on the way to and from their route.

use std::time::Duration;

use proto::Any;
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use proto::envoy::extensions::filters::http::cors::v3::Cors;
use proto::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as forward;
use proto::envoy::extensions::filters::http::fault::v3::HttpFault;
use proto::envoy::extensions::filters::http::grpc_stats::v3 as grpc_stats;
use proto::envoy::extensions::filters::http::router::v3::Router;
use proto::envoy::extensions::filters::network::http_connection_manager::v3 as envoy;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, SetCurrentClientCertDetails,
    UpgradeConfig,
};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, RequestIdExtension,
};
use proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;

use api::mesh_config::{ConnectionSettings, EscapedSlashes, HeadersWithUnderscores, PathNormalization};
use mesh::{Http, Manner, RouteSource, Side};

use crate::{access_log, cluster, connect, route, session, wire};

pub(crate) fn manager(http: &Http, side: Side, manner: &Manner) -> HttpConnectionManager {
    let request_id =
        UuidRequestIdConfig { use_request_id_for_trace_sampling: wire::bool(true), pack_trace_reason: None };
    let connections = &manner.connections;
    HttpConnectionManager {
        stat_prefix: format!("{};", http.stat_prefix),
        route_specifier: Some(match &http.routes {
            RouteSource::Dynamic(name) => RouteSpecifier::Rds(envoy::Rds {
                config_source: wire::ads(),
                route_config_name: name.clone(),
            }),
            RouteSource::Inline(routes) => RouteSpecifier::RouteConfig(route::configuration(routes)),
        }),
        http_filters: filters(http, manner),
        access_log: access_log::of(&manner.log),
        // Istio names itself to clients of a workload or a gateway; a workload's own client sees Envoy's name.
        server_name: if side == Side::Outbound { String::new() } else { "istio-envoy".into() },
        use_remote_address: wire::bool(side == Side::Gateway),
        generate_request_id: wire::bool(true),
        request_id_extension: Some(RequestIdExtension { typed_config: Some(proto::any::pack(&request_id)) }),
        common_http_protocol_options: common(connections),
        stream_idle_timeout: wire::duration(connections.http_stream_idle_timeout.unwrap_or(Duration::ZERO)),
        request_timeout: connections.http_request_timeout.and_then(wire::duration),
        request_headers_timeout: connections.http_request_headers_timeout.and_then(wire::duration),
        drain_timeout: connections.http_drain_timeout.and_then(wire::duration),
        normalize_path: wire::bool(manner.path_normalization != PathNormalization::None),
        merge_slashes: merges_slashes(manner),
        path_with_escaped_slashes_action: escaped_slashes(manner).into(),
        xff_num_trusted_hops: manner.trusted_proxies,
        http_protocol_options: manner
            .takes_http10
            .then(|| core::Http1ProtocolOptions { accept_http_10: true, ..Default::default() }),
        http2_protocol_options: http2(connections),
        proxy_100_continue: true,
        forward_client_cert_details: match side {
            Side::Gateway => ForwardClientCertDetails::SanitizeSet,
            Side::Inbound => ForwardClientCertDetails::AppendForward,
            Side::Outbound => ForwardClientCertDetails::Sanitize,
        }
        .into(),
        set_current_client_cert_details: (side != Side::Outbound).then(|| SetCurrentClientCertDetails {
            subject: wire::bool(true),
            cert: side == Side::Gateway,
            dns: true,
            uri: true,
            ..Default::default()
        }),
        upgrade_configs: upgrades(http),
        ..Default::default()
    }
}

/// What a connection may turn into.
fn upgrades(http: &Http) -> Vec<UpgradeConfig> {
    let kinds = ["websocket"].into_iter().chain(http.takes_tunnels.then_some(connect::UPGRADE));
    kinds.map(|kind| UpgradeConfig { upgrade_type: kind.into(), ..Default::default() }).collect()
}

/// Limits of whatever HTTP is spoken; None where all is left to the proxy.
fn common(connections: &ConnectionSettings) -> Option<core::HttpProtocolOptions> {
    let underscores = match connections.http_headers_with_underscores_action {
        None | Some(HeadersWithUnderscores::Allow) => HeadersWithUnderscoresAction::Allow,
        Some(HeadersWithUnderscores::DropHeader) => HeadersWithUnderscoresAction::DropHeader,
        Some(HeadersWithUnderscores::RejectRequest) => HeadersWithUnderscoresAction::RejectRequest,
    };
    let options = core::HttpProtocolOptions {
        idle_timeout: connections.http_idle_timeout.and_then(wire::duration),
        max_connection_duration: connections.http_max_connection_duration.and_then(wire::duration),
        max_stream_duration: connections.http_max_stream_duration.and_then(wire::duration),
        headers_with_underscores_action: underscores.into(),
        ..Default::default()
    };
    (options != core::HttpProtocolOptions::default()).then_some(options)
}

/// Limits of HTTP/2; None where all is left to the proxy.
fn http2(connections: &ConnectionSettings) -> Option<core::Http2ProtocolOptions> {
    let options = core::Http2ProtocolOptions {
        max_concurrent_streams: connections.http_max_concurrent_streams.and_then(wire::u32),
        initial_connection_window_size: connections.http2_initial_connection_window_size.and_then(wire::u32),
        initial_stream_window_size: connections.http2_initial_stream_window_size.and_then(wire::u32),
        ..Default::default()
    };
    (options != core::Http2ProtocolOptions::default()).then_some(options)
}

/// Whether slashes that follow each other are made one: as the proxy's own settings say, else the mesh's.
fn merges_slashes(manner: &Manner) -> bool {
    manner.connections.http_merge_slashes.unwrap_or(matches!(
        manner.path_normalization,
        PathNormalization::DecodeAndMergeSlashes | PathNormalization::MergeSlashes
    ))
}

/// What becomes of escaped slashes: as the proxy's own settings say, else the mesh's.
fn escaped_slashes(manner: &Manner) -> PathWithEscapedSlashesAction {
    use PathWithEscapedSlashesAction as Action;
    match manner.connections.http_path_with_escaped_slashes_action {
        Some(EscapedSlashes::KeepUnchanged) => Action::KeepUnchanged,
        Some(EscapedSlashes::RejectRequest) => Action::RejectRequest,
        Some(EscapedSlashes::UnescapeAndForward) => Action::UnescapeAndForward,
        Some(EscapedSlashes::UnescapeAndRedirect) => Action::UnescapeAndRedirect,
        None if manner.path_normalization == PathNormalization::DecodeAndMergeSlashes => {
            Action::UnescapeAndForward
        }
        None => Action::KeepUnchanged,
    }
}

/// The filters of every manager, outermost first. A fault must look like the application's own, so it comes
/// after whatever observes; the router takes the request away, so it is last.
fn filters(http: &Http, manner: &Manner) -> Vec<HttpFilter> {
    let mut filters = vec![
        filter(
            "envoy.filters.http.grpc_stats",
            proto::any::pack(&grpc_stats::FilterConfig {
                emit_filter_state: true,
                per_method_stat_specifier: Some(
                    grpc_stats::filter_config::PerMethodStatSpecifier::StatsForAllMethods(Default::default()),
                ),
                ..Default::default()
            }),
        ),
        filter("envoy.filters.http.fault", proto::any::pack(&HttpFault::default())),
        filter("envoy.filters.http.cors", proto::any::pack(&Cors::default())),
    ];
    if http.keeps_sessions {
        filters.push(filter(session::FILTER, session::off()));
    }
    if http.forwards_by_dns {
        let config = forward::FilterConfig {
            implementation_specifier: Some(forward::filter_config::ImplementationSpecifier::DnsCacheConfig(
                cluster::dns_cache(manner.dns_family),
            )),
            ..Default::default()
        };
        filters.push(filter("envoy.filters.http.dynamic_forward_proxy", proto::any::pack(&config)));
    }
    filters.push(filter("envoy.filters.http.router", proto::any::pack(&Router::default())));
    filters
}

fn filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter { name: name.into(), config_type: Some(ConfigType::TypedConfig(config)), ..Default::default() }
}
