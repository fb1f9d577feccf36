//! Connections that turn from HTTP into something else, such as WebSocket.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use net::Raw;
use net::relay::{Passed, relay};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::account::Entry;
use crate::cut::Cut;

/// An upgrade the client asks for.
pub(crate) struct Upgrade {
    /// The protocol, in lower case.
    pub(crate) protocol: Box<str>,
    /// The client's stream of HTTP/2; none where its whole connection is upgraded.
    pub(crate) client: Option<OnUpgrade>,
}

/// An upstream waiting for the other side of an upgrade.
pub(crate) struct Tunnel {
    entry: Rc<Entry>,
    upstream: Raw,
    times: Times,
    /// Whether it is all of the client's connection, which then has no other way to end it.
    is_whole: bool,
}

/// When what was upgraded ends by itself.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// After nothing passed for so long.
    pub(crate) idle: Option<Duration>,
    /// Then, whatever passes.
    pub(crate) until: Option<Instant>,
}

/// Prepares the relaying of an upgrade: to be run once a connection is answered; a stream runs it itself.
pub(crate) fn begin(entry: &Rc<Entry>, upgrade: Upgrade, upstream: Raw, times: Times) -> Option<Box<Tunnel>> {
    let is_whole = upgrade.client.is_none();
    let tunnel = Box::new(Tunnel { entry: Rc::clone(entry), upstream, times, is_whole });
    let Some(client) = upgrade.client else { return Some(tunnel) };
    // Ends with either side.
    tokio::task::spawn_local(async move {
        if let Ok(client) = client.await {
            tunnel.run(TokioIo::new(client)).await;
        }
    });
    None
}

impl Tunnel {
    /// Relays between both sides; the exchange lasts as long.
    pub(crate) async fn run(self, client: impl AsyncRead + AsyncWrite + Unpin) {
        let passed = Passed::default();
        let idle = self.times.idle;
        let relaying = async {
            match self.upstream {
                Raw::Connection(upstream, _guard) => drop(relay(client, upstream, idle, &passed).await),
                Raw::Stream(upstream) => {
                    if let Ok(upstream) = upstream.await {
                        relay(client, TokioIo::new(upstream), idle, &passed).await;
                    }
                }
            }
        };
        let is_over = match self.times.until {
            None => {
                relaying.await;
                false
            }
            Some(until) => tokio::time::timeout_at(until.into(), relaying).await.is_err(),
        };
        let mut record = self.entry.record.borrow_mut();
        record.relayed(&passed);
        if is_over {
            record.details = "max_duration_timeout".into();
        }
        if self.is_whole && passed.is_left_by_client.get() {
            record.cut(Cut::Client);
        }
    }
}
