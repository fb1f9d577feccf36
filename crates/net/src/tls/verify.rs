//! Whom a context trusts: roots, revocations, pins and names.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};

use super::TlsError;
use super::material::{certificates, revocations};
use super::peer::Peer;

/// Tells whether a certificate is one of those expected, by what it says and by the SHA-256 of itself and of its
/// public key; else why not.
pub type Check = Arc<dyn Fn(&Peer, (&[u8; 32], &[u8; 32])) -> Result<(), String> + Send + Sync>;

/// The roots a peer must chain to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Any certificate is taken, if its owner has the key.
    #[default]
    Anyone,
    /// These, in PEM.
    Pem(Vec<u8>),
    /// Those of the operating system.
    System,
}

/// Whom a context trusts.
#[derive(Clone, Default)]
pub struct Trust {
    /// The roots.
    pub roots: Roots,
    /// Revoked certificates, in PEM; where given, every certificate of a chain must be covered by one.
    pub revoked: Option<Vec<u8>>,
    /// Whether only the peer's own certificate is looked up there.
    pub revoked_leaf_only: bool,
    /// Whether a certificate that does not chain to the roots is taken all the same.
    pub accepts_untrusted: bool,
    /// Whether one whose time is over is.
    pub accepts_expired: bool,
    /// How many certificates may stand between it and its root.
    pub max_depth: Option<u32>,
    /// What the peer's own certificate must fulfil beside.
    pub check: Option<Check>,
    /// Client side: whether the certificate must be for the server name that is sent.
    pub matches_server_name: bool,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("roots", &self.roots).finish_non_exhaustive()
    }
}

/// Why a certificate that chains to a root is not taken all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unfit(String);

fn unfit(why: String) -> Error {
    CertificateError::Other(OtherError(Arc::new(Unfit(why)))).into()
}

impl Trust {
    /// What the roots say that were handed in.
    pub(super) fn known_roots(&self) -> Vec<Peer> {
        let Roots::Pem(pem) = &self.roots else { return Vec::new() };
        certificates(pem).unwrap_or_default().iter().filter_map(|der| Peer::read(der)).collect()
    }
}

/// Checks certificates of either side.
pub(super) struct Verifier {
    chain: Chain,
    trust: Trust,
    /// The roots themselves: one that is shown as it stands is trusted though it is no end's certificate.
    anchors: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    requires: bool,
}

enum Chain {
    Anyone,
    Clients(Arc<dyn ClientCertVerifier>),
    Servers(Arc<WebPkiServerVerifier>),
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// The operating system's roots, read once.
fn system() -> &'static [CertificateDer<'static>] {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(%error, "some of the system's root certificates cannot be read");
        }
        loaded.certs
    })
}

impl Verifier {
    /// Checks clients; one without a certificate is let in unless `requires`.
    pub(super) fn of_clients(
        trust: Trust,
        requires: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let (store, anchors) = roots(&trust)?;
        let chain = match store {
            None => Chain::Anyone,
            Some(store) => {
                let mut builder = WebPkiClientVerifier::builder_with_provider(store, Arc::clone(provider))
                    .with_crls(crls(&trust)?)
                    .allow_unauthenticated();
                if trust.revoked_leaf_only {
                    builder = builder.only_check_end_entity_revocation();
                }
                Chain::Clients(builder.build().map_err(|error| TlsError::context(error.to_string()))?)
            }
        };
        Ok(Self { chain, trust, anchors, provider: Arc::clone(provider), requires })
    }

    /// Checks servers.
    pub(super) fn of_servers(trust: Trust, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let (store, anchors) = roots(&trust)?;
        let chain = match store {
            None => Chain::Anyone,
            Some(store) => {
                let mut builder = WebPkiServerVerifier::builder_with_provider(store, Arc::clone(provider))
                    .with_crls(crls(&trust)?);
                if trust.revoked_leaf_only {
                    builder = builder.only_check_end_entity_revocation();
                }
                Chain::Servers(builder.build().map_err(|error| TlsError::context(error.to_string()))?)
            }
        };
        Ok(Self { chain, trust, anchors, provider: Arc::clone(provider), requires: true })
    }

