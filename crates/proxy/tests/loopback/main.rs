//! The proxy over real sockets: configuration applied as a control plane would, traffic on loopback.

#![allow(clippy::unwrap_used)]

mod backend;
mod bed;
mod client;
mod pki;

mod balance;
mod capture;
mod changes;
mod early;
mod extras;
mod malformed;
mod pipes;
mod protocols;
mod relays;
mod retries;
mod routing;
mod tls;
mod tunnels;
