//! Connections to upstreams: the socket, the PROXY header, TLS.

use std::hash::{Hash, Hasher};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use base::Address;
use socket2::TcpKeepalive;
use tokio::io::AsyncWriteExt;

use crate::io::Io;
use crate::proxy_protocol::{self, Header};
use crate::socket;
use crate::tls::{Client, TlsError};

/// Where a connection leads and in what it is wrapped; equal ones may be shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// The endpoint.
    pub address: Address,
    /// The address to connect from.
    pub source: Option<IpAddr>,
    /// The TLS around it.
    pub secure: Option<Secure>,
    /// The client the endpoint is told of.
    pub from: Option<Header>,
}

impl Way {
    /// The plain way to an address.
    pub fn to(address: impl Into<Address>) -> Self {
        Self { address: address.into(), source: None, secure: None, from: None }
    }
}

/// TLS towards an endpoint.
#[derive(Clone, Debug)]
pub struct Secure {
    /// The context; another generation of it is another one.
    pub client: Arc<Client>,
    /// The server name to send.
    pub name: Option<Arc<str>>,
    /// Protocols to offer in place of the context's own.
    pub alpn: Option<Arc<[Vec<u8>]>>,
}

impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.client, &other.client) && self.name == other.name && self.alpn == other.alpn
    }
}

impl Eq for Secure {}

impl Hash for Secure {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.client).hash(state);
        self.name.hash(state);
        self.alpn.hash(state);
    }
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The kernel refused.
    #[error("{0}")]
    Failed(#[from] io::Error),
    /// The endpoint was reached, and no TLS spoken.
    #[error("{0}")]
    Tls(#[from] TlsError),
}

/// Connects.
///
/// # Errors
/// The endpoint cannot be reached, or the handshake fails.
pub async fn dial(way: &Way, keepalive: Option<&TcpKeepalive>) -> Result<Io, DialError> {
    let mut stream = socket::connect(&way.address, way.source).await?;
    if let Some(keepalive) = keepalive {
        stream.keepalive(keepalive)?;
    }
    if let Some(header) = way.from {
        stream.write_all(&proxy_protocol::write(header)).await?;
    }
    Ok(match &way.secure {
        None => Io::Plain(stream),
        Some(secure) => secure.client.connect(stream, secure.name.as_deref(), secure.alpn.as_deref()).await?,
    })
}
