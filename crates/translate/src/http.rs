//! HTTP connection managers: what is done with requests on the way to and from their route.

use std::time::Duration;

use proto::Any;
use proto::envoy::config::core::v3 as core;
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

use api::mesh_config::PathNormalization;
use mesh::{Http, Manner, RouteSource, Side};

use crate::{access_log, cluster, connect, route, session, wire};

pub(crate) fn manager(http: &Http, side: Side, manner: &Manner) -> HttpConnectionManager {
    let request_id =
        UuidRequestIdConfig { use_request_id_for_trace_sampling: wire::bool(true), pack_trace_reason: None };
    HttpConnectionManager {
        stat_prefix: format!("{};", http.stat_prefix),
        route_specifier: Some(match &http.routes {
            RouteSource::Dynamic(name) => RouteSpecifier::Rds(envoy::Rds {
                config_source: wire::ads(),
                route_config_name: name.clone(),
            }),
            RouteSource::Inline(routes) => RouteSpecifier::RouteConfig(route::configuration(routes)),
        }),
        http_filters: filters(http),
        access_log: access_log::of(&manner.log),
        // Istio names itself to clients of a workload or a gateway; a workload's own client sees Envoy's name.
        server_name: if side == Side::Outbound { String::new() } else { "istio-envoy".into() },
        use_remote_address: wire::bool(side == Side::Gateway),
        generate_request_id: wire::bool(true),
        request_id_extension: Some(RequestIdExtension { typed_config: Some(proto::any::pack(&request_id)) }),
        stream_idle_timeout: wire::duration(Duration::ZERO),
        normalize_path: wire::bool(manner.path_normalization != PathNormalization::None),
        merge_slashes: matches!(
            manner.path_normalization,
            PathNormalization::DecodeAndMergeSlashes | PathNormalization::MergeSlashes
        ),
        path_with_escaped_slashes_action: match manner.path_normalization {
            PathNormalization::DecodeAndMergeSlashes => PathWithEscapedSlashesAction::UnescapeAndForward,
            _ => PathWithEscapedSlashesAction::KeepUnchanged,
        }
        .into(),
        xff_num_trusted_hops: manner.trusted_proxies,
        http_protocol_options: manner
            .takes_http10
            .then(|| core::Http1ProtocolOptions { accept_http_10: true, ..Default::default() }),
        http2_protocol_options: http2(manner),
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

/// Limits of HTTP/2; None where all is left to the proxy.
fn http2(manner: &Manner) -> Option<core::Http2ProtocolOptions> {
    let options = core::Http2ProtocolOptions {
        max_concurrent_streams: manner.max_streams.and_then(wire::u32),
        initial_connection_window_size: manner.connection_window.and_then(wire::u32),
        initial_stream_window_size: manner.stream_window.and_then(wire::u32),
        ..Default::default()
    };
    (options != core::Http2ProtocolOptions::default()).then_some(options)
}

/// The filters of every manager, outermost first. A fault must look like the application's own, so it comes
/// after whatever observes; the router takes the request away, so it is last.
fn filters(http: &Http) -> Vec<HttpFilter> {
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
                cluster::dns_cache(),
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
