//! What a cluster is, apart from its endpoints: how they are found, chosen and spoken to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use balance::{Breakers, Outlier};
use base::Origin;
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3::{self as core, TcpKeepalive};
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::google::protobuf::Struct;
use proto::google::protobuf::value::Kind;

use crate::balancer::Balancer;
use crate::breaker::breakers;
use crate::discovery::ClusterKind;
use crate::http1::HeaderCase;
use crate::http2::Ping;
use crate::outlier::{Errors, outlier};
use crate::read::{
    At, Within, Wrong, config, duration, each, named, number, origin, refuse, socket_address, text,
};
use crate::transport::SocketChoice;
use crate::upstream_http::{AutoSni, HTTP_OPTIONS, HttpOptions, UpstreamHttp};

/// What a cluster is, apart from its endpoints.
#[derive(Debug)]
pub struct ClusterSpec {
    /// Its name, e.g. `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub name: Arc<str>,
    /// The name under which its numbers are kept.
    pub stat_name: Arc<str>,
    /// How its endpoints are found.
    pub kind: ClusterKind,
    /// How one of them is chosen.
    pub balancer: Balancer,
    /// Which HTTP its endpoints are spoken to with.
    pub http: UpstreamHttp,
    /// How the names of headers are written to an endpoint that speaks HTTP/1.
    pub header_case: HeaderCase,
    /// How many requests one HTTP/2 connection carries at a time; none for as many as the endpoint takes.
    pub max_streams: Option<u32>,
    /// How an HTTP/2 connection is found out to be dead; none for not at all.
    pub ping: Option<Ping>,
    /// How long a connection may take to be made, its TLS included.
    pub connect_timeout: Duration,
    /// Its limits.
    pub breakers: Breakers,
    /// When an endpoint is taken out for its answers; none for never.
    pub outlier: Option<Arc<Outlier>>,
    /// Which answers count as errors there; none for 5xx.
    pub errors: Option<Errors>,
    /// How its endpoints are spoken to below HTTP.
    pub sockets: SocketChoice,
    /// What TLS takes from the request that a connection is made for.
    pub auto_sni: AutoSni,
    /// The address connections are made from.
    pub bind: Option<SocketAddr>,
    /// How the kernel looks after silent connections; none for not at all.
    pub keepalive: Option<Keepalive>,
    /// Closes a connection without a request after this time.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection that is this old.
    pub max_connection_duration: Option<Duration>,
    /// Ends a request and its response that take longer.
    pub max_stream_duration: Option<Duration>,
    /// How many requests a connection carries.
    pub max_requests_per_connection: Option<u32>,
    /// What was asked for and is not done, in words.
    pub degraded: Vec<Degraded>,
    /// The object that decided it.
    pub origin: Option<Origin>,
    /// The object's path in the API, as `istio.config` gives it.
    pub config: Option<Arc<str>>,
    /// What Istio says of the cluster: its services, its subset.
    pub istio: Option<Arc<Struct>>,
    pub(crate) inline: Option<ClusterLoadAssignment>,
}

/// How the kernel looks after silent connections; none of a field for the kernel's own choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// After so many probes without an answer the connection is over.
    pub probes: Option<u32>,
    /// The silence before the first.
    pub time: Option<Duration>,
    /// The pause between two.
    pub interval: Option<Duration>,
}

/// Something a resource asks for that is not done, though it can be left out without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// The field.
    pub path: &'static str,
    /// What happens instead.
    pub instead: &'static str,
}

