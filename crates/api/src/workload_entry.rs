//! Istio's WorkloadEntry: one workload outside the platform.

use std::collections::BTreeMap;

use base::Labels;

mod read;

pub(crate) use read::{ENDPOINT_FIELDS, FIELDS, is_socket, read, read_endpoint, read_template};

/// One workload: an address and what is known of it. Also an endpoint of a ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// An IP address, a host name to be resolved, or `unix://` and the path of a Unix socket (`@name` of an abstract
    /// one); empty only where a network gateway stands for it.
    pub address: String,
    /// The workload's own number for a service port's name.
    pub ports: BTreeMap<String, u16>,
    /// Labels that selectors see.
    pub labels: Labels,
    /// The network it is in, empty for the mesh's own.
    pub network: String,
    /// `region/zone/subzone`, empty where unknown.
    pub locality: String,
    /// Its share among endpoints; 1 where nothing is written.
    pub weight: u32,
    /// The service account it runs as, empty where unknown.
    pub service_account: String,
}
