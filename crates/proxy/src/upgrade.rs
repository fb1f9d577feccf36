//! Connections that turn from HTTP into something else, such as WebSocket.

use std::rc::Rc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use net::Raw;
use net::relay::{Passed, relay};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::account::Entry;

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
    idle: Option<Duration>,
}

/// Prepares the relaying of an upgrade: to be run once a connection is answered; a stream runs it itself.
pub(crate) fn begin(
    entry: &Rc<Entry>,
    upgrade: Upgrade,
    upstream: Raw,
    idle: Option<Duration>,
) -> Option<Box<Tunnel>> {
    let tunnel = Box::new(Tunnel { entry: Rc::clone(entry), upstream, idle });
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
        match self.upstream {
            Raw::Connection(upstream, _guard) => drop(relay(client, upstream, self.idle, &passed).await),
            Raw::Stream(upstream) => {
                let Ok(upstream) = upstream.await else { return };
                relay(client, TokioIo::new(upstream), self.idle, &passed).await;
            }
        }
        self.entry.record.borrow_mut().relayed(&passed);
    }
}
