//! The server's side of TLS, from PEM files.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::Settings;

/// What takes TLS connections; none where the settings name no certificate.
///
/// # Errors
/// When a file cannot be read, or does not hold what it should.
pub fn acceptor(settings: &Settings) -> anyhow::Result<Option<TlsAcceptor>> {
    let Some((chain, key)) = &settings.certificate else { return Ok(None) };
    let builder = match &settings.client_authority {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authority)? {
                roots.add(certificate).with_context(|| format!("trusting {}", authority.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            ServerConfig::builder().with_client_cert_verifier(verifier.context("asking for certificates")?)
        }
    };
    let reading = || format!("reading {}", key.display());
    let private = PrivateKeyDer::from_pem_file(key).with_context(reading)?;
    let mut config = builder.with_single_cert(certificates(chain)?, private).with_context(reading)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let reading = || format!("reading {}", file.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).with_context(reading)?.collect();
    let found = found.with_context(reading)?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate", file.display());
    Ok(found)
}
