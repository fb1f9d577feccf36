//! What is said about HTTP/2 connections, on either side.

use std::time::Duration;

use proto::envoy::config::core::v3::Http2ProtocolOptions;

use crate::read::{Within, Wrong, duration};

/// How an HTTP/2 connection is found out to be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// How often the other end is pinged.
    pub interval: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
}

impl Ping {
    /// What the options of one side say of it; none for never.
    pub(crate) fn compile(options: Option<&Http2ProtocolOptions>) -> Result<Option<Self>, Wrong> {
        let Some(rules) = options.and_then(|options| options.connection_keepalive.as_ref()) else {
            return Ok(None);
        };
        let path = "http2_protocol_options.connection_keepalive";
        let interval = duration(&rules.interval, "interval").within(path)?;
        let timeout = duration(&rules.timeout, "timeout").within(path)?;
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        let timeout = timeout.ok_or_else(|| Wrong::new("timeout", "is missing")).within(path)?;
        // Without an interval only idle connections are asked before they are used, which is not done.
        Ok(interval.filter(|interval| !interval.is_zero()).map(|interval| Self { interval, timeout }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proto::envoy::config::core::v3::KeepaliveSettings;
    use proto::google::protobuf;

    use super::*;

    #[test]
    fn a_ping_needs_to_know_how_long_to_wait() {
        let seconds = |seconds| Some(protobuf::Duration { seconds, nanos: 0 });
        let options = |interval, timeout| Http2ProtocolOptions {
            connection_keepalive: Some(KeepaliveSettings { interval, timeout, ..Default::default() }),
            ..Default::default()
        };

        let ping = Ping::compile(Some(&options(seconds(30), seconds(5)))).unwrap().unwrap();
        assert_eq!((ping.interval.as_secs(), ping.timeout.as_secs()), (30, 5));
        assert!(Ping::compile(Some(&options(seconds(30), None))).is_err());
        assert_eq!(Ping::compile(Some(&options(None, seconds(5)))).unwrap(), None);
        assert_eq!(Ping::compile(None).unwrap(), None);
    }
}