impl ClusterSpec {
    pub(crate) fn compile(message: &wire::Cluster) -> Result<Self, Wrong> {
        let name = named(&message.name, "name")?;
        refuse_fields(message)?;
        let http = HttpOptions::compile(message)?;
        let kind = ClusterKind::compile(message)?;
        let balancer = Balancer::compile(message)?;
        // As in Envoy: to choose is the business of either the policy or the cluster.
        match (kind.chooses_itself(), balancer.policy) {
            (true, Some(_)) => {
                return Err(Wrong::new("lb_policy", "must be CLUSTER_PROVIDED for this type of cluster"));
            }
            (false, None) => {
                return Err(Wrong::new("lb_policy", "cannot be CLUSTER_PROVIDED for this type of cluster"));
            }
            (true, None) | (false, Some(_)) => {}
        }
        if balancer.hashes_hostname && !matches!(kind, ClusterKind::StrictDns(_)) {
            let path = "common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing";
            return Err(Wrong::new(path, "is for clusters of type STRICT_DNS only"));
        }
        let sockets = SocketChoice::compile(message)?;
        if http.version == UpstreamHttp::Negotiated && sockets.all().any(|socket| socket.tls.is_none()) {
            let path = "typed_extension_protocol_options.auto_config";
            return Err(Wrong::new(path, "needs TLS towards all endpoints, to negotiate by"));
        }
        Ok(Self {
            stat_name: stat_name(message, &name),
            name,
            kind,
            balancer,
            http: http.version,
            header_case: http.header_case,
            max_streams: http.max_streams,
            ping: http.ping,
            connect_timeout: match duration(&message.connect_timeout, "connect_timeout")? {
                Some(timeout) if timeout.is_zero() => {
                    return Err(Wrong::new("connect_timeout", "must be more than zero"));
                }
                timeout => timeout.unwrap_or(Duration::from_secs(5)),
            },
            breakers: breakers(message)?,
            outlier: match &message.outlier_detection {
                Some(rules) => Some(outlier(rules).within("outlier_detection")?),
                None => None,
            },
            errors: http.errors,
            sockets,
            auto_sni: http.auto_sni,
            bind: bind(message)?,
            keepalive: keepalive(message)?,
            idle_timeout: http.idle_timeout,
            max_connection_duration: http.max_duration,
            max_stream_duration: http.max_stream_duration,
            max_requests_per_connection: http.max_requests,
            degraded: degraded(message),
            origin: origin(&message.metadata),
            config: config(&message.metadata),
            istio: message
                .metadata
                .as_ref()
                .and_then(|m| m.filter_metadata.get("istio"))
                .cloned()
                .map(Arc::new),
            inline: message.load_assignment.clone(),
        })
    }

    /// The name under which discovery knows its endpoints.
    pub fn discovery_name(&self) -> Option<&Arc<str>> {
        match &self.kind {
            ClusterKind::Eds(name) => Some(name),
            _ => None,
        }
    }

    /// The names of the secrets its TLS needs.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sockets.all().filter_map(|socket| socket.tls.as_ref()).flat_map(|tls| tls.common.secrets())
    }

    /// The name, namespace and host of the first service it stands for, as Istio says.
    pub fn service(&self) -> Option<Service<'_>> {
        let services = self.istio.as_ref()?.fields.get("services")?;
        let Some(Kind::ListValue(list)) = &services.kind else { return None };
        let Some(Kind::StructValue(first)) = &list.values.first()?.kind else { return None };
        let text = |field| first.fields.get(field).and_then(text).unwrap_or_default();
        Some(Service { name: text("name"), namespace: text("namespace"), host: text("host") })
    }
}

/// The name for numbers, without the semicolon by which Istio has tags cut out of it.
fn stat_name(message: &wire::Cluster, name: &Arc<str>) -> Arc<str> {
    match message.alt_stat_name.trim_end_matches(';') {
        "" => Arc::clone(name),
        own if *own == **name => Arc::clone(name),
        own => own.into(),
    }
}

/// A service as Istio names it in a cluster's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its full host name.
    pub host: &'a str,
}

