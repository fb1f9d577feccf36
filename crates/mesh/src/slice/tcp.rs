//! How connections are passed on as they are.

use std::time::Duration;

use api::destination_rule::Tunnel;

/// How the bytes of a connection are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tcp {
    /// Who gets the connection, by weight; never empty.
    pub shares: Vec<Share>,
    /// The name of the statistics: the only cluster or its name for numbers, else `NAME.NAMESPACE` of the
    /// VirtualService.
    pub stat_prefix: String,
    /// How long nothing may be sent before the connection is closed; None is the proxy's own bound.
    pub idle_timeout: Option<Duration>,
    /// The longest a connection may last.
    pub max_duration: Option<Duration>,
    /// Whether the client's address chooses the endpoint.
    pub hashes_source: bool,
    /// The port at which the name that a TLS client asks for is resolved by DNS (see
    /// [`Discovery::DynamicForward`](crate::Discovery::DynamicForward)).
    pub forwards_by_name: Option<u16>,
    /// The request by which the connection is asked for.
    pub tunnel: Option<Tunnel>,
}

/// A cluster and its part of the connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// The cluster.
    pub cluster: String,
    /// Its part of the sum of weights.
    pub weight: u32,
}

impl Tcp {
    /// Passes everything to one cluster.
    pub fn to(cluster: impl Into<String>) -> Self {
        let cluster = cluster.into();
        Self { stat_prefix: cluster.clone(), shares: vec![Share { cluster, weight: 1 }], ..Self::default() }
    }

    /// The same with numbers under this name, where there is one.
    pub fn counted_as(self, name: Option<String>) -> Self {
        Self { stat_prefix: name.unwrap_or(self.stat_prefix), ..self }
    }
}
