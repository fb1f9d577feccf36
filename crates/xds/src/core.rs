//! What the protocol means, as state machines that neither read a socket nor a clock.

pub(crate) mod backoff;
pub(crate) mod client;
pub(crate) mod ledger;
pub(crate) mod message;
pub(crate) mod server;
pub(crate) mod talk;
mod whole;

pub(crate) use message::{Request, Response};

#[cfg(test)]
mod tests;
