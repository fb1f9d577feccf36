//! Aggregated discovery, both ends: the server that tells proxies what to do and the client that listens.
//!
//! Start at [`Supply`] and [`Server`] for the server, at [`Accept`] and [`follow`] for the client. What the
//! protocol means is decided in `core`, in state machines without a socket between them; the shells only carry
//! messages. The server speaks both dialects, delta and state of the world; the client delta.
//!
//! Never: a thought about what a cluster or a route says, or a resource sent twice because nobody remembered.

mod client;
mod connections;
mod core;
mod resource_type;
mod server;
pub mod unix;
#[cfg(test)]
mod world;

pub use self::core::ledger::Ledger;
pub use client::{Accept, Added, Reject, Update, follow};
pub use connections::{Connection, Connections, TypeStatus};
pub use proto::envoy::config::core::v3::Node;
pub use resource_type::TypeUrl;
pub use server::{Caller, Feed, Listener, Peer, Served, Server, Supply, Turned, serve};
