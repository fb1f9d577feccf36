//! A route: what becomes of the requests it takes.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::Origin;
use bytes::Bytes;
use filter::{Peer, Share};
use http::{HeaderName, HeaderValue, StatusCode};
use proto::Any;
use proto::envoy::config::core::v3::data_source::Specifier;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::config::route::v3::route_action::ClusterSpecifier;

use crate::cors::add_cors;
use crate::hash::{HashPolicy, Hashed, hash, hash_policies};
use crate::headers::{HeaderOps, header_ops};
use crate::matcher::{Conditions, is_grpc};
use crate::read::{
    At, Within, Wrong, config, duration, each, flag, limit, named, number, origin, refuse, required, status,
};
use crate::retry::Retry;
use crate::rewrite::{Redirect, Rewrite, host_literal};
use crate::transport::ProxyHeader;

/// What requests it takes, and what becomes of them.
#[derive(Debug)]
pub struct Route {
    /// Its name; empty where the control plane gave none.
    pub name: Arc<str>,
    /// What requests it takes.
    pub conditions: Conditions,
    /// What becomes of them.
    pub action: Action,
    /// Changes to the request's headers: the route's, its virtual host's, the configuration's, as they apply.
    pub request_headers: Vec<Arc<HeaderOps>>,
    /// Changes to the response's headers, in the same order.
    pub response_headers: Vec<Arc<HeaderOps>>,
    /// The name of the operation in traces.
    pub decorator: Option<Arc<str>>,
    /// The object that decided it.
    pub origin: Option<Origin>,
    /// The object's path in the API, as `istio.config` gives it.
    pub config: Option<Arc<str>>,
    pub(crate) filters: HashMap<String, Any>,
    pub(crate) slot: usize,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Action {
    /// It is forwarded.
    Forward(Box<Forward>),
    /// The client is sent elsewhere.
    Redirect(Box<Redirect>),
    /// It is answered at once.
    Reply(DirectReply),
}

/// An answer that needs no upstream.
#[derive(Clone, Debug)]
pub struct DirectReply {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// How a request is forwarded.
#[derive(Debug)]
pub struct Forward {
    /// The clusters it may go to.
    pub targets: Targets,
    /// The answer where the cluster does not exist.
    pub no_cluster: StatusCode,
    /// How long request and response may take together; none for as long as they need.
    pub timeout: Option<Duration>,
    /// How long the stream may be silent; none where the HTTP manager decides, zero for ever.
    pub idle_timeout: Option<Duration>,
    /// How long the stream may last at most, from the new kind of timeouts.
    pub max_duration: Option<Duration>,
    /// How far a gRPC call's own `grpc-timeout` is followed.
    pub grpc_timeout: GrpcTimeout,
    tells_grpc: bool,
    overrules: Overrules,
    /// When it is sent again.
    pub retry: Option<Retry>,
    /// New path and host.
    pub rewrite: Rewrite,
    /// Clusters that get a copy, whose answers nobody waits for.
    pub mirrors: Vec<Mirror>,
    /// What a consistent hash is made from.
    pub hash: Vec<HashPolicy>,
    /// What may (or may not) be upgraded to here, other than the manager says.
    pub upgrades: Vec<Upgrade>,
}

/// A protocol that a request may ask to go on in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Its name in lower case; `connect` for the method.
    pub kind: Box<str>,
    /// Whether it is granted.
    pub enabled: bool,
    /// Of `connect`: whether the tunnel ends here and its bytes go to the cluster as they are, instead of the
    /// request's being passed on.
    pub terminates: bool,
    /// Of such a tunnel: the PROXY header that goes first.
    pub proxy_header: Option<ProxyHeader>,
}

impl Upgrade {
    fn compile(message: &wire::route_action::UpgradeConfig) -> Result<Self, Wrong> {
        let kind = named(&message.upgrade_type, "upgrade_type")?.to_ascii_lowercase().into_boxed_str();
        refuse(&*kind == "connect-udp", "upgrade_type")?;
        let connect = message.connect_config.as_ref();
        if connect.is_some() && &*kind != "connect" {
            return Err(Wrong::new("connect_config", "is for CONNECT only"));
        }
        refuse(connect.is_some_and(|connect| connect.allow_post), "connect_config.allow_post")?;
        let header = connect.and_then(|connect| connect.proxy_protocol_config.as_ref());
        let header = header.map(|header| ProxyHeader::compile(Some(header)));
        Ok(Self {
            kind,
            enabled: flag(&message.enabled, true),
            terminates: connect.is_some(),
            proxy_header: header.transpose().within("connect_config.proxy_protocol_config")?,
        })
    }
}

/// How far a gRPC call's own `grpc-timeout` is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcTimeout {
    /// Not at all.
    Ignored,
    /// Up to this; none for however far.
    UpTo(Option<Duration>),
}

