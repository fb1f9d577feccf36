//! What becomes of a call, and by whose word.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use base::Origin;
use serde::Serialize;

/// What becomes of a call. What the call did not get as far as is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Decision {
    /// The listener that takes the connection.
    pub listener: Option<String>,
    /// Its filter chain.
    pub filter_chain: Option<String>,
    /// What the filter chain does with the connection's TLS.
    pub tls: Tls,
    /// Certificates and roots the filter chain needs and the proxy has not been given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_secrets: Vec<String>,
    /// The route configuration.
    pub route_config: Option<String>,
    /// The virtual host.
    pub virtual_host: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The object that decided the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The clusters that may take the call; empty where none does.
    pub clusters: Vec<Share>,
    /// How long the call is held back first.
    #[serde(serialize_with = "time")]
    pub delay: Duration,
    /// How many of a hundred such calls a fault hits, where one is configured.
    pub fault_percent: f64,
    /// The answer the proxy gives by itself, to those calls a fault hits or to all of them.
    pub reply: Option<u16>,
    /// What that answer says in its headers, length and type apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reply_headers: Vec<(String, String)>,
    /// What that answer says in its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Where the client is sent instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// How long request and response may take together; absent where they may take for ever.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_time")]
    pub timeout: Option<Duration>,
    /// When the call is made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// The clusters that get a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Copied>,
    /// What keeps calls that are alike on one endpoint, the first that is there deciding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hash: Vec<String>,
    /// Why the call fails, where it does.
    #[serde(serialize_with = "as_text")]
    pub failure: Option<Failure>,
}

/// What a filter chain does with a connection's TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Ends it, and asks the client for a certificate.
    Mutual,
    /// Nothing: there is none.
    #[default]
    None,
    /// Passes it on as it came.
    PassedThrough,
    /// Ends it.
    Terminated,
}

/// One cluster's share of such calls, and what it gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// The cluster.
    pub cluster: String,
    /// How many of a hundred calls it gets.
    pub percent: f64,
    /// Whether there is no such cluster, so that the call fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_missing: bool,
    /// Whether endpoints of the cluster are spoken to over TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_secured: bool,
    /// The one address the cluster sends such a call to, where it keeps the call's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<SocketAddr>,
    /// The host the destination sees; absent where no HTTP is spoken, or where it is the endpoint's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The path and query the destination sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Changes to the request's headers.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub request_headers: Changes,
    /// Changes to the headers of its answer.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub response_headers: Changes,
}

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Headers with another value than before, or that were not there.
    pub set: Vec<(String, String)>,
    /// Headers taken away.
    pub removed: Vec<String>,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

/// When a call is made again.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Retries {
    /// How many attempts may follow the first.
    pub attempts: u32,
    /// The reasons, by Envoy's names.
    pub on: Vec<&'static str>,
    /// The statuses that are reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
    /// How long one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_time")]
    pub per_try_timeout: Option<Duration>,
    /// The pause before the first of them; it doubles with each.
    #[serde(serialize_with = "time")]
    pub back_off: Duration,
}

/// A cluster that gets copies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Copied {
    /// The cluster.
    pub cluster: String,
    /// How many of a hundred calls are copied to it.
    pub percent: f64,
}

/// Why a call fails inside a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A TLS client meets a chain that secures otherwise: mutual where it is not, or the other way round.
    Mtls,
    /// The listener was refused, for two of its filter chains match alike.
    MultipleFilterChains,
    /// No filter chain takes the connection.
    NoFilterChain,
    /// Nothing listens there.
    NoListener,
    /// The host is known and no route of it takes the request.
    NoRoute,
    /// No virtual host takes the request's host.
    NoVirtualHost,
    /// HTTP is routed here and something else arrives.
    Protocol,
    /// Plaintext arrives where TLS is terminated.
    Tls,
    /// A plaintext request is sent to `https`.
    TlsRedirect,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mtls => "mtls-error",
            Self::MultipleFilterChains => "multiple-filter-chains",
            Self::NoFilterChain => "no-filter-chain",
            Self::NoListener => "no-listener",
            Self::NoRoute => "no-route",
            Self::NoVirtualHost => "no-virtual-host",
            Self::Protocol => "protocol-error",
            Self::Tls => "tls-error",
            Self::TlsRedirect => "tls-redirect",
        })
    }
}

// The signatures are serde's.
#[allow(clippy::ref_option)]
fn as_text<S: serde::Serializer>(failure: &Option<Failure>, to: S) -> Result<S::Ok, S::Error> {
    match failure {
        Some(failure) => to.collect_str(failure),
        None => to.serialize_none(),
    }
}

fn time<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&base::duration::render(*time))
}

#[allow(clippy::ref_option)]
fn maybe_time<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => self::time(time, to),
        None => to.serialize_none(),
    }
}
