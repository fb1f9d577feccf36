//! What holds for the whole mesh.

/// What becomes of traffic to a destination nobody declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutboundPolicy {
    /// It goes out as it is.
    #[default]
    AllowAny,
    /// It is refused.
    RegistryOnly,
}

/// Mesh-wide settings (the part of Istio's MeshConfig that decides something here).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The DNS suffix of Kubernetes services.
    pub domain: String,
    /// The namespace whose configuration holds for every other.
    pub root_namespace: String,
    /// What becomes of traffic to undeclared destinations.
    pub outbound: OutboundPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            outbound: OutboundPolicy::AllowAny,
        }
    }
}
