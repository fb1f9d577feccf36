//! VirtualServices, with their hosts completed and their delegates' routes in place.

use std::sync::Arc;

use api::virtual_service::GatewayRef;
use api::{ExportTo, ResourceSet, Valid, VirtualService};
use base::Host;

use crate::delegate::Delegates;
use crate::settings::{self, Settings};
use crate::slice::Source;

/// A VirtualService with its hosts completed and its delegates' routes in place.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) config: Arc<Valid<VirtualService>>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) http: Vec<Arc<Source>>,
    pub(crate) export_to: ExportTo,
}

impl Bound {
    /// Whether it routes for sidecars.
    pub(crate) fn is_for_mesh(&self) -> bool {
        self.config.gateways.contains(&GatewayRef::Mesh)
    }

    /// Whether a namespace sees it, and how closely: what nobody else sees comes first, then what is shown to
    /// few, then what everybody sees. The closest decides, whatever its age.
    pub(crate) fn distance(&self, namespace: &str) -> Option<u8> {
        match &self.export_to {
            ExportTo::All => Some(2),
            ExportTo::Namespaces(_) if !self.export_to.includes(namespace) => None,
            ExportTo::Namespaces(_) if *self.config.meta().namespace == *namespace => Some(0),
            ExportTo::Namespaces(_) => Some(1),
        }
    }
}

/// Every VirtualService that has hosts, the oldest first: of two that claim one host the older decides.
pub(crate) fn gather(set: &ResourceSet, settings: &Settings) -> Vec<Arc<Bound>> {
    let default = &settings.exports.virtual_services;
    let delegates = Delegates::new(set.virtual_services(), default);
    let mut all: Vec<_> = set.virtual_services().filter(|config| !config.hosts.is_empty()).collect();
    all.sort_by_cached_key(|config| crate::age(config.meta()));
    all.into_iter()
        .map(|config| {
            let namespace = &config.meta().namespace;
            let hosts = config.hosts.iter().map(|host| Host::resolve(host, namespace, &settings.domain));
            Arc::new(Bound {
                hosts: hosts.collect(),
                http: delegates.resolve(config),
                export_to: settings::visible(config.export_to.as_ref(), default, namespace),
                config: config.clone(),
            })
        })
        .collect()
}
