//! Actions of routes: forwarding by weight, redirects and direct responses.

use std::time::Duration;

use proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use proto::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use proto::envoy::config::route::v3::route::Action;
use proto::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy,
};
use proto::envoy::config::route::v3::weighted_cluster::{self, ClusterWeight};
use proto::envoy::config::route::v3::{DirectResponseAction, RedirectAction, RouteAction, WeightedCluster};
use proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

use api::virtual_service::{
    DirectResponse, HeaderOperations, HttpAction, Redirect, RedirectPath, RedirectPort, Retries,
    RouteDestination,
};
use mesh::Rule;

use crate::{balance, header, retry, wire};

/// Where requests go that no destination has a share in.
const NOWHERE: &str = "BlackHoleCluster";

pub(crate) fn action(rule: &Rule, default: Option<&Retries>) -> Action {
    match &rule.route().action {
        HttpAction::DirectResponse(response) => Action::DirectResponse(direct(response)),
        // A delegate that is nowhere to be found routes nothing.
        HttpAction::Delegate(_) | HttpAction::Forward(_) => Action::Route(forward(rule, default)),
        HttpAction::Redirect(to) => Action::Redirect(redirect(to, rule)),
    }
}

/// The header operations of the route, and of its destination where there is only one.
pub(crate) fn edits(rule: &Rule) -> Vec<&HeaderOperations> {
    let mut edits = vec![&rule.route().headers];
    if let [(destination, _)] = shares(rule)[..] {
        edits.push(&destination.headers);
    }
    edits
}

/// The destinations that get anything, with their clusters. A single one gets everything, whatever it weighs.
fn shares(rule: &Rule) -> Vec<(&RouteDestination, &String)> {
    let HttpAction::Forward(destinations) = &rule.route().action else { return Vec::new() };
    let is_only = destinations.len() == 1;
    destinations.iter().zip(&rule.clusters).filter(|(to, _)| is_only || to.weight > 0).collect()
}

#[allow(deprecated, reason = "istiod writes max_grpc_timeout, for a reason told there")]
fn forward(rule: &Rule, default: Option<&Retries>) -> RouteAction {
    let http = rule.route();
    let timeout = wire::duration(http.timeout.unwrap_or(Duration::ZERO));
    let mut out = RouteAction {
        cluster_specifier: Some(match shares(rule)[..] {
            [] => ClusterSpecifier::Cluster(NOWHERE.into()),
            [(_, cluster)] => ClusterSpecifier::Cluster(cluster.clone()),
            ref many => ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: many.iter().map(|(to, cluster)| weighted(to, cluster)).collect(),
                ..Default::default()
            }),
        }),
        timeout,
        // Not `max_stream_duration`, which has taken its place: beside it an Envoy does not look at `timeout` at all.
        max_grpc_timeout: timeout,
        retry_policy: retry::policy(http.retries.as_ref().or(default), !rule.hashes.is_empty()),
        hash_policy: rule.hashes.iter().map(balance::hash_policy).collect(),
        request_mirror_policies: mirrors(rule),
        ..Default::default()
    };
    // What the route says comes before what its destination does.
    let authority = edits(rule).into_iter().find_map(|edits| header::authority(&edits.request));
    let rewrite = http.rewrite.as_ref();
    if let Some(authority) = rewrite.and_then(|rewrite| rewrite.authority.as_deref()).or(authority) {
        out.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(authority.to_owned()));
    }
    if let Some(rewrite) = rewrite {
        match &rewrite.uri_regex {
            Some(regex) => {
                out.regex_rewrite = Some(RegexMatchAndSubstitute {
                    pattern: Some(wire::regex(&regex.pattern)),
                    substitution: regex.substitution.clone(),
                });
            }
            // Of an exact match the whole path is the prefix.
            None => out.prefix_rewrite = rewrite.uri.clone().unwrap_or_default(),
        }
    }
    out
}

fn weighted(to: &RouteDestination, cluster: &str) -> ClusterWeight {
    let mut out = ClusterWeight {
        name: cluster.to_owned(),
        weight: wire::u32(to.weight),
        host_rewrite_specifier: header::authority(&to.headers.request).map(|host| {
            weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(host.into())
        }),
        ..Default::default()
    };
    header::apply_weighted(&to.headers, &mut out);
    out
}

fn mirrors(rule: &Rule) -> Vec<RequestMirrorPolicy> {
    let mirrors = rule.route().mirrors.iter().zip(&rule.mirrors);
    mirrors
        .filter(|(mirror, _)| mirror.percentage > 0.0)
        .map(|(mirror, cluster)| RequestMirrorPolicy {
            cluster: cluster.clone(),
            runtime_fraction: wire::fraction(mirror.percentage),
            trace_sampled: wire::bool(false),
            ..Default::default()
        })
        .collect()
}

fn redirect(to: &Redirect, rule: &Rule) -> RedirectAction {
    let code = match to.code {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    let scheme = to.scheme.as_deref().unwrap_or(if rule.is_tls { "https" } else { "http" });
    let port = match to.port {
        None | Some(RedirectPort::FromProtocolDefault) => 0,
        Some(RedirectPort::FromRequestPort) => rule.port,
        Some(RedirectPort::Number(number)) => number,
    };
    RedirectAction {
        host_redirect: to.authority.clone().unwrap_or_default(),
        // A scheme's own port goes without saying.
        port_redirect: if matches!((scheme, port), ("http", 80) | ("https", 443)) { 0 } else { port.into() },
        response_code: code.into(),
        scheme_rewrite_specifier: to.scheme.clone().map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: to.path.as_ref().map(|path| match path {
            RedirectPath::Full(path) => PathRewriteSpecifier::PathRedirect(path.clone()),
            RedirectPath::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix.clone()),
        }),
        ..Default::default()
    }
}

fn direct(response: &DirectResponse) -> DirectResponseAction {
    DirectResponseAction {
        status: response.status.into(),
        body: (!response.body.is_empty()).then(|| DataSource {
            specifier: Some(Specifier::InlineBytes(response.body.clone())),
            ..Default::default()
        }),
        ..Default::default()
    }
}
