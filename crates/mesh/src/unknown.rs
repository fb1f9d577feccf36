//! What becomes of traffic to destinations that nobody declared.

use std::sync::Arc;

use api::sidecar::OutboundMode;
use base::Host;

use crate::cluster::{BLACK_HOLE, BY_NAME, PASSTHROUGH};
use crate::site::Site;
use crate::slice::{Http, Route, RouteSlice, RouteSource, Side, VirtualHost};
use crate::vantage::cluster_name;

/// The policy that holds at a site: its Sidecar's, else the mesh's.
pub(crate) fn policy(site: Site<'_>) -> OutboundMode {
    let written = site.scope.sidecar.as_ref().and_then(|sidecar| sidecar.outbound_traffic_policy.as_ref());
    written.map_or(site.state.settings.outbound, |policy| policy.mode)
}

/// The proxy's proxy: the service that a Sidecar sends everything unknown to.
fn egress_proxy(site: Site<'_>) -> Option<String> {
    let sidecar = site.scope.sidecar.as_ref()?;
    let to = sidecar.outbound_traffic_policy.as_ref()?.egress_proxy.as_ref()?;
    let host = Host::resolve(&to.host, &sidecar.meta().namespace, &site.state.settings.domain);
    Some(cluster_name(to.port.unwrap_or_default(), to.subset.as_deref().unwrap_or_default(), &host))
}

/// The cluster for connections.
pub(crate) fn cluster(site: Site<'_>) -> String {
    match policy(site) {
        OutboundMode::RegistryOnly => BLACK_HOLE.to_owned(),
        OutboundMode::AllowAny | OutboundMode::AllowAnyDynamicDns => {
            egress_proxy(site).unwrap_or_else(|| PASSTHROUGH.to_owned())
        }
    }
}

/// The cluster for requests; None where they are refused.
pub(crate) fn cluster_of_requests(site: Site<'_>) -> Option<String> {
    match policy(site) {
        OutboundMode::AllowAny => Some(cluster(site)),
        OutboundMode::AllowAnyDynamicDns => Some(egress_proxy(site).unwrap_or_else(|| BY_NAME.to_owned())),
        OutboundMode::RegistryOnly => None,
    }
}

/// The virtual host for requests.
pub(crate) fn virtual_host(site: Site<'_>) -> VirtualHost {
    let to = |name: &str, cluster: String| {
        let route = Route::Default {
            name: name.to_owned(),
            cluster,
            operation: String::new(),
            hash: None,
            origin: None,
        };
        VirtualHost::new(name, vec!["*".into()], vec![route])
    };
    match cluster_of_requests(site) {
        None => VirtualHost::new("block_all", vec!["*".into()], vec![Route::Block]),
        Some(cluster) if policy(site) == OutboundMode::AllowAnyDynamicDns => {
            to("allow_any_dynamic_dns", cluster)
        }
        Some(cluster) => to("allow_any", cluster),
    }
}

/// What is done with requests that no listener is there for, where names are resolved.
pub(crate) fn requests(site: Site<'_>) -> Http {
    let name = "virtualOutbound-catchall-http";
    let routes = RouteSlice::new(name, Side::Outbound, true, vec![virtual_host(site)]);
    Http {
        routes: RouteSource::Inline(Arc::new(routes)),
        stat_prefix: format!("outbound_{}_{}", site.any(), site.state.settings.outbound_port),
        forwards_by_dns: true,
        keeps_sessions: false,
        takes_tunnels: false,
    }
}

/// Whether some requests go to where their host resolves to.
pub(crate) fn resolves_names(site: Site<'_>) -> bool {
    site.proxy.local.is_some() || policy(site) == OutboundMode::AllowAnyDynamicDns
}
