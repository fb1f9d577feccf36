//! What a route sends on: to which clusters, with which head, how long, how often.

use std::net::{Ipv4Addr, SocketAddr};

use filter::{Exchange, Facts, Moment, Peer};
use http::HeaderMap;
use plan::{
    ClusterKind, Forward, HashSource, HeaderScope, HostNames, Plan, Request, Retry, RouteMatch, Targets,
    WeightedCluster,
};

use crate::{Call, Changes, Copied, Decision, Retries, Share};

/// Tells what a forwarding route does with a request.
pub(super) fn forward(
    action: &Forward,
    found: &RouteMatch<'_>,
    parts: &http::request::Parts,
    call: &Call,
    decision: &mut Decision,
) {
    let sent = |share: Share, target: Option<&WeightedCluster>| {
        Sending { action, found, target, cluster: &share.cluster }.send(parts, call, share.clone())
    };
    decision.clusters = match &action.targets {
        Targets::Header(name) => {
            let cluster = parts.headers.get(name).and_then(|value| value.to_str().ok());
            let share = |cluster: &str| Share { cluster: cluster.into(), percent: 100.0, ..Share::default() };
            cluster.map(|cluster| sent(share(cluster), None)).into_iter().collect()
        }
        Targets::Weighted(all) => {
            let shares = percentages(all.iter().map(|target| (&*target.cluster, target.weight)));
            let targets = all.iter().filter(|target| target.weight > 0);
            shares.into_iter().zip(targets).map(|(share, target)| sent(share, Some(target))).collect()
        }
    };
    decision.timeout = action.limit(parts);
    decision.retries = action.retry.as_ref().filter(|retry| retry.concerns(parts)).map(retries);
    decision.mirrors = action
        .mirrors
        .iter()
        .map(|mirror| Copied { cluster: mirror.cluster.to_string(), percent: mirror.share.ratio() * 100.0 })
        .collect();
    decision.hash = action.hash.iter().map(|policy| hash(&policy.source)).collect();
}

/// Says of each share what the plan knows about its cluster.
pub(super) fn settle(plan: &Plan, call: &Call, shares: &mut [Share]) {
    for share in shares {
        match plan.cluster(&share.cluster) {
            None => share.is_missing = true,
            Some(cluster) => {
                share.is_secured = cluster.spec().sockets.all().any(|socket| socket.tls.is_some());
                if let ClusterKind::OriginalDst(original) = &cluster.spec().kind {
                    share.destination =
                        Some(SocketAddr::new(call.address, original.port.unwrap_or(call.port)));
                }
            }
        }
    }
}

/// What the route adds to an answer the proxy makes itself.
pub(super) fn added_to_reply(
    found: &RouteMatch<'_>,
    parts: &http::request::Parts,
    call: &Call,
) -> Vec<(String, String)> {
    let mut exchange = answered(parts, call);
    for operations in &found.route.response_headers {
        operations.apply_to_response(
            &mut exchange,
            HeaderScope { route: &found.route.name, is_reply: true, ..HeaderScope::default() },
        );
    }
    changes(&HeaderMap::new(), &exchange.response.map(|head| head.headers).unwrap_or_default()).set
}

/// Weights as parts of a hundred; what weighs nothing takes nothing.
pub(super) fn percentages<'a>(weights: impl Iterator<Item = (&'a str, u32)> + Clone) -> Vec<Share> {
    let total: f64 = weights.clone().map(|(_, weight)| f64::from(weight)).sum();
    weights
        .filter(|(_, weight)| *weight > 0)
        .map(|(cluster, weight)| Share {
            cluster: cluster.to_owned(),
            percent: f64::from(weight) * 100.0 / total,
            ..Share::default()
        })
        .collect()
}

/// The facts of a simulated exchange, whose random numbers come from a seed.
pub(super) fn facts(call: &Call, seed: u64) -> Facts {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Facts::new(
        Moment::default(),
        Peer { remote: peer.into(), local: SocketAddr::new(call.address, call.port).into() },
        seed,
    )
}

/// A request on its way to one of a route's clusters.
struct Sending<'a> {
    action: &'a Forward,
    found: &'a RouteMatch<'a>,
    target: Option<&'a WeightedCluster>,
    cluster: &'a str,
}

impl Sending<'_> {
    /// Does to its head, and to an empty answer, what the proxy does.
    fn send(&self, parts: &http::request::Parts, call: &Call, share: Share) -> Share {
        let route = self.found.route;
        let scope = HeaderScope { route: &route.name, cluster: self.cluster, ..HeaderScope::default() };
        let mut exchange = answered(parts, call);
        let own = self.target.and_then(|target| target.request_headers.as_ref());
        for operations in own.into_iter().chain(&route.request_headers) {
            operations.apply_to_request(&mut exchange, scope);
        }
        let request_headers = changes(&parts.headers, &exchange.request.headers);
        let matched = route.conditions.matched(parts.uri.path());
        let weighted = self.target.and_then(|target| target.host.as_ref());
        self.action.rewrite.apply(&mut exchange, matched, HostNames { weighted, upstream: None }, false);
        let own = self.target.and_then(|target| target.response_headers.as_ref());
        for operations in own.into_iter().chain(&route.response_headers) {
            operations.apply_to_response(&mut exchange, scope);
        }
        let takes_endpoints_name = weighted.is_none() && self.action.rewrite.takes_host_of_upstream();
        let authority = Request::new(&exchange.request, 0).authority().to_owned();
        let path = exchange.request.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Share {
            authority: Some(authority).filter(|_| !takes_endpoints_name),
            path: Some(path),
            request_headers,
            response_headers: exchange
                .response
                .map(|head| changes(&HeaderMap::new(), &head.headers))
                .unwrap_or_default(),
            ..share
        }
    }
}

/// The request with an empty answer beside it.
fn answered(parts: &http::request::Parts, call: &Call) -> Exchange {
    let (response, ()) = http::Response::new(()).into_parts();
    Exchange { request: parts.clone(), response: Some(response), facts: facts(call, 0) }
}

/// What makes one set of headers of another.
fn changes(before: &HeaderMap, after: &HeaderMap) -> Changes {
    let values = |headers: &HeaderMap, name: &http::HeaderName| -> Vec<String> {
        let all = headers.get_all(name).iter();
        all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let set = after.keys().filter(|name| values(before, name) != values(after, name));
    Changes {
        set: set.map(|name| (name.to_string(), values(after, name).join(", "))).collect(),
        removed: before.keys().filter(|name| !after.contains_key(*name)).map(ToString::to_string).collect(),
    }
}

fn retries(retry: &Retry) -> Retries {
    Retries {
        attempts: retry.retries,
        on: retry.on.names().collect(),
        statuses: retry.statuses.iter().map(|status| status.as_u16()).collect(),
        per_try_timeout: retry.per_try_timeout,
        back_off: retry.base_interval,
    }
}

fn hash(source: &HashSource) -> String {
    match source {
        HashSource::Cookie { name, ttl: Some(ttl), path, .. } => {
            let path = Some(path).filter(|path| !path.is_empty());
            let path = path.map(|path| format!(" for {path}")).unwrap_or_default();
            format!("cookie {name}{path}, made where it is missing (ttl {})", base::duration::render(*ttl))
        }
        HashSource::Cookie { name, .. } => format!("cookie {name}"),
        HashSource::Header(name) => format!("header {name}"),
        HashSource::Query(name) => format!("query parameter {name}"),
        HashSource::SourceIp => "the client's address".to_owned(),
    }
}
