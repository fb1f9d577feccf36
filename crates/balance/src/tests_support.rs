//! What the tests of several modules share.

use std::sync::Arc;

use base::Address;

use crate::health::Health;
use crate::host::{Host, HostState};

/// A healthy endpoint of weight 1 at a port of loopback.
pub(crate) fn host(port: u16) -> Host {
    Host {
        address: Address::Ip(([127, 0, 0, 1], port).into()),
        key: None,
        weight: 1,
        priority: 0,
        locality: 0,
        health: Health::Healthy,
        state: Arc::new(HostState::default()),
    }
}
