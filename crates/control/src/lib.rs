//! The control plane: a directory of YAML in, configuration for every proxy out, and a socket to ask and to change.
//!
//! Start at [`Control::start`], which assembles the machine; a change's way through it is `builder`, `plane`,
//! `supply`. Those who talk to a running control plane start at [`client`].
//!
//! Never: falls over what a file, a proxy or a request says, or takes configuration out of force because a
//! newer one cannot be used.

mod addresses;
mod builder;
pub mod client;
mod debug;
mod desk;
mod gather;
mod home;
mod issues;
mod metrics;
mod node;
mod pages;
mod plane;
mod proxies;
mod render;
pub mod running;
mod server;
mod settings;
mod socket;
mod start;
mod supply;
#[cfg(test)]
mod tests;
pub mod wire;

pub use start::{Control, Options, StartError, run};
