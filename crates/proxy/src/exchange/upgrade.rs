//! Connections that turn from HTTP into something else, such as WebSocket.

use std::rc::Rc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use net::Opaque;
use net::relay::{Passed, relay};

use crate::account::Entry;

/// An upgrade the client asks for.
pub(crate) struct Upgrade {
    /// The protocol, in lower case.
    pub(crate) protocol: Box<str>,
    /// The client's side, once the upgrade is answered.
    pub(crate) client: OnUpgrade,
    /// Tells the client's connection that HTTP has ended on it.
    pub(crate) opaque: Opaque,
}

/// Relays between both sides once both are upgraded; the exchange lasts as long.
pub(crate) fn begin(entry: &Rc<Entry>, upgrade: Upgrade, upstream: OnUpgrade, idle: Option<Duration>) {
    let entry = Rc::clone(entry);
    upgrade.opaque.begin();
    // Ends with either side.
    tokio::task::spawn_local(async move {
        let (Ok(client), Ok(upstream)) = tokio::join!(upgrade.client, upstream) else { return };
        let passed = Passed::default();
        relay(TokioIo::new(client), TokioIo::new(upstream), idle, &passed).await;
        entry.record.borrow_mut().relayed(&passed);
    });
}
