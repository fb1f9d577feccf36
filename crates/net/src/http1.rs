//! HTTP/1, read strictly: what two parsers could read differently is refused, and what is sent is framed anew.
//!
//! `head`, `chunks` and `decode` read, `encode` writes, all without a socket; [`Client`] and [`Server`] are the
//! two ends of a connection. An idle connection keeps no buffer.

mod case;
mod chunks;
mod client;
mod decode;
mod encode;
mod head;
mod input;
mod output;
mod server;

use std::io;

pub use case::{Case, Names};
pub use client::Client;
pub use encode::{Answering, Number};
pub use head::{Limits, RequestHead};
pub use server::{Body, Server};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why HTTP/1 cannot go on on a connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body to be sent failed.
    #[error("the body cannot be sent: {0}")]
    Body(#[source] BoxError),
    /// The other side closed the connection in the middle of a message.
    #[error("the connection was closed before the message was complete")]
    Closed,
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side broke the rules.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// Which rule a message broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The chunked coding.
    #[error("malformed chunk")]
    Chunk,
    /// A line that ends otherwise than it must.
    #[error("malformed line ending")]
    Ending,
    /// Headers that say two things of where the body ends, or nothing that is understood.
    #[error("malformed message framing")]
    Framing,
    /// A header.
    #[error("malformed header")]
    Header,
    /// The head is larger than is allowed, or has too many headers.
    #[error("message head too large")]
    HeadTooLarge,
    /// The first line.
    #[error("malformed first line")]
    StartLine,
    /// The target is longer than any may be.
    #[error("request target too long")]
    TargetTooLong,
}

#[cfg(test)]
mod tests;
