//! The replies the proxy makes itself, in Envoy's words, since users match them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use filter::{LocalReply, ReasonFlag};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, response};

/// How an attempt at an upstream failed before its response began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection broke after the request was sent.
    Broken,
    /// The request's own body broke.
    Client,
    /// No connection could be made, and why.
    Connect(Cow<'static, str>),
    /// The endpoint a session belongs to is gone, and what is answered then.
    Gone(StatusCode),
    /// Nobody to connect to.
    NoHost,
    /// Too much is going on already.
    Overflow,
    /// The name of whom to connect to is not known, and why.
    Resolve(Arc<str>),
    /// The upstream broke the protocol.
    Protocol,
    /// The upstream refused the stream before it looked at it.
    Refused,
    /// The upstream reset the stream.
    Reset,
    /// The whole route took too long.
    RouteTimeout,
    /// Nothing passed in this attempt for too long.
    TryIdle,
    /// This attempt took too long.
    TryTimeout,
}

impl Failure {
    /// The flag that tells it.
    pub(crate) fn flag(&self) -> ReasonFlag {
        match self {
            Self::Broken => ReasonFlag::UpstreamConnectionTermination,
            Self::Client => ReasonFlag::DownstreamProtocolError,
            Self::Connect(_) => ReasonFlag::UpstreamConnectionFailure,
            Self::Resolve(_) => ReasonFlag::DnsResolutionFailed,
            Self::Gone(_) | Self::NoHost => ReasonFlag::NoHealthyUpstream,
            Self::Overflow => ReasonFlag::UpstreamOverflow,
            Self::Protocol => ReasonFlag::UpstreamProtocolError,
            Self::Refused | Self::Reset => ReasonFlag::UpstreamRemoteReset,
            Self::RouteTimeout | Self::TryIdle | Self::TryTimeout => ReasonFlag::UpstreamRequestTimeout,
        }
    }

    /// Envoy's reason for the reset, where there was one.
    fn reset_reason(&self) -> &'static str {
        match self {
            Self::Connect(why) if why == TIMED_OUT => "connection timeout",
            Self::Connect(_) | Self::Resolve(_) => "remote connection failure",
            Self::Overflow => "overflow",
            Self::Protocol => "protocol error",
            Self::Refused => "remote refused stream reset",
            Self::Reset => "remote reset",
            _ => "connection termination",
        }
    }

    /// The reply to a client whose last attempt failed so.
    pub(crate) fn reply(&self, attempts: u32) -> LocalReply {
        let reply = match self {
            Self::Client => LocalReply::text(StatusCode::BAD_REQUEST, "Bad Request", "http1.codec_error"),
            Self::Gone(status) => LocalReply { status: *status, ..no_healthy_upstream() },
            Self::NoHost => no_healthy_upstream(),
            Self::Resolve(_) => LocalReply::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "DNS resolution failure",
                "dns_resolution_failure",
            ),
            Self::RouteTimeout => timeout("response_timeout"),
            Self::TryIdle => timeout("upstream_per_try_idle_timeout"),
            Self::TryTimeout => timeout("upstream_per_try_timeout"),
            _ => self.reset_reply(attempts),
        };
        reply.flagged(self.flag())
    }

    fn reset_reply(&self, attempts: u32) -> LocalReply {
        let status = match self {
            Self::Protocol => StatusCode::BAD_GATEWAY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let reason = self.reset_reason();
        let retried = if attempts > 1 { "retried and the latest " } else { "" };
        // As Envoy by now, the client is not told why: the log is, and a peer in the mesh.
        let body = format!(
            "upstream connect error or disconnect/reset before headers. {retried}reset reason: {reason}"
        );
        let mut details = format!("upstream_reset_before_response_started{{{reason}");
        if let Self::Connect(why) = self
            && why != TIMED_OUT
        {
            details.push_str(&format!("|{why}"));
        }
        details.push('}');
        let mut reply = LocalReply::text(status, body, details.replace(' ', "_"));
        if *self == Self::Overflow {
            reply.headers.push((
                http::HeaderName::from_static("x-envoy-overloaded"),
                HeaderValue::from_static("true"),
            ));
        }
        reply
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "DNS: {why}"),
            Self::Connect(why) => write!(f, "{}: {why}", self.reset_reason()),
            _ => f.write_str(self.reset_reason()),
        }
    }
}

/// The reason of a connection that was not made in time.
pub(crate) const TIMED_OUT: &str = "connection timeout";

fn timeout(details: &'static str) -> LocalReply {
    LocalReply::text(StatusCode::GATEWAY_TIMEOUT, "upstream request timeout", details)
}

