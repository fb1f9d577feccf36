//! The side that connects.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsConnector;

use super::material::Certificate;
use super::options::Options;
use super::peer::Peer;
use super::verify::{Trust, Verifier};
use super::{TlsError, provider, words};
use crate::io::Io;
use crate::replay::Replay;
use crate::socket::Socket;

/// What a client is made of.
#[derive(Debug, Default)]
pub struct ClientSettings {
    /// Its certificate, for servers that ask.
    pub certificate: Option<Certificate>,
    /// Whom it trusts.
    pub trust: Trust,
    /// Versions, ciphers, curves.
    pub options: Options,
    /// The protocols it offers, the most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// Whether it resumes sessions.
    pub resumes: bool,
}

/// A client's side of TLS; immutable, and shared by all workers.
#[derive(Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    own: Option<Peer>,
    roots: Vec<Peer>,
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    /// Certificate, key, roots or options cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        let provider = provider(&settings.options)?;
        let versions = settings.options.versions()?;
        let key = settings.certificate.map(|certificate| certificate.read(&provider)).transpose()?;
        let own = key.as_ref().and_then(|key| Peer::read(key.cert.first()?));
        let roots = settings.trust.known_roots();
        let verifier = Verifier::of_servers(settings.trust, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| TlsError::context(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match key {
            None => builder.with_no_client_auth(),
            Some(key) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::unwrap_or_clone(key))))
            }
        };
        config.alpn_protocols = settings.alpn;
        if !settings.resumes {
            config.resumption = rustls::client::Resumption::disabled();
        }
        Ok(Self { config: Arc::new(config), own, roots })
    }

    /// What its certificate says, if it has one.
    pub fn certificates(&self) -> &[Peer] {
        self.own.as_slice()
    }

    /// What the roots it trusts say; empty for the system's.
    pub fn roots(&self) -> &[Peer] {
        &self.roots
    }

    /// Shakes hands over a fresh connection; `name` is sent as the server's where there is one, and `alpn`
    /// offered in place of the context's own.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn connect(
        &self,
        socket: impl Into<Socket>,
        name: Option<&str>,
        alpn: Option<&[Vec<u8>]>,
    ) -> Result<Io, TlsError> {
        let socket = socket.into();
        let ip = socket.peer_ip().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        // Of an address nothing is sent.
        let name = match name.map(|name| ServerName::try_from(name.to_owned())) {
            Some(Ok(name)) => name,
            Some(Err(_)) | None => ServerName::IpAddress(ip.into()),
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let replay = Replay::with_seen(socket, bytes::BytesMut::new());
        let shaking = match alpn {
            None => connector.connect(name, replay),
            Some(alpn) => connector.with_alpn(alpn.to_vec()).connect(name, replay),
        };
        let tls = shaking.await.map_err(|error| TlsError::Handshake(words::of(&error)))?;
        Ok(Io::Tls(Box::new(tls.into())))
    }
}
