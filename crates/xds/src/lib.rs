//! Aggregated discovery, both ends: the server that tells proxies what to do and the client that listens.
//!
//! Start at [`Supply`] and [`serve`] for the server, at [`Accept`] and [`follow`] for the client. What the
//! protocol means is decided in `core`, two state machines without a socket between them; the shells only
//! carry messages.
//!
//! Never: a thought about what a cluster or a route says, or a resource sent twice because nobody remembered.

mod client;
mod connections;
mod core;
mod resource_type;
mod server;
#[cfg(test)]
mod world;

pub use client::{Accept, Added, Reject, Update, follow};
pub use connections::{Connection, Connections, TypeStatus};
pub use proto::envoy::config::core::v3::Node;
pub use resource_type::TypeUrl;
pub use server::{Feed, Served, Supply, Turned, serve};
