//! Certificates of an authority made for one test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that signs certificates and writes them as PEM files.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new authority.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes its own certificate.
    pub fn write(&self, path: &Path) -> PathBuf {
        std::fs::write(path, &self.pem).expect("the authority's certificate");
        path.to_owned()
    }

    /// Signs a certificate for a name, which is also its subject, and writes it and its key.
    pub fn sign(&self, name: &str, certificate: &Path, key: &Path) {
        self.sign_for(name, &[name], certificate, key);
    }

    /// Signs a certificate for names and writes it and its key.
    pub fn sign_for(&self, subject: &str, names: &[&str], certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, subject);
        let signed = params.signed_by(&pair, &self.issuer).expect("a certificate");
        std::fs::write(certificate, signed.pem()).expect("the certificate");
        std::fs::write(key, pair.serialize_pem()).expect("the key");
    }
}
