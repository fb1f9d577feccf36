//! The side that is connected to.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::LazyConfigAcceptor;

use super::material::Certificate;
use super::options::Options;
use super::peer::Peer;
use super::verify::{Roots, Trust, Verifier};
use super::{TlsError, provider, words};
use crate::io::Io;
use crate::replay::Replay;
use crate::stream::Stream;

/// What a server is made of.
#[derive(Debug, Default)]
pub struct ServerSettings {
    /// Its certificates: the first that fits a client's name and algorithms is shown.
    pub certificates: Vec<Certificate>,
    /// Whom it trusts, where it asks for certificates at all.
    pub trust: Option<Trust>,
    /// Whether a client must show one.
    pub requires_certificate: bool,
    /// Whether a client must name a server.
    pub requires_server_name: bool,
    /// Whether clients may resume sessions.
    pub resumes: bool,
    /// Versions, ciphers, curves.
    pub options: Options,
    /// The protocols it speaks, the most wanted first.
    pub alpn: Vec<Vec<u8>>,
}

/// A server's side of TLS; immutable, and shared by all workers.
#[derive(Debug)]
pub struct Server {
    agreeing: Arc<ServerConfig>,
    /// For clients whose protocols are none of ours: they get a connection without any, as from Envoy.
    plain: Arc<ServerConfig>,
    own: Vec<Peer>,
    roots: Vec<Peer>,
}

impl Server {
    /// Makes a server.
    ///
    /// # Errors
    /// Certificates, keys, roots or options cannot be used.
    pub fn new(settings: ServerSettings) -> Result<Self, TlsError> {
        let provider = provider(&settings.options)?;
        let keys = settings
            .certificates
            .iter()
            .map(|certificate| certificate.read(&provider))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(TlsError::context("there is no certificate"));
        }
        let own: Vec<Peer> =
            keys.iter().filter_map(|key| key.cert.first().and_then(|der| Peer::read(der))).collect();
        let roots = settings.trust.as_ref().map(Trust::known_roots).unwrap_or_default();
        let versions = settings.options.versions()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| TlsError::context(error.to_string()))?;
        let asks = settings.requires_certificate
            || settings
                .trust
                .as_ref()
                .is_some_and(|trust| trust.roots != Roots::Anyone || trust.check.is_some());
        let builder = match asks {
            false => builder.with_no_client_auth(),
            true => builder.with_client_cert_verifier(Arc::new(Verifier::of_clients(
                settings.trust.unwrap_or_default(),
                settings.requires_certificate,
                &provider,
            )?)),
        };
        let choice = Choice { keys, own: own.clone(), requires_name: settings.requires_server_name };
        let mut plain = builder.with_cert_resolver(Arc::new(choice));
        // Stateless: workers need not share what they remember of clients.
        if settings.resumes {
            plain.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
                .map_err(|error| TlsError::context(error.to_string()))?;
        } else {
            plain.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
            plain.send_tls13_tickets = 0;
        }
        let mut agreeing = plain.clone();
        agreeing.alpn_protocols = settings.alpn;
        Ok(Self { agreeing: Arc::new(agreeing), plain: Arc::new(plain), own, roots })
    }

    /// What its certificates say.
    pub fn certificates(&self) -> &[Peer] {
        &self.own
    }

    /// What the roots it trusts say; empty for the system's.
    pub fn roots(&self) -> &[Peer] {
        &self.roots
    }

    /// Shakes hands with a client, within `limit`; bytes read ahead are taken as its first.
    ///
    /// # Errors
    /// The handshake failed or took too long.
    pub async fn accept(&self, stream: Stream, limit: Duration) -> Result<Stream, TlsError> {
        let (io, seen) = stream.into_parts();
        let Io::Plain(socket) = io else {
            return Err(TlsError::context("TLS within TLS is not spoken"));
        };
        let shaking = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), Replay::with_seen(socket, seen)).await?;
            let config = self.config(&start.client_hello());
            start.into_stream(config).await
        };
        match tokio::time::timeout(limit, shaking).await {
            Ok(Ok(tls)) => Ok(Stream::new(Io::Tls(Box::new(tls.into())))),
            Ok(Err(error)) => Err(TlsError::Handshake(words::of(&error))),
            Err(_) => Err(TlsError::TimedOut),
        }
    }

    fn config(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let agrees = hello.alpn().is_none_or(|mut offered| {
            offered.any(|name| self.agreeing.alpn_protocols.iter().any(|own| own == name))
        });
        Arc::clone(if agrees { &self.agreeing } else { &self.plain })
    }
}

/// Chooses the certificate that is shown.
#[derive(Debug)]
struct Choice {
    keys: Vec<Arc<CertifiedKey>>,
    own: Vec<Peer>,
    requires_name: bool,
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.requires_name && hello.server_name().is_none() {
            return None;
        }
        let can_sign = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().and_then(|name| {
            let fit = self.keys.iter().zip(&self.own).filter(|(_, own)| is_for(own, name));
            fit.map(|(key, _)| key).find(can_sign)
        });
        // A client that names nobody we know gets the first, as it would from Envoy.
        named.or_else(|| self.keys.iter().find(can_sign)).cloned()
    }
}

/// Whether a certificate is for a name: exactly, or by a wildcard for one label.
fn is_for(own: &Peer, name: &str) -> bool {
    own.dns.iter().any(|dns| match dns.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => dns.eq_ignore_ascii_case(name),
    })
}
