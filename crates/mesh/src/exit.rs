//! Where what a proxy sends leaves: an egress listener, and how VirtualServices look at its ports.

use api::virtual_service::GatewayRef;

use crate::scope::Egress;
use crate::site::Site;
use crate::vantage::Vantage;

/// One egress listener as a proxy sees it.
#[derive(Clone, Copy)]
pub(crate) struct Exit<'a> {
    pub(crate) site: Site<'a>,
    pub(crate) egress: &'a Egress,
}

impl<'a> Exit<'a> {
    /// The egress listener that has a port.
    pub(crate) fn at_port(site: Site<'a>, port: u16) -> Option<Self> {
        Some(Self { site, egress: site.scope.at_port(port)? })
    }

    /// The port, as its VirtualServices look at it.
    pub(crate) fn vantage(&self, port: u16) -> Vantage<'a> {
        let Site { state, proxy, .. } = self.site;
        Vantage { state, proxy, gateway: &GatewayRef::Mesh, port, is_tls: false }
    }
}