/// For which requests a route itself says how long their streams may last, whatever the HTTP manager says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overrules {
    All,
    /// Those that say it themselves.
    Grpc,
    None,
}

impl Overrules {
    fn compile(message: &wire::RouteAction) -> Self {
        match &message.max_stream_duration {
            Some(max) if max.max_stream_duration.is_some() => Self::All,
            Some(max) if max.grpc_timeout_header_max.is_some() => Self::Grpc,
            _ => Self::None,
        }
    }
}

/// The clusters a request may go to.
#[derive(Debug)]
pub enum Targets {
    /// The one this header names.
    Header(HeaderName),
    /// One of these, by weight; at least one weight is not zero.
    Weighted(Vec<WeightedCluster>),
}

/// A cluster with its share of the requests.
#[derive(Debug)]
pub struct WeightedCluster {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// Its share beside the others.
    pub weight: u32,
    /// Changes to the request's headers.
    pub request_headers: Option<Arc<HeaderOps>>,
    /// Changes to the response's headers.
    pub response_headers: Option<Arc<HeaderOps>>,
    /// The host the request gets.
    pub host: Option<HeaderValue>,
    pub(crate) filters: HashMap<String, Any>,
    pub(crate) slot: Option<usize>,
}

/// A cluster that gets a copy of the request.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The share of the requests that are copied.
    pub share: Share,
    /// Whether `-shadow` is appended to the copy's host.
    pub marks_host: bool,
}

/// The levels around a route, from which it inherits.
pub(crate) struct Around<'a> {
    pub(crate) retry: Option<&'a wire::RetryPolicy>,
    pub(crate) mirrors: &'a [wire::route_action::RequestMirrorPolicy],
    pub(crate) request_headers: &'a [Arc<HeaderOps>],
    pub(crate) response_headers: &'a [Arc<HeaderOps>],
    /// Whether the levels apply from the outermost in, so that the most specific has the last word.
    pub(crate) specific_last: bool,
    pub(crate) max_body: usize,
}

