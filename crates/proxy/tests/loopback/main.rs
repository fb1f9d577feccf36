//! The proxy over real sockets: configuration applied as a control plane would, traffic on loopback.

#![allow(clippy::unwrap_used)]

mod backend;
mod bed;
mod client;

mod changes;
mod extras;
mod malformed;
mod protocols;
mod retries;
mod routing;
