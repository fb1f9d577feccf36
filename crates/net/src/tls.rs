//! TLS of both sides: what is shown, whom it trusts, and what the other side showed.
//!
//! Start at [`Server`] and [`Client`]. Keys enter as PEM, live in the library's own key types, and are
//! neither printed nor handed out again.

mod client;
mod material;
mod options;
mod peer;
mod server;
#[cfg(test)]
mod tests;
mod verify;
mod words;

pub use client::{Client, ClientSettings};
pub use material::{Certificate, Secret};
pub use options::{CIPHERS, CURVES, Options, Version};
pub use peer::Peer;
pub use server::{Server, ServerSettings};
pub use verify::{Check, Roots, Trust};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// Why a context cannot be made, or a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Certificate, key, roots or options cannot be used, and why.
    #[error("{0}")]
    Context(String),
    /// The handshake failed, in Envoy's words.
    #[error("{0}")]
    Handshake(String),
    /// It took too long.
    #[error("TLS handshake timeout")]
    TimedOut,
}

impl TlsError {
    fn context(why: impl Into<String>) -> Self {
        Self::Context(why.into())
    }
}

/// The library's algorithms, narrowed to what the options allow.
fn provider(options: &Options) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    options.narrow(&mut provider)?;
    Ok(Arc::new(provider))
}
