//! Route configurations: virtual hosts and their routes.

use std::time::Duration;

use proto::envoy::config::route::v3 as envoy;
use proto::envoy::config::route::v3::route::Action;
use proto::envoy::config::route::v3::route_action::{ClusterSpecifier, MaxStreamDuration};
use proto::envoy::config::route::v3::route_match::PathSpecifier;
use proto::envoy::config::route::v3::virtual_host::TlsRequirementType;
use proto::envoy::config::route::v3::{
    Decorator, DirectResponseAction, RetryPolicy, RouteAction, RouteConfiguration, RouteMatch,
};

use api::virtual_service::StringMatch;
use base::Origin;
use mesh::{Route, RouteSlice, Rule, Side, VirtualHost};

use crate::{action, balance, condition, connect, cors, fault, header, origin, retry, session, wire};

/// The longest body of a direct response.
const MAX_DIRECT_BODY: u32 = 1 << 20;

pub(crate) fn configuration(slice: &RouteSlice) -> RouteConfiguration {
    RouteConfiguration {
        name: slice.name.clone(),
        virtual_hosts: slice.virtual_hosts.iter().map(|host| virtual_host(host, slice)).collect(),
        // A route may come before its cluster; a request in between gets 503.
        validate_clusters: wire::bool(false),
        ignore_port_in_host_matching: slice.ignores_port,
        max_direct_response_body_size_bytes: match slice.side {
            Side::Inbound => None,
            Side::Gateway | Side::Outbound => wire::u32(MAX_DIRECT_BODY),
        },
        ..Default::default()
    }
}

fn virtual_host(host: &VirtualHost, slice: &RouteSlice) -> envoy::VirtualHost {
    let mut out = envoy::VirtualHost {
        name: host.name.clone(),
        domains: host.domains.clone(),
        routes: host.routes.iter().map(|each| route(each, slice)).collect(),
        require_tls: if host.redirects { TlsRequirementType::All.into() } else { 0 },
        include_request_attempt_count: slice.side != Side::Inbound,
        ..Default::default()
    };
    if let Some(session) = &host.session {
        out.typed_per_filter_config.insert(session::FILTER.into(), session::config(session));
    }
    out
}

fn route(route: &Route, slice: &RouteSlice) -> envoy::Route {
    match route {
        Route::Block => answer("block_all", 502),
        Route::Connect { tcp, origin } => connect::route(tcp.as_ref(), origin.as_ref()),
        Route::Default { name, cluster, operation, hash, origin } => {
            let retries = match (slice.side, &slice.retries) {
                (Side::Inbound, None) => Some(retry::before_the_workload()),
                (Side::Inbound, written) => retry::policy(written.as_ref(), false),
                // An undeclared destination is nobody's to call twice.
                (Side::Gateway | Side::Outbound, _) if operation.is_empty() => None,
                (Side::Gateway | Side::Outbound, written) => retry::policy(written.as_ref(), hash.is_some()),
            };
            let mut out = default(name, cluster, (slice.side, retries), operation, origin.as_ref());
            if let Some(Action::Route(action)) = &mut out.action {
                action.hash_policy = hash.iter().map(balance::hash_policy).collect();
            }
            out
        }
        Route::Misdirected => answer("misdirected", 421),
        Route::Rule(rule) => of_rule(rule, slice),
    }
}

/// Answers everything with a status.
fn answer(name: &str, status: u32) -> envoy::Route {
    envoy::Route {
        name: name.into(),
        r#match: Some(everything()),
        action: Some(Action::DirectResponse(DirectResponseAction { status, ..Default::default() })),
        ..Default::default()
    }
}

fn default(
    name: &str,
    cluster: &str,
    (side, retry_policy): (Side, Option<RetryPolicy>),
    operation: &str,
    origin: Option<&Origin>,
) -> envoy::Route {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        timeout: wire::duration(Duration::ZERO),
        max_stream_duration: Some(MaxStreamDuration {
            max_stream_duration: (side == Side::Inbound).then(|| wire::duration(Duration::ZERO)).flatten(),
            grpc_timeout_header_max: wire::duration(Duration::ZERO),
            ..Default::default()
        }),
        retry_policy,
        ..Default::default()
    };
    envoy::Route {
        name: name.to_owned(),
        r#match: Some(everything()),
        metadata: origin::metadata(origin),
        decorator: decorator(operation.to_owned()),
        action: Some(Action::Route(action)),
        ..Default::default()
    }
}

fn of_rule(rule: &Rule, slice: &RouteSlice) -> envoy::Route {
    let http = rule.route();
    let condition = rule.condition();
    let mut out = envoy::Route {
        name: match condition.map(|condition| condition.name.as_str()) {
            Some(name) if !name.is_empty() => format!("{}.{name}", http.name),
            _ => http.name.clone(),
        },
        r#match: Some(condition.map_or_else(everything, condition::route_match)),
        stat_prefix: condition.and_then(|condition| condition.stat_prefix.clone()).unwrap_or_default(),
        metadata: origin::delegated(&rule.origin(), rule.root()),
        decorator: decorator(format!("{}{}", rule.operation, path_of(rule))),
        ..Default::default()
    };
    let edits = action::edits(rule);
    header::apply(&edits, &mut out);
    out.action = Some(action::action(rule, slice.retries.as_ref()));
    if let Some(config) = fault::config(&http.fault) {
        out.typed_per_filter_config.insert(fault::FILTER.into(), config);
    }
    if let Some(session) = &rule.session {
        out.typed_per_filter_config.insert(session::FILTER.into(), session::config(session));
    }
    if let Some(policy) = &http.cors {
        out.typed_per_filter_config.insert(cors::FILTER.into(), cors::config(policy));
    }
    out
}

/// The path as the name of an operation has it.
fn path_of(rule: &Rule) -> String {
    match rule.condition().and_then(|condition| condition.uri.as_ref()) {
        None => "/*".into(),
        Some(StringMatch::Exact(path) | StringMatch::Regex(path)) => path.clone(),
        Some(StringMatch::Prefix(prefix)) => format!("{prefix}*"),
    }
}

fn everything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() }
}

fn decorator(operation: String) -> Option<Decorator> {
    (!operation.is_empty()).then(|| Decorator { operation, ..Default::default() })
}
