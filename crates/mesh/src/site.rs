//! Who is asking and what may be reached from there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use api::mesh_config::ConnectionSettings;

use crate::proxy::{Interception, Proxy};
use crate::scope::Scope;
use crate::slice::Manner;
use crate::state::State;

/// A proxy in a mesh, with what it may reach.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) state: &'a State,
    pub(crate) proxy: &'a Proxy,
    pub(crate) scope: &'a Scope,
}

impl Site<'_> {
    /// How the proxy's listeners treat what comes.
    pub(crate) fn manner(&self) -> Arc<Manner> {
        let mut manner = self.state.settings.manner.clone();
        manner.connections = self.connections();
        manner.takes_http10 = self.proxy.takes_http10;
        manner.dns_family = self.proxy.dns_family();
        manner.trusted_proxies = match self.proxy.trusted_proxies {
            // Only gateways have something in front of them.
            _ if !self.proxy.is_gateway() => 0,
            Some(own) => own,
            None => manner.trusted_proxies,
        };
        manner.takes_proxy_protocol =
            self.proxy.is_gateway() && (self.proxy.takes_proxy_protocol || manner.takes_proxy_protocol);
        Arc::new(manner)
    }

    /// The limits the proxy keeps of connections and requests.
    pub(crate) fn connections(&self) -> ConnectionSettings {
        let connections = self.state.settings.manner.connections.clone();
        if self.proxy.is_gateway() { connections.of_gateway() } else { connections }
    }

    /// Every address of the family the proxy mainly uses.
    pub(crate) fn any(&self) -> IpAddr {
        match self.has_family(IpAddr::is_ipv4) {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Every address of the other family, where the proxy has both.
    pub(crate) fn other_any(&self) -> Option<IpAddr> {
        let has_both = self.has_family(IpAddr::is_ipv4) && self.has_family(IpAddr::is_ipv6);
        (has_both && self.is_captured()).then_some(Ipv6Addr::UNSPECIFIED.into())
    }

    /// The loopback address of the family the proxy mainly uses.
    pub(crate) fn loopback(&self) -> IpAddr {
        match self.has_family(IpAddr::is_ipv4) {
            true => Ipv4Addr::LOCALHOST.into(),
            false => Ipv6Addr::LOCALHOST.into(),
        }
    }

    fn has_family(&self, is_of: impl Fn(&IpAddr) -> bool) -> bool {
        self.proxy.addresses.iter().any(is_of)
    }

    /// Whether the kernel hands connections over, whoever they are for.
    pub(crate) fn is_captured(&self) -> bool {
        self.proxy.interception != Interception::None
    }
}
