//! Certificates and keys as they are handed in.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;

/// Bytes that nobody is to see: never printed, overwritten when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the writes from being taken for useless.
        std::hint::black_box(&self.0);
    }
}

/// A certificate, what leads from it to its root, and its key, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, then those of its issuers.
    pub chain: Vec<u8>,
    /// The private key, unencrypted.
    pub key: Secret,
    /// What an OCSP responder said of it (DER), to be shown beside it.
    pub ocsp: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads both and makes sure that they belong together.
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = certificates(&self.chain)?;
        if chain.is_empty() {
            return Err(TlsError::context("the certificate chain holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.bytes())
            .map_err(|_| TlsError::context("the private key is not readable PEM"))?;
        let mut key = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| TlsError::context(format!("certificate and key: {error}")))?;
        key.ocsp = self.ocsp.clone();
        Ok(Arc::new(key))
    }
}

/// All certificates of a PEM text.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::context(format!("the certificates are not readable PEM: {error}")))
}

/// All lists of revoked certificates of a PEM text.
pub(super) fn revocations(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    CertificateRevocationListDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::context(format!("the revocation list is not readable PEM: {error}")))
}
