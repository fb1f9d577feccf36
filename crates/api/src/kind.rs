//! The kinds of object this crate reads, and the key that names one object.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Kubernetes' ConfigMap that holds Istio's MeshConfig.
    ConfigMap,
    /// Istio's DestinationRule: how a host's traffic is balanced, and its subsets.
    DestinationRule,
    /// Kubernetes' EndpointSlice: addresses behind a Service.
    EndpointSlice,
    /// Istio's Gateway: what a gateway proxy listens to.
    Gateway,
    /// Kubernetes' Pod: a workload and its labels.
    Pod,
    /// Istio's ProxyConfig: how the proxies of some workloads are run.
    ProxyConfig,
    /// Kubernetes' Secret, as far as it holds certificates.
    Secret,
    /// Kubernetes' Service.
    Service,
    /// Istio's ServiceEntry: a service the platform does not know.
    ServiceEntry,
    /// Istio's Sidecar: what the proxies of some workloads see and listen to.
    Sidecar,
    /// Istio's VirtualService: how requests to a host are routed.
    VirtualService,
    /// Istio's WorkloadEntry: one workload outside the platform.
    WorkloadEntry,
    /// Istio's WorkloadGroup: what workloads outside the platform have in common.
    WorkloadGroup,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 13] = [
        Kind::ConfigMap,
        Kind::DestinationRule,
        Kind::EndpointSlice,
        Kind::Gateway,
        Kind::Pod,
        Kind::ProxyConfig,
        Kind::Secret,
        Kind::Service,
        Kind::ServiceEntry,
        Kind::Sidecar,
        Kind::VirtualService,
        Kind::WorkloadEntry,
        Kind::WorkloadGroup,
    ];

    /// The kind a user means by `vs`, `virtualservice`, `VirtualServices` or `virtualservices.networking.istio.io`.
    pub fn named(word: &str) -> Option<Kind> {
        let word = word.to_ascii_lowercase();
        Kind::ALL.into_iter().find(|kind| {
            let bare = match word.split_once('.') {
                Some((bare, group)) if group == kind.group() => bare,
                Some(_) => return false,
                None => &word,
            };
            bare == kind.plural()
                || bare == kind.name().to_ascii_lowercase()
                || kind.short_names().contains(&bare)
        })
    }

    /// The name a document writes, e.g. `VirtualService`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::DestinationRule => "DestinationRule",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Gateway => "Gateway",
            Kind::ProxyConfig => "ProxyConfig",
            Kind::Pod => "Pod",
            Kind::Secret => "Secret",
            Kind::Service => "Service",
            Kind::ServiceEntry => "ServiceEntry",
            Kind::Sidecar => "Sidecar",
            Kind::VirtualService => "VirtualService",
            Kind::WorkloadEntry => "WorkloadEntry",
            Kind::WorkloadGroup => "WorkloadGroup",
        }
    }

    /// The lower-case plural, e.g. `virtualservices`.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmaps",
            Kind::DestinationRule => "destinationrules",
            Kind::EndpointSlice => "endpointslices",
            Kind::Gateway => "gateways",
            Kind::ProxyConfig => "proxyconfigs",
            Kind::Pod => "pods",
            Kind::Secret => "secrets",
            Kind::Service => "services",
            Kind::ServiceEntry => "serviceentries",
            Kind::Sidecar => "sidecars",
            Kind::VirtualService => "virtualservices",
            Kind::WorkloadEntry => "workloadentries",
            Kind::WorkloadGroup => "workloadgroups",
        }
    }

    /// The short names kubectl knows.
    pub fn short_names(self) -> &'static [&'static str] {
        match self {
            Kind::ConfigMap => &["cm"],
            Kind::DestinationRule => &["dr"],
            Kind::Gateway => &["gw"],
            Kind::Service => &["svc"],
            Kind::ServiceEntry => &["se"],
            Kind::VirtualService => &["vs"],
            Kind::WorkloadEntry => &["we"],
            Kind::WorkloadGroup => &["wg"],
            Kind::Pod => &["po"],
            Kind::EndpointSlice | Kind::ProxyConfig | Kind::Secret | Kind::Sidecar => &[],
        }
    }

    /// The API group; empty for Kubernetes' core.
    pub fn group(self) -> &'static str {
        match self {
            Kind::EndpointSlice => "discovery.k8s.io",
            Kind::ConfigMap | Kind::Pod | Kind::Secret | Kind::Service => "",
            _ => "networking.istio.io",
        }
    }

    /// The served versions, the preferred one first.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Kind::ConfigMap | Kind::EndpointSlice | Kind::Pod | Kind::Secret | Kind::Service => &["v1"],
            Kind::ProxyConfig => &["v1beta1"],
            _ => &["v1", "v1beta1", "v1alpha3"],
        }
    }

    /// Whether what an object says stands under `spec`.
    pub fn has_spec(self) -> bool {
        !matches!(self, Kind::ConfigMap | Kind::EndpointSlice | Kind::Pod | Kind::Secret)
    }

    /// The preferred `apiVersion`, e.g. `networking.istio.io/v1`.
    pub fn api_version(self) -> String {
        let version = self.versions().first().copied().unwrap_or("v1");
        match self.group() {
            "" => version.into(),
            group => format!("{group}/{version}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What names one object: kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind.
    pub kind: Kind,
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of these three.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

impl FromStr for Key {
    type Err = String;

    /// Reads what [`Key`]'s `Display` writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        match (parts.next().and_then(Kind::named), parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(namespace), Some(name), None) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self::new(kind, namespace, name))
            }
            _ => Err(format!("{text:?} does not name an object; write Kind/namespace/name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_answer_to_the_names_kubectl_knows() {
        for word in ["vs", "VirtualService", "virtualservices", "VirtualServices.networking.istio.io"] {
            assert_eq!(Kind::named(word), Some(Kind::VirtualService), "{word}");
        }
        assert_eq!(Kind::named("gateways.gateway.networking.k8s.io"), None);
        assert_eq!(Kind::named("svc"), Some(Kind::Service));
        assert_eq!(Kind::named(""), None);
    }

    #[test]
    fn a_key_survives_its_text() {
        let key = Key::new(Kind::VirtualService, "default", "reviews");

        assert_eq!(key.to_string(), "VirtualService/default/reviews");
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!("VirtualService/default".parse::<Key>().is_err());
    }
}
