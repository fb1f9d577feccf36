//! Slices of endpoints.

use base::Digest;

/// The endpoints of one cluster.
#[derive(Clone, Debug)]
pub struct EndpointSlice {
    /// The cluster.
    pub cluster: String,
    /// The endpoints by locality and priority.
    pub groups: Vec<EndpointGroup>,
    digest: Digest,
}

impl EndpointSlice {
    /// Makes a slice of these endpoints.
    pub fn new(cluster: &str, groups: Vec<EndpointGroup>) -> Self {
        let digest = Digest::of_value(&(cluster, &groups));
        Self { cluster: cluster.to_owned(), groups, digest }
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Every endpoint.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.groups.iter().flat_map(|group| &group.endpoints)
    }
}

/// The endpoints of one locality that are of one priority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointGroup {
    /// `region/zone/subzone`, empty where unknown.
    pub locality: String,
    /// 0 is used first; the numbers of a cluster's groups have no gaps.
    pub priority: u32,
    /// Its share among the groups of its priority, where shares count; at least 1.
    pub weight: u32,
    /// The endpoints, ordered by address.
    pub endpoints: Vec<Endpoint>,
}

/// One address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// An IP address, a host name, or `unix://` and the path of a socket.
    pub address: String,
    /// The port; 0 for a socket.
    pub port: u16,
    /// Its share; at least 1.
    pub weight: u32,
    /// Whether it takes no new sessions and only keeps those it has.
    pub drains: bool,
    /// Istio's `name;namespace;canonical name;canonical revision;cluster`, empty where unknown.
    pub workload: String,
}
