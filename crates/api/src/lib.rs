//! Parses, positions and validates what users write: Kubernetes Services and EndpointSlices, and Istio's
//! traffic objects.
//!
//! Start at [`parse`], which turns the bytes of one file into [`Resource`]s and [`base::Issue`]s; the shape of
//! each kind is in the module of its name, and [`support`] says field by field what this version enforces.
//!
//! Never: opens a file, panics on what it reads, or lets a [`Valid`] be made by anyone else.

mod check;
pub mod destination_rule;
pub mod edit;
pub mod endpoint_slice;
pub mod gateway;
mod kind;
mod meta;
mod parse;
mod read;
mod resource;
mod schema;
pub mod service;
pub mod service_entry;
mod set;
pub mod support;
pub mod virtual_service;
pub mod workload_entry;
pub mod yaml;

pub use destination_rule::DestinationRule;
pub use endpoint_slice::EndpointSlice;
pub use gateway::Gateway;
pub use kind::{Key, Kind};
pub use meta::Meta;
pub use parse::{MAX_BYTES, Parsed, parse};
pub use resource::{Resource, Spec, Valid};
pub use service::Service;
pub use service_entry::ServiceEntry;
pub use set::ResourceSet;
pub use virtual_service::VirtualService;
pub use workload_entry::WorkloadEntry;