/// Nobody in the cluster can be asked.
pub(crate) fn no_healthy_upstream() -> LocalReply {
    LocalReply::text(StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream", "no_healthy_upstream")
        .flagged(ReasonFlag::NoHealthyUpstream)
}

/// The control plane has this share of the requests dropped.
pub(crate) fn dropped(is_all: bool) -> LocalReply {
    let (text, details, flag, name) = match is_all {
        true => (
            "unconditional drop overload",
            "unconditional_drop_overload",
            ReasonFlag::UnconditionalDropOverload,
            "x-envoy-unconditional-drop-overload",
        ),
        false => ("drop overload", "drop_overload", ReasonFlag::DropOverload, "x-envoy-drop-overload"),
    };
    let mut reply = LocalReply::text(StatusCode::SERVICE_UNAVAILABLE, text, details).flagged(flag);
    reply.headers.push((http::HeaderName::from_static(name), HeaderValue::from_static("true")));
    reply
}

/// The stream was silent for too long; whose fault that is depends on whether the request had come whole.
pub(crate) fn stream_timeout(is_whole: bool) -> LocalReply {
    let status = if is_whole { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::REQUEST_TIMEOUT };
    LocalReply::text(status, "stream timeout", "stream_idle_timeout").flagged(ReasonFlag::StreamIdleTimeout)
}

/// The stream took longer than any may.
pub(crate) fn too_long(is_whole: bool) -> LocalReply {
    let status = if is_whole { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::REQUEST_TIMEOUT };
    LocalReply::text(status, "downstream duration timeout", "max_duration_timeout")
}

/// The request has not come whole in time.
pub(crate) fn request_timeout() -> LocalReply {
    LocalReply::text(StatusCode::REQUEST_TIMEOUT, "request timeout", "request_overall_timeout")
}

/// No route takes the request.
pub(crate) fn no_route() -> LocalReply {
    LocalReply::text(StatusCode::NOT_FOUND, "", "route_not_found").flagged(ReasonFlag::NoRouteFound)
}

/// The route's cluster does not exist.
pub(crate) fn no_cluster(status: StatusCode) -> LocalReply {
    LocalReply::text(status, "", "cluster_not_found").flagged(ReasonFlag::NoClusterFound)
}

/// The client broke HTTP; the connection ends with the reply.
pub(crate) fn malformed(status: StatusCode, details: &'static str) -> LocalReply {
    let body = status.canonical_reason().unwrap_or_default();
    LocalReply::text(status, body, details).flagged(ReasonFlag::DownstreamProtocolError)
}

/// The client was too slow to say what it wants.
pub(crate) fn head_timeout() -> LocalReply {
    LocalReply::text(StatusCode::REQUEST_TIMEOUT, "request header timeout", "request_header_timeout")
}

/// The head and the body of a reply as they go to the client.
pub(crate) fn parts(reply: &LocalReply, is_grpc: bool) -> (response::Parts, Bytes) {
    if is_grpc {
        return (grpc_head(reply), Bytes::new());
    }
    let mut head = head(reply.status);
    for (name, value) in &reply.headers {
        head.headers.append(name.clone(), value.clone());
    }
    // HTTP/2 says by the end of the stream that there is no body, HTTP/1 adds that there is none.
    if has_length(reply.status) && !reply.body.is_empty() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    }
    (head, reply.body.clone())
}

/// Says what the body is where nothing else does. Like Envoy, after a route's operations on headers: a type they
/// take away comes back.
pub(crate) fn describe(head: &mut response::Parts, body: &Bytes, is_grpc: bool) {
    if is_grpc {
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    } else if !body.is_empty() {
        head.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
    }
}

fn head(status: StatusCode) -> response::Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = status;
    head
}

fn has_length(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// A gRPC client is told by trailers that stand in place of the head.
fn grpc_head(reply: &LocalReply) -> response::Parts {
    let mut head = head(StatusCode::OK);
    for (name, value) in &reply.headers {
        head.headers.append(name.clone(), value.clone());
    }
    // Whoever replies may know better than the status of HTTP tells.
    head.headers.entry("grpc-status").or_insert_with(|| HeaderValue::from(grpc_status(reply.status)));
    if let Some(message) = grpc_message(&reply.body) {
        head.headers.insert("grpc-message", message);
    }
    head
}

/// gRPC's own mapping of HTTP statuses.
pub(crate) fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The message, percent-encoded as gRPC wants it.
fn grpc_message(body: &[u8]) -> Option<HeaderValue> {
    if body.is_empty() {
        return None;
    }
    let mut text = String::with_capacity(body.len());
    for byte in body {
        match byte {
            b' '..=b'~' if *byte != b'%' => text.push(char::from(*byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    HeaderValue::try_from(text).ok()
}

/// Whether a request is gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.starts_with(b"application/grpc") && matches!(value.get(16), None | Some(b'+' | b';'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_failed_connection_is_told_in_envoys_words() {
        let reply = Failure::Connect("delayed connect error: Connection refused".into()).reply(1);

        assert_eq!(
            reply.body,
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        );
        assert_eq!(
            reply.details,
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        );
        assert_eq!((reply.status.as_u16(), reply.flag), (503, Some(ReasonFlag::UpstreamConnectionFailure)));
    }

    #[test]
    fn a_grpc_client_is_told_by_trailers() {
        let (head, body) = parts(&no_healthy_upstream(), true);

        assert_eq!((head.status.as_u16(), body.is_empty()), (200, true));
        assert_eq!(head.headers["grpc-status"], "14");
        assert_eq!(head.headers["grpc-message"], "no healthy upstream");
    }

    #[test]
    fn a_reply_may_know_its_grpc_status_better() {
        let mut reply = LocalReply::text(StatusCode::OK, "", "told");
        reply.headers.push((http::HeaderName::from_static("grpc-status"), HeaderValue::from(7)));

        assert_eq!(parts(&reply, true).0.headers["grpc-status"], "7");
    }

    #[test]
    fn only_grpc_itself_is_grpc() {
        let is = |value: &'static str| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };

        assert!(is("application/grpc") && is("application/grpc+proto"));
        assert!(!is("application/grpc-web") && !is("application/json"));
    }
}
