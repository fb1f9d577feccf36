//! Istio's ServiceEntry: a service the platform does not know.

use base::{Host, Labels, Protocol};

use crate::export::ExportTo;
use crate::workload_entry::WorkloadEntry;

mod read;

pub(crate) use read::{FIELDS, read};

/// A service that is not a Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The hosts; never empty.
    pub hosts: Vec<Host>,
    /// Virtual addresses and networks of the service, as written.
    pub addresses: Vec<String>,
    /// The ports.
    pub ports: Vec<EntryPort>,
    /// Whether the service belongs to the mesh.
    pub location: Location,
    /// How its endpoints are found.
    pub resolution: Resolution,
    /// The endpoints written here.
    pub endpoints: Vec<WorkloadEntry>,
    /// The labels of the workloads that are its endpoints, in place of those written.
    pub workload_selector: Option<Labels>,
    /// Names of which the server's certificate must have one.
    pub subject_alt_names: Vec<String>,
    /// The namespaces that see it; None means the mesh's default.
    pub export_to: Option<ExportTo>,
}

/// A port of a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPort {
    /// The number clients use.
    pub number: u16,
    /// The name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The endpoints' port; the same as `number` where nothing is written.
    pub target_port: u16,
}

/// Where a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Outside the mesh.
    #[default]
    External,
    /// Part of the mesh.
    Internal,
}

/// How a service's endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// By DNS; every address is an endpoint.
    Dns,
    /// By DNS; one address at a time.
    DnsRoundRobin,
    /// By DNS, of the name under a wildcard that each request asks for.
    DynamicDns,
    /// Not at all: the address the client asked for.
    #[default]
    None,
    /// The endpoints written, or workloads selected.
    Static,
}

#[cfg(test)]
mod tests;
