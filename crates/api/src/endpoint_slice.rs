//! Kubernetes' EndpointSlice: addresses behind a Service.

use base::Protocol;

mod read;

pub(crate) use read::{FIELDS, read};

/// Some of the endpoints of one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The Service, from the label `kubernetes.io/service-name`; None where it has none.
    pub service: Option<String>,
    /// What the addresses are.
    pub address_type: AddressType,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The ports, the same for all endpoints.
    pub ports: Vec<EndpointPort>,
}

/// What an EndpointSlice's addresses are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressType {
    /// Host names.
    Fqdn,
    /// IPv4 addresses.
    #[default]
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its addresses, any of which will do; never empty.
    pub addresses: Vec<String>,
    /// Whether it takes new traffic.
    pub ready: bool,
    /// Whether it still answers.
    pub serving: bool,
    /// Whether it is going away.
    pub terminating: bool,
    /// The node it runs on.
    pub node_name: Option<String>,
    /// The zone it runs in.
    pub zone: Option<String>,
    /// The object behind it.
    pub target: Option<Target>,
}

/// The object behind an endpoint, usually a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its kind.
    pub kind: String,
    /// Its namespace, empty where unknown.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One port of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// The name of the Service's port.
    pub name: String,
    /// The number; None means all ports.
    pub number: Option<u16>,
    /// What it speaks.
    pub protocol: Protocol,
}
