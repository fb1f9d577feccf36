//! One request and its response, as filters see them.

use std::borrow::Cow;
use std::time::Duration;

use base::Address;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// One exchange: the heads, free to change, and what else is known about it.
#[derive(Debug)]
pub struct Exchange {
    /// The request's head. The path a client sent is in `uri`, the authority in `uri` or in `host`.
    pub request: http::request::Parts,
    /// The response's head, from the response phases on.
    pub response: Option<http::response::Parts>,
    /// What else is known.
    pub facts: Facts,
}

/// What is known about an exchange beside its heads.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When the request's head was complete.
    pub began: Moment,
    /// The client.
    pub peer: Peer,
    /// The attempt at an upstream, from 1; 0 before the first.
    pub attempt: u32,
    /// The flags raised so far.
    pub flags: Vec<ReasonFlag>,
    /// The state of the exchange's own random numbers; see [`Facts::random`].
    pub seed: u64,
    /// The endpoint a filter asks for, before one is chosen.
    pub wanted: Option<Wanted>,
    /// The endpoint of the last attempt, from the response phases on.
    pub upstream: Option<Address>,
}

/// An endpoint that a request belongs to, as one of a session does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is.
    pub address: Address,
    /// What is answered where the cluster has it no longer; none to choose another.
    pub otherwise: Option<StatusCode>,
}

impl Facts {
    /// What is known when a request's head is complete.
    pub fn new(began: Moment, peer: Peer, seed: u64) -> Self {
        Self { began, peer, attempt: 0, flags: Vec::new(), seed, wanted: None, upstream: None }
    }

    /// The next of this exchange's random numbers (SplitMix64), so that a seed repeats a decision.
    pub fn random(&mut self) -> u64 {
        base::random::next(&mut self.seed)
    }

    /// Raises a flag once.
    pub fn raise(&mut self, flag: ReasonFlag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }
}

/// A point in time, given by whoever owns the clock: since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

/// Who is on the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from.
    pub remote: Address,
    /// Where it arrived.
    pub local: Address,
}

/// A reply the mesh makes itself.
#[derive(Clone, Debug)]
pub struct LocalReply {
    /// The status.
    pub status: StatusCode,
    /// The body; text unless `headers` say otherwise.
    pub body: Bytes,
    /// Headers beside `content-length` and `content-type`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Why, as Envoy's response flag.
    pub flag: Option<ReasonFlag>,
    /// Why, as Envoy's response code detail, e.g. `fault_filter_abort`.
    pub details: Cow<'static, str>,
    /// Whether the route's operations on response headers leave it alone.
    pub is_final: bool,
}

impl LocalReply {
    /// A reply of plain text.
    pub fn text(status: StatusCode, body: impl Into<Bytes>, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            body: body.into(),
            headers: Vec::new(),
            flag: None,
            details: details.into(),
            is_final: false,
        }
    }

    /// The same, kept from the route's operations on response headers.
    pub fn untouched(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// The same, with its flag.
    pub fn flagged(self, flag: ReasonFlag) -> Self {
        Self { flag: Some(flag), ..self }
    }
}

/// Envoy's response flags; the short form stands in access logs and in `response_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonFlag {
    /// DC: the client went away.
    DownstreamConnectionTermination,
    /// DI: a delay was injected.
    DelayInjected,
    /// DF: the upstream's name could not be resolved.
    DnsResolutionFailed,
    /// DPE: the client broke the protocol.
    DownstreamProtocolError,
    /// DO: a share of the requests is dropped, as the control plane says.
    DropOverload,
    /// FI: an abort was injected.
    FaultInjected,
    /// NC: the route's cluster does not exist.
    NoClusterFound,
    /// NR: no route matched.
    NoRouteFound,
    /// SI: the stream was idle too long.
    StreamIdleTimeout,
    /// UAEX: an external authorizer denied.
    UnauthorizedExternalService,
    /// UC: the upstream closed the connection.
    UpstreamConnectionTermination,
    /// UF: the upstream could not be connected to.
    UpstreamConnectionFailure,
    /// UH: no healthy upstream.
    NoHealthyUpstream,
    /// UO: a circuit breaker is open.
    UpstreamOverflow,
    /// UDO: all requests are dropped, as the control plane says.
    UnconditionalDropOverload,
    /// UPE: the upstream broke the protocol.
    UpstreamProtocolError,
    /// UR: the upstream reset the stream.
    UpstreamRemoteReset,
    /// URX: the retries are used up.
    UpstreamRetryLimitExceeded,
    /// UT: the upstream took too long.
    UpstreamRequestTimeout,
}

impl ReasonFlag {
    /// Envoy's short form.
    pub fn short(self) -> &'static str {
        match self {
            Self::DownstreamConnectionTermination => "DC",
            Self::DelayInjected => "DI",
            Self::DnsResolutionFailed => "DF",
            Self::DropOverload => "DO",
            Self::DownstreamProtocolError => "DPE",
            Self::FaultInjected => "FI",
            Self::NoClusterFound => "NC",
            Self::NoRouteFound => "NR",
            Self::StreamIdleTimeout => "SI",
            Self::UnauthorizedExternalService => "UAEX",
            Self::UpstreamConnectionTermination => "UC",
            Self::UpstreamConnectionFailure => "UF",
            Self::NoHealthyUpstream => "UH",
            Self::UpstreamOverflow => "UO",
            Self::UnconditionalDropOverload => "UDO",
            Self::UpstreamProtocolError => "UPE",
            Self::UpstreamRemoteReset => "UR",
            Self::UpstreamRetryLimitExceeded => "URX",
            Self::UpstreamRequestTimeout => "UT",
        }
    }
}
