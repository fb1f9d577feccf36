//! Parses, positions and validates what users write: Kubernetes Services, EndpointSlices and Secrets, Istio's
//! traffic objects and its MeshConfig.
//!
//! Start at [`parse`], which turns the bytes of one file into [`Resource`]s and [`base::Issue`]s; the shape of
//! each kind is in the module of its name, and [`support`] says field by field what this version enforces.
//!
//! Never: opens a file, panics on what it reads, or lets a [`Valid`] be made by anyone else.

mod bind;
mod check;
pub mod config_map;
pub mod connection_pool;
mod decimal;
pub mod destination_rule;
pub mod edit;
pub mod endpoint_slice;
mod export;
pub mod gateway;
mod identity;
mod kind;
pub mod load_balancer;
pub mod locality;
pub mod mesh_config;
mod meta;
pub mod outlier;
mod parse;
pub mod pod;
pub mod proxy_config;
mod read;
mod resource;
#[cfg(test)]
mod sample;
mod schema;
pub mod secret;
pub mod service;
pub mod service_entry;
mod set;
pub mod sidecar;
pub mod support;
pub mod tls;
pub mod virtual_service;
pub mod workload_entry;
pub mod workload_group;
pub mod yaml;

pub use bind::Bind;
pub use config_map::ConfigMap;
pub use decimal::Decimal;
pub use destination_rule::DestinationRule;
pub use endpoint_slice::EndpointSlice;
pub use export::ExportTo;
pub use gateway::Gateway;
pub use kind::{Key, Kind};
pub use mesh_config::MeshConfig;
pub use meta::Meta;
pub use parse::{Parsed, parse};
pub use pod::Pod;
pub use proxy_config::ProxyConfig;
pub use read::MAX_BYTES;
pub use resource::{Resource, Spec, Valid};
pub use secret::Secret;
pub use service::Service;
pub use service_entry::ServiceEntry;
pub use set::ResourceSet;
pub use sidecar::Sidecar;
pub use virtual_service::VirtualService;
pub use workload_entry::WorkloadEntry;
pub use workload_group::WorkloadGroup;
