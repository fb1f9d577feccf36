//! What becomes of a call, and by whose word.

use std::fmt;
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
    pub delay: Duration,
    /// The status a proxy answers by itself.
    pub reply: Option<u16>,
    /// How many of a hundred such calls a fault hits, where one is configured.
    pub fault_percent: f64,
    /// Why the call fails, where it does.
    #[serde(serialize_with = "as_text")]
    pub failure: Option<Failure>,
}

/// One cluster's share of such calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The cluster.
    pub cluster: String,
    /// How many of a hundred calls it gets.
    pub percent: f64,
}

/// Why a call fails inside a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A TLS client meets a chain that secures otherwise: mutual where it is not, or the other way round.
    Mtls,
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

// The signature is serde's.
#[allow(clippy::ref_option)]
fn as_text<S: serde::Serializer>(failure: &Option<Failure>, to: S) -> Result<S::Ok, S::Error> {
    match failure {
        Some(failure) => to.collect_str(failure),
        None => to.serialize_none(),
    }
}