/// What would send requests elsewhere than was asked, or say other things to the endpoints.
fn refuse_fields(message: &wire::Cluster) -> Result<(), Wrong> {
    refuse(message.lb_subset_config.is_some(), "lb_subset_config")?;
    refuse(message.transport_socket_matcher.is_some(), "transport_socket_matcher")?;
    refuse(message.upstream_config.is_some(), "upstream_config")?;
    // Without probing, requests would go to endpoints that their author wants to be probed first.
    refuse(!message.health_checks.is_empty(), "health_checks")?;
    refuse(message.connection_pool_per_downstream_connection, "connection_pool_per_downstream_connection")?;
    refuse(message.queuing_policies.is_some(), "queuing_policies")?;
    for name in message.typed_extension_protocol_options.keys() {
        refuse(name != HTTP_OPTIONS, &format!("typed_extension_protocol_options[{name}]"))?;
    }
    each(&message.filters, "filters", |upstream_filter| {
        refuse(upstream_filter.config_discovery.is_some(), "config_discovery")?;
        let Some(any) = &upstream_filter.typed_config else {
            return Err(Wrong::new("typed_config", "is missing"));
        };
        match &*filter::kind(any).at("typed_config")? {
            // Its preamble is only spoken where istio-peer-exchange was negotiated, which is never offered.
            "envoy.tcp.metadataexchange.config.MetadataExchange" => Ok(()),
            other => Err(Wrong::new("typed_config", format!("{other} is not supported"))),
        }
    })?;
    Ok(())
}

/// What can be left out without harm.
#[allow(deprecated, reason = "old control planes still write the old spellings")]
fn degraded(message: &wire::Cluster) -> Vec<Degraded> {
    let common = message.common_lb_config.clone().unwrap_or_default();
    let resolver = message.typed_dns_resolver_config.is_some()
        || message.dns_resolution_config.is_some()
        || !message.dns_resolvers.is_empty();
    let all = [
        (resolver, "typed_dns_resolver_config", "the system's resolver is asked"),
        (
            message.preconnect_policy.is_some(),
            "preconnect_policy",
            "connections are made when they are needed",
        ),
        (message.lrs_server.is_some(), "lrs_server", "no load is reported"),
        (
            common.close_connections_on_host_set_change,
            "common_lb_config.close_connections_on_host_set_change",
            "connections stay open",
        ),
        (
            message.close_connections_on_host_health_failure,
            "close_connections_on_host_health_failure",
            "connections stay open",
        ),
    ];
    let set = all.into_iter().filter(|(is_set, ..)| *is_set);
    set.map(|(_, path, instead)| Degraded { path, instead }).collect()
}

fn bind(message: &wire::Cluster) -> Result<Option<SocketAddr>, Wrong> {
    let Some(bind) = &message.upstream_bind_config else { return Ok(None) };
    let path = "upstream_bind_config";
    refuse(!bind.extra_source_addresses.is_empty(), "extra_source_addresses").within(path)?;
    refuse(bind.local_address_selector.is_some(), "local_address_selector").within(path)?;
    refuse(!bind.socket_options.is_empty(), "socket_options").within(path)?;
    let Some(source) = bind.source_address.clone() else { return Ok(None) };
    let address = core::Address { address: Some(core::address::Address::SocketAddress(source)) };
    socket_address(&Some(address)).within(path).map(Some)
}

fn keepalive(message: &wire::Cluster) -> Result<Option<Keepalive>, Wrong> {
    let options = message.upstream_connection_options.as_ref();
    let Some(keepalive) = options.and_then(|options| options.tcp_keepalive.as_ref()) else {
        return Ok(None);
    };
    Keepalive::compile(keepalive).within("upstream_connection_options.tcp_keepalive").map(Some)
}

impl Keepalive {
    /// Envoy's message; zero for the kernel's own choice.
    pub(crate) fn compile(message: &TcpKeepalive) -> Result<Self, Wrong> {
        let seconds = |own| number(own).filter(|n| *n > 0).map(|n| Duration::from_secs(u64::from(n)));
        Ok(Self {
            probes: number(&message.keepalive_probes).filter(|probes| *probes > 0),
            time: seconds(&message.keepalive_time),
            interval: seconds(&message.keepalive_interval),
        })
    }
}