    /// Whether a certificate that stands among the roots is shown: its chain has no other member.
    fn is_anchor(&self, certificate: &CertificateDer<'_>, error: &Error, now: UnixTime) -> bool {
        let of_end = match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
            // A root that was made to be one, which the library takes for no end's certificate.
            Error::InvalidCertificate(CertificateError::Other(other)) => {
                other.to_string().contains("CaUsedAsEndEntity")
            }
            _ => false,
        };
        of_end
            && self.trust.revoked.is_none()
            && self.anchors.iter().any(|anchor| anchor.as_ref() == certificate.as_ref())
            && Peer::read(certificate).is_some_and(|peer| {
                let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
                (peer.not_before..=peer.not_after).contains(&now)
            })
    }

    /// Whether a certificate is taken though its chain is not trusted.
    fn is_excused(&self, certificate: &CertificateDer<'_>, error: &Error, now: UnixTime) -> bool {
        self.trust.accepts_untrusted || self.is_anchor(certificate, error, now)
    }

    /// The time by which a certificate is judged.
    fn time(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
        let expired = self.trust.accepts_expired.then(|| Peer::read(certificate)).flatten();
        let end = expired.and_then(|peer| u64::try_from(peer.not_after).ok());
        match end.filter(|end| *end < now.as_secs()) {
            Some(end) => UnixTime::since_unix_epoch(std::time::Duration::from_secs(end)),
            None => now,
        }
    }

    fn is_too_deep(&self, intermediates: &[CertificateDer<'_>]) -> bool {
        let most = self.trust.max_depth.and_then(|most| usize::try_from(most).ok());
        most.is_some_and(|most| intermediates.len() > most)
    }

    /// Pins and names, once the chain is trusted.
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let trust = &self.trust;
        if let Some(check) = &trust.check {
            let whole: [u8; 32] = Sha256::digest(certificate).into();
            let key = Peer::key_hash(certificate).ok_or(CertificateError::BadEncoding)?;
            let peer = Peer::read(certificate).ok_or(CertificateError::BadEncoding)?;
            check(&peer, (&whole, &key)).map_err(unfit)?;
        }
        Ok(())
    }
}

/// The roots of a trust; none where anyone is taken.
#[allow(clippy::type_complexity, reason = "one pair for one caller each")]
fn roots(trust: &Trust) -> Result<(Option<Arc<RootCertStore>>, Vec<CertificateDer<'static>>), TlsError> {
    let anchors = match &trust.roots {
        Roots::Anyone => return Ok((None, Vec::new())),
        Roots::Pem(pem) => certificates(pem)?,
        Roots::System => system().to_vec(),
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(anchors.iter().cloned());
    if added == 0 {
        return Err(TlsError::context("there is no root certificate"));
    }
    Ok((Some(Arc::new(store)), anchors))
}

fn crls(trust: &Trust) -> Result<Vec<rustls::pki_types::CertificateRevocationListDer<'static>>, TlsError> {
    trust.revoked.as_deref().map_or_else(|| Ok(Vec::new()), revocations)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is_too_deep(intermediates) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        if let Chain::Servers(chain) = &self.chain {
            let now = self.time(end, now);
            match chain.verify_server_cert(end, intermediates, name, ocsp, now) {
                Ok(_) => {}
                // The chain is checked before the name, which is our own business below.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) if self.is_excused(end, &error, now) => {}
                Err(error) => return Err(error),
            }
        }
        if self.trust.matches_server_name {
            let fits = rustls::client::verify_server_name(&ParsedCertificate::try_from(end)?, name);
            fits.map_err(|_| unfit(Peer::read(end).unwrap_or_default().told_names()))?;
        }
        self.check(end)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.requires
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.chain {
            Chain::Clients(chain) => chain.root_hint_subjects(),
            Chain::Anyone | Chain::Servers(_) => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.is_too_deep(intermediates) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        if let Chain::Clients(chain) = &self.chain {
            let now = self.time(end, now);
            match chain.verify_client_cert(end, intermediates, now) {
                Ok(_) => {}
                Err(error) if self.is_excused(end, &error, now) => {}
                Err(error) => return Err(error),
            }
        }
        self.check(end)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Verifier {
    fn signed12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn signed13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }
}
