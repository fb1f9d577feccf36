//! Istio's VirtualService: how requests to a host are routed.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Host, Labels};
use ipnet::IpNet;

use crate::export::ExportTo;

mod action;
mod destination;
mod l4;
mod matches;
mod policy;
mod read;
mod schema;

pub(crate) use destination::read_destination;
pub(crate) use policy::retries as read_retries;
pub(crate) use read::read;
pub(crate) use schema::{DESTINATION, FIELDS, RETRIES};

/// The routes of one or more hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VirtualService {
    /// The hosts as written: a short name belongs to the object's namespace (`base::Host::resolve`). Empty where it
    /// is only for others to delegate to.
    pub hosts: Vec<String>,
    /// Where the routes apply; [`GatewayRef::Mesh`] alone where nothing is written.
    pub gateways: Vec<GatewayRef>,
    /// The HTTP routes, in order: the first that matches decides.
    pub http: Vec<HttpRoute>,
    /// The routes of TLS connections that are passed through, in order.
    pub tls: Vec<TlsRoute>,
    /// The routes of other connections, in order.
    pub tcp: Vec<TcpRoute>,
    /// The namespaces that see it; None means the mesh's default.
    pub export_to: Option<ExportTo>,
}

/// A gateway that a VirtualService names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayRef {
    /// Every sidecar.
    Mesh,
    /// A Gateway object; a name without a namespace has been given the VirtualService's own.
    Named {
        /// The Gateway's namespace.
        namespace: String,
        /// The Gateway's name.
        name: String,
    },
}

/// One entry of `http`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoute {
    /// The route's name, empty where none is written.
    pub name: String,
    /// The conditions; one of them is enough, none is all.
    pub matches: Vec<HttpMatch>,
    /// What is done with a request that matches.
    pub action: HttpAction,
    /// The path and authority sent on.
    pub rewrite: Option<Rewrite>,
    /// The longest a request may take; None where nothing is written, zero where it is disabled.
    pub timeout: Option<Duration>,
    /// The retries; None means the mesh's default.
    pub retries: Option<Retries>,
    /// Faults put into requests on purpose.
    pub fault: Fault,
    /// Header operations for every destination of this route.
    pub headers: HeaderOperations,
    /// Cross-origin rules.
    pub cors: Option<CorsPolicy>,
    /// Where copies of requests go.
    pub mirrors: Vec<Mirror>,
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpAction {
    /// Leaves the rest to the routes of another VirtualService.
    Delegate(Delegate),
    /// Answers with a fixed response.
    DirectResponse(DirectResponse),
    /// Forwards to one of these destinations by weight; never empty.
    Forward(Vec<RouteDestination>),
    /// Answers with a redirect.
    Redirect(Redirect),
}

/// The VirtualService that a route delegates to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace; the root's own where none is written.
    pub namespace: String,
}

/// One entry of `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRoute {
    /// The conditions, never none; one of them is enough.
    pub matches: Vec<TlsMatch>,
    /// The destinations; never empty.
    pub route: Vec<L4Destination>,
}

/// One entry of `tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpRoute {
    /// The conditions; one of them is enough, none is all.
    pub matches: Vec<ConnectionMatch>,
    /// The destinations; never empty.
    pub route: Vec<L4Destination>,
}

/// Conditions on a TLS connection that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsMatch {
    /// The server names asked for, never none; each is covered by a host of the VirtualService.
    pub sni_hosts: Vec<Host>,
    /// What must hold besides.
    pub connection: ConnectionMatch,
}

/// Conditions on a connection that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionMatch {
    /// The networks the connection may be for; all where empty.
    pub destination_subnets: Vec<IpNet>,
    /// The service port it came to.
    pub port: Option<u16>,
    /// Labels the calling workload must have.
    pub source_labels: Labels,
    /// The namespace the calling workload must be in.
    pub source_namespace: Option<String>,
    /// The gateways this condition is for; all of the VirtualService's where empty.
    pub gateways: Vec<GatewayRef>,
}

/// One weighted destination of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L4Destination {
    /// Where to.
    pub destination: Destination,
    /// Its share of the sum of weights; a single destination has 100 where nothing is written.
    pub weight: u32,
}

/// One weighted destination of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteDestination {
    /// Where to.
    pub destination: Destination,
    /// Its share of the sum of weights; a single destination has 100 where nothing is written.
    pub weight: u32,
    /// Header operations for this destination alone.
    pub headers: HeaderOperations,
}

