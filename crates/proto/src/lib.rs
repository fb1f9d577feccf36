//! The messages of the wire: Envoy's xDS, and by hand the few of Istio's that travel beside it.
//!
//! Start at [`envoy`] for Envoy's own tree, [`any`] for packing and unpacking, [`json`] for the form people read.
//! Nobody above this crate names `envoy-types`, so that what a message costs to compile is paid once.
//!
//! Never: edited generated code, or a thought about what a message means.

pub mod any;
pub mod istio;
pub mod json;

pub use envoy_types::pb::envoy;
pub use envoy_types::pb::google;
pub use envoy_types::pb::xds;
pub use prost::{Message, Name};

pub use google::protobuf::Any;
