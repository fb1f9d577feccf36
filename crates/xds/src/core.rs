//! What the protocol means, as state machines that neither read a socket nor a clock.

pub(crate) mod backoff;
pub(crate) mod client;
pub(crate) mod server;

#[cfg(test)]
mod tests;