/// A host, perhaps a subset and a port of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The host as written: a short name belongs to the object's namespace.
    pub host: String,
    /// The DestinationRule's subset.
    pub subset: Option<String>,
    /// The service port.
    pub port: Option<u16>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpMatch {
    /// The name of the condition, empty where none is written.
    pub name: String,
    /// The path and query.
    pub uri: Option<StringMatch>,
    /// The scheme.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// The host the request asks for.
    pub authority: Option<StringMatch>,
    /// Headers, by name as written.
    pub headers: BTreeMap<String, ValueMatch>,
    /// Headers that must not match, by name as written.
    pub without_headers: BTreeMap<String, ValueMatch>,
    /// Query parameters.
    pub query_params: BTreeMap<String, ValueMatch>,
    /// The service port the request came to.
    pub port: Option<u16>,
    /// Whether `uri`'s exact and prefix matches ignore case.
    pub ignore_uri_case: bool,
    /// The gateways this condition is for; all of the VirtualService's where empty.
    pub gateways: Vec<GatewayRef>,
    /// Labels the calling workload must have.
    pub source_labels: Labels,
    /// The namespace the calling workload must be in.
    pub source_namespace: Option<String>,
    /// The prefix under which the route's numbers are kept.
    pub stat_prefix: Option<String>,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StringMatch {
    /// Equal to this.
    Exact(String),
    /// Begins with this.
    Prefix(String),
    /// Matched as a whole by this RE2 expression.
    Regex(String),
}

/// How a header or query parameter is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueMatch {
    /// It is there, with any value.
    Present,
    /// It is there and its value matches.
    Value(StringMatch),
}

/// Header operations on the way to and from a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOperations {
    /// On the request.
    pub request: HeaderEdits,
    /// On the response.
    pub response: HeaderEdits,
}

/// Headers to overwrite, append and drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Overwrites.
    pub set: BTreeMap<String, String>,
    /// Appends.
    pub add: BTreeMap<String, String>,
    /// Drops.
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// The body, empty where none is written.
    pub body: Vec<u8>,
}

/// A redirect; what is None stays as the request has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The path.
    pub path: Option<RedirectPath>,
    /// The host.
    pub authority: Option<String>,
    /// The port.
    pub port: Option<RedirectPort>,
    /// The scheme.
    pub scheme: Option<String>,
    /// The status: 301 where nothing is written, else 301, 302, 303, 307 or 308.
    pub code: u16,
}

/// What a redirect does to the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// Replaces the whole path.
    Full(String),
    /// Replaces the prefix that matched.
    Prefix(String),
}

/// What a redirect does to the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// The usual port of the scheme.
    FromProtocolDefault,
    /// The port the request came to.
    FromRequestPort,
    /// This port.
    Number(u16),
}

/// What is sent on in place of the request's own path and authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The new path: of the whole where the match is exact, of the prefix else.
    pub uri: Option<String>,
    /// The new authority.
    pub authority: Option<String>,
    /// A regular expression on the path.
    pub uri_regex: Option<RegexRewrite>,
}

/// A regular expression and what takes the place of its matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexRewrite {
    /// The RE2 expression.
    pub pattern: String,
    /// The substitution, with `\1` for groups.
    pub substitution: String,
}

/// How failed requests are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Retries {
    /// How many more attempts; zero disables retries.
    pub attempts: u32,
    /// The longest one attempt may take.
    pub per_try_timeout: Option<Duration>,
    /// The conditions, Envoy's words and status codes, comma-separated; None means the mesh's default.
    pub retry_on: Option<String>,
    /// The base of the exponential back-off.
    pub backoff: Option<Duration>,
    /// Whether hosts already tried are passed over; None means that they are, unless something of the request decides
    /// its host.
    pub ignores_previous_hosts: Option<bool>,
    /// Whether hosts of other localities are tried too.
    pub tries_remote_localities: bool,
}

/// Faults put into requests on purpose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fault {
    /// Waits before going on.
    pub delay: Option<Delay>,
    /// Answers instead of going on.
    pub abort: Option<Abort>,
}

/// A delay for a share of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    /// How long.
    pub duration: Duration,
    /// The share, 0 to 100; zero where none is written.
    pub percentage: f64,
}

/// An answer for a share of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Abort {
    /// What is answered.
    pub status: AbortStatus,
    /// The share, 0 to 100; zero where none is written.
    pub percentage: f64,
}

/// What an aborted request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AbortStatus {
    /// A gRPC status.
    Grpc(u8),
    /// An HTTP status.
    Http(u16),
}

/// Cross-origin rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsPolicy {
    /// Origins that may call.
    pub allow_origins: Vec<StringMatch>,
    /// Methods they may use.
    pub allow_methods: Vec<String>,
    /// Headers they may send.
    pub allow_headers: Vec<String>,
    /// Headers they may read.
    pub expose_headers: Vec<String>,
    /// How long a preflight's answer holds.
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent.
    pub allows_credentials: bool,
    /// Whether a preflight whose origin matches nothing is forwarded rather than answered.
    pub forwards_unmatched_preflights: bool,
}

/// A destination that receives copies of a share of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where copies go.
    pub destination: Destination,
    /// The share, 0 to 100; all where none is written.
    pub percentage: f64,
}

#[cfg(test)]
mod tests;