impl Route {
    pub(crate) fn compile(
        message: &wire::Route,
        around: &Around<'_>,
        slots: &mut usize,
    ) -> Result<Self, Wrong> {
        refuse(!message.route_specifiers.is_empty(), "route_specifiers")?;
        let mut filters = message.typed_per_filter_config.clone();
        let action = match &message.action {
            Some(wire::route::Action::Route(action)) => {
                add_cors(&mut filters, deprecated_cors(action));
                Action::Forward(Box::new(Forward::compile(action, around, slots).within("route")?))
            }
            Some(wire::route::Action::Redirect(redirect)) => {
                Action::Redirect(Box::new(Redirect::compile(redirect).within("redirect")?))
            }
            Some(wire::route::Action::DirectResponse(reply)) => {
                Action::Reply(DirectReply::compile(reply, around.max_body).within("direct_response")?)
            }
            Some(wire::route::Action::FilterAction(_)) => {
                return Err(Wrong::new("filter_action", "is not supported"));
            }
            Some(wire::route::Action::NonForwardingAction(_)) => {
                return Err(Wrong::new("non_forwarding_action", "is not supported"));
            }
            None => return Err(Wrong::new("action", "is missing")),
        };
        let (request, response) = header_ops!(message);
        let slot = *slots;
        *slots += 1;
        Ok(Self {
            name: message.name.as_str().into(),
            conditions: Conditions::compile(required(&message.r#match, "match")?).within("match")?,
            action,
            request_headers: around.levels(request, around.request_headers),
            response_headers: around.levels(response, around.response_headers),
            decorator: message.decorator.as_ref().map(|d| d.operation.as_str().into()),
            origin: origin(&message.metadata),
            config: config(&message.metadata),
            filters,
            slot,
        })
    }

    /// The clusters requests may be forwarded to, with their weights; empty where none are, or a header names it.
    pub fn clusters(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        let weighted = match &self.action {
            Action::Forward(forward) => match &forward.targets {
                Targets::Weighted(weighted) => weighted.as_slice(),
                Targets::Header(_) => &[],
            },
            Action::Redirect(_) | Action::Reply(_) => &[],
        };
        weighted.iter().map(|target| (&target.cluster, target.weight))
    }
}

impl Around<'_> {
    fn levels(&self, own: Option<HeaderOps>, outer: &[Arc<HeaderOps>]) -> Vec<Arc<HeaderOps>> {
        let own = own.map(Arc::new).into_iter();
        match self.specific_last {
            true => outer.iter().rev().cloned().chain(own).collect(),
            false => own.chain(outer.iter().cloned()).collect(),
        }
    }
}

#[allow(deprecated, reason = "old control planes still write the old spelling")]
fn deprecated_cors(action: &wire::RouteAction) -> Option<&wire::CorsPolicy> {
    action.cors.as_ref()
}

impl DirectReply {
    fn compile(message: &wire::DirectResponseAction, max: usize) -> Result<Self, Wrong> {
        refuse(message.body_format.is_some(), "body_format")?;
        let body = match message.body.as_ref().and_then(|body| body.specifier.as_ref()) {
            None => Bytes::new(),
            Some(Specifier::InlineString(text)) => Bytes::copy_from_slice(text.as_bytes()),
            Some(Specifier::InlineBytes(bytes)) => Bytes::copy_from_slice(bytes),
            Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) => {
                return Err(Wrong::new("body", "must stand in the configuration itself"));
            }
        };
        if body.len() > max {
            return Err(Wrong::new("body", format!("has {} bytes, {max} are allowed", body.len())));
        }
        Ok(Self { status: status(message.status, "status")?, body })
    }
}

