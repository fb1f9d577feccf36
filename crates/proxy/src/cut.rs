//! Why a body stops before its end.

use filter::ReasonFlag;
use net::SendFailure;
use net::http1::Error;

/// Why a body was cut off; the client's connection or stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    /// The client broke off.
    #[error("the client broke the request off")]
    Client,
    /// Nothing passed for too long.
    #[error("the stream was silent for longer than is allowed")]
    Idle,
    /// A filter would not let the rest pass.
    #[error("a filter cut the response off")]
    Filter,
    /// It took too long.
    #[error("the response took longer than its route allows")]
    TimedOut,
    /// The upstream broke off.
    #[error("the upstream broke the response off")]
    Upstream,
}

impl Cut {
    /// What the failure of an upstream's connection means for the body it brings.
    pub(crate) fn of(failure: &SendFailure) -> Self {
        match failure {
            SendFailure::Http1(Error::Body(_)) => Self::Client,
            _ => Self::Upstream,
        }
    }

    /// The flag that tells it.
    pub(crate) fn flag(self) -> ReasonFlag {
        match self {
            Self::Client | Self::Filter => ReasonFlag::DownstreamConnectionTermination,
            Self::Idle => ReasonFlag::StreamIdleTimeout,
            Self::TimedOut => ReasonFlag::UpstreamRequestTimeout,
            Self::Upstream => ReasonFlag::UpstreamConnectionTermination,
        }
    }
}