impl Forward {
    fn compile(message: &wire::RouteAction, around: &Around<'_>, slots: &mut usize) -> Result<Self, Wrong> {
        refuse_fields(message)?;
        let retry = match message.retry_policy.as_ref().or(around.retry) {
            Some(policy) => Some(Retry::compile(policy).within("retry_policy")?),
            None => None,
        };
        let mirrors = if message.request_mirror_policies.is_empty() {
            around.mirrors
        } else {
            &message.request_mirror_policies
        };
        let (max_duration, grpc_timeout) = durations(message)?;
        Ok(Self {
            targets: Targets::compile(message, slots)?,
            no_cluster: match message.cluster_not_found_response_code {
                1 => StatusCode::NOT_FOUND,
                2 => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            // Like Envoy: where the new kind of timeouts is used at all, the old one is not looked at.
            timeout: match duration(&message.timeout, "timeout")? {
                _ if message.max_stream_duration.is_some() => None,
                None => Some(Duration::from_secs(15)),
                Some(timeout) => Some(timeout).filter(|t| !t.is_zero()),
            },
            idle_timeout: duration(&message.idle_timeout, "idle_timeout")?,
            max_duration,
            grpc_timeout,
            // Of the new kind of timeouts they are not told.
            tells_grpc: message.max_stream_duration.is_none() && grpc_timeout != GrpcTimeout::Ignored,
            overrules: Overrules::compile(message),
            retry: retry.filter(|retry| retry.retries > 0 && retry.on != Default::default()),
            rewrite: Rewrite::compile(message)?,
            mirrors: each(mirrors, "request_mirror_policies", Mirror::compile)?,
            hash: hash_policies(&message.hash_policy)?,
            upgrades: upgrades(message)?,
        })
    }

    /// How long this request and its response may take together; a gRPC call may set it itself.
    pub fn limit(&self, request: &http::request::Parts) -> Option<Duration> {
        match self.grpc_timeout {
            GrpcTimeout::UpTo(most) if is_grpc(request) => {
                let own =
                    request.headers.get("grpc-timeout").and_then(|value| grpc_timeout(value.as_bytes()));
                own.into_iter().chain(most).min().or(self.max_duration)
            }
            _ => self.timeout.into_iter().chain(self.max_duration).min(),
        }
    }

    /// Whether upstreams of gRPC calls are told how long they have.
    pub fn tells_grpc_timeout(&self) -> bool {
        self.tells_grpc
    }

    /// Whether a request's stream may last as long as the HTTP manager says, since the route says nothing of it.
    pub fn leaves_duration_to_manager(&self, request: &http::request::Parts) -> bool {
        match self.overrules {
            Overrules::All => false,
            Overrules::Grpc => !request.headers.contains_key("grpc-timeout"),
            Overrules::None => true,
        }
    }

    /// What a route itself says of an upgrade to a protocol.
    pub fn upgrade(&self, protocol: &str) -> Option<&Upgrade> {
        self.upgrades.iter().find(|upgrade| upgrade.kind.eq_ignore_ascii_case(protocol))
    }

    /// Whether a connection may be upgraded to a protocol, where the HTTP manager says `otherwise`.
    pub fn may_upgrade(&self, protocol: &str, otherwise: bool) -> bool {
        self.upgrade(protocol).map_or(otherwise, |upgrade| upgrade.enabled)
    }

    /// The hash of a request, by which a cluster may choose its endpoint.
    pub fn hashed(&self, request: &http::request::Parts, peer: &Peer) -> Hashed {
        hash(&self.hash, request, peer)
    }
}

fn upgrades(message: &wire::RouteAction) -> Result<Vec<Upgrade>, Wrong> {
    let upgrades = each(&message.upgrade_configs, "upgrade_configs", Upgrade::compile)?;
    for (i, upgrade) in upgrades.iter().enumerate() {
        if upgrades.iter().take(i).any(|before| before.kind == upgrade.kind) {
            return Err(Wrong::new(format!("upgrade_configs[{i}]"), format!("{} comes twice", upgrade.kind)));
        }
    }
    Ok(upgrades)
}

/// What would send a request elsewhere, or answer it otherwise, than was asked.
#[allow(deprecated, reason = "old control planes still write the old spellings")]
fn refuse_fields(message: &wire::RouteAction) -> Result<(), Wrong> {
    refuse(message.internal_redirect_action != 0, "internal_redirect_action")?;
    refuse(message.priority != 0, "priority")?;
    refuse(message.grpc_timeout_offset.is_some(), "grpc_timeout_offset")?;
    refuse(message.metadata_match.is_some(), "metadata_match")?;
    refuse(message.retry_policy_typed_config.is_some(), "retry_policy_typed_config")?;
    refuse(message.internal_redirect_policy.is_some(), "internal_redirect_policy")?;
    refuse(message.hedge_policy.is_some(), "hedge_policy")
}

#[allow(deprecated, reason = "old control planes still write the old spelling")]
fn durations(message: &wire::RouteAction) -> Result<(Option<Duration>, GrpcTimeout), Wrong> {
    let nothing = |d: &Duration| !d.is_zero();
    match &message.max_stream_duration {
        Some(max) => {
            refuse(
                max.grpc_timeout_header_offset.is_some(),
                "max_stream_duration.grpc_timeout_header_offset",
            )?;
            let header =
                duration(&max.grpc_timeout_header_max, "max_stream_duration.grpc_timeout_header_max")?;
            let grpc =
                header.map_or(GrpcTimeout::Ignored, |most| GrpcTimeout::UpTo(Some(most).filter(nothing)));
            Ok((limit(&max.max_stream_duration, "max_stream_duration.max_stream_duration")?, grpc))
        }
        None => {
            let most = duration(&message.max_grpc_timeout, "max_grpc_timeout")?;
            let grpc =
                most.map_or(GrpcTimeout::Ignored, |most| GrpcTimeout::UpTo(Some(most).filter(nothing)));
            Ok((None, grpc))
        }
    }
}

/// `5S`, `100m`: a number of up to eight digits and a unit.
fn grpc_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

impl Targets {
    fn compile(message: &wire::RouteAction, slots: &mut usize) -> Result<Self, Wrong> {
        match required(&message.cluster_specifier, "cluster_specifier")? {
            ClusterSpecifier::Cluster(name) => Ok(Self::Weighted(vec![WeightedCluster {
                cluster: named(name, "cluster")?,
                weight: 1,
                request_headers: None,
                response_headers: None,
                host: None,
                filters: HashMap::new(),
                slot: None,
            }])),
            ClusterSpecifier::ClusterHeader(name) => HeaderName::try_from(name)
                .map(Self::Header)
                .map_err(|_| Wrong::new("cluster_header", format!("{name:?} is not a header name"))),
            ClusterSpecifier::WeightedClusters(weighted) => {
                refuse(
                    weighted.random_value_specifier.is_some(),
                    "weighted_clusters.random_value_specifier",
                )?;
                let all = each(&weighted.clusters, "weighted_clusters.clusters", |cluster| {
                    WeightedCluster::compile(cluster, slots)
                })?;
                if all.iter().all(|target| target.weight == 0) {
                    return Err(Wrong::new("weighted_clusters", "has no cluster with a weight"));
                }
                Ok(Self::Weighted(all))
            }
            ClusterSpecifier::ClusterSpecifierPlugin(_)
            | ClusterSpecifier::InlineClusterSpecifierPlugin(_) => {
                Err(Wrong::new("cluster_specifier_plugin", "is not supported"))
            }
        }
    }
}

impl WeightedCluster {
    fn compile(message: &wire::weighted_cluster::ClusterWeight, slots: &mut usize) -> Result<Self, Wrong> {
        refuse(!message.cluster_header.is_empty(), "cluster_header")?;
        refuse(message.metadata_match.is_some(), "metadata_match")?;
        let slot = (!message.typed_per_filter_config.is_empty()).then(|| {
            *slots += 1;
            *slots - 1
        });
        let host = message.host_rewrite_specifier.as_ref().map(|specifier| match specifier {
            wire::weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(host) => {
                host_literal(host)
            }
        });
        let (request, response) = header_ops!(message);
        Ok(Self {
            cluster: named(&message.name, "name")?,
            weight: number(&message.weight).unwrap_or(0),
            request_headers: request.map(Arc::new),
            response_headers: response.map(Arc::new),
            host: host.transpose()?,
            filters: message.typed_per_filter_config.clone(),
            slot,
        })
    }
}

impl Mirror {
    fn compile(message: &wire::route_action::RequestMirrorPolicy) -> Result<Self, Wrong> {
        refuse(!message.cluster_header.is_empty(), "cluster_header")?;
        refuse(!message.request_headers_mutations.is_empty(), "request_headers_mutations")?;
        refuse(!message.host_rewrite_literal.is_empty(), "host_rewrite_literal")?;
        let share =
            match message.runtime_fraction.as_ref().and_then(|fraction| fraction.default_value.as_ref()) {
                Some(share) => Share::compile(share).at("runtime_fraction.default_value")?,
                None => Share::ALL,
            };
        Ok(Self {
            cluster: named(&message.cluster, "cluster")?,
            share,
            marks_host: !message.disable_shadow_host_suffix_append,
        })
    }
}

/// One of several by weight.
pub(crate) fn weighted<T>(all: &[T], weight: impl Fn(&T) -> u32, random: u64) -> Option<&T> {
    if let [only] = all {
        return Some(only);
    }
    let total: u64 = all.iter().map(|item| u64::from(weight(item))).sum();
    let mut drawn = random % total.max(1);
    all.iter().find(|item| {
        let weight = u64::from(weight(item));
        let is_it = drawn < weight;
        drawn = drawn.saturating_sub(weight);
        is_it
    })
}
