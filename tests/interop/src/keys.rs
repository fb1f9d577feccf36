//! Keys and certificates made for one test, and the clients that show them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tests_mesh::Authority;

/// The authority that everybody trusts.
const OURS: &str = "ours";

/// The files of two authorities, `ours` and `foreign`, and of those whom they have signed.
#[derive(Debug)]
pub struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    /// Signs a certificate of each of these servers, of a `client`, and, by the foreign authority, of a `stranger`.
    pub fn new(servers: &[(&str, &[&str])]) -> Self {
        let keys = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let mut known = servers.to_vec();
        known.push(("client", &["client"]));
        for (authority, names) in [(OURS, known), ("foreign", vec![("stranger", &["stranger"][..])])] {
            let signer = Authority::new(authority);
            signer.write(&keys.certificate(authority));
            for (name, names) in names {
                signer.sign_for(name, names, &keys.certificate(name), &keys.key(name));
            }
        }
        keys
    }

    /// The file of a certificate.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.crt"))
    }

    /// The file of a key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.key"))
    }

    /// The file of what everybody trusts.
    pub fn authority(&self) -> PathBuf {
        self.certificate(OURS)
    }

    /// The names under which proxies ask for the certificates of these, and for what everybody trusts.
    pub fn secrets(&self, names: &[&str]) -> Vec<String> {
        let own = |name: &&str| {
            format!("file-cert:{}~{}", self.certificate(name).display(), self.key(name).display())
        };
        let trusted = format!("file-root:{}", self.authority().display());
        names.iter().map(own).chain([trusted]).collect()
    }

    /// A client that offers these protocols and, if it is somebody, shows a certificate.
    ///
    /// # Panics
    /// When a file is not what it should be.
    pub fn client(&self, protocols: &[&str], somebody: Option<&str>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        let mut config = match somebody {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (chain, key) = self.pair(name);
                builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A server that may ask its clients for certificates, and then takes none without.
    ///
    /// # Panics
    /// When a file is not what it should be.
    pub fn server(&self, name: &str, asks: bool) -> Arc<ServerConfig> {
        let builder = match asks {
            false => ServerConfig::builder().with_no_client_auth(),
            true => {
                let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots())).build();
                ServerConfig::builder().with_client_cert_verifier(verifier.expect("an authority"))
            }
        };
        let (chain, key) = self.pair(name);
        Arc::new(builder.with_single_cert(chain, key).expect("a certificate and its key"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for certificate in self.read(OURS) {
            roots.add(certificate).expect("an authority's certificate");
        }
        roots
    }

    fn pair(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.read(name), PrivateKeyDer::from_pem_file(self.key(name)).expect("a key"))
    }

    fn read(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let found = CertificateDer::pem_file_iter(self.certificate(name)).expect("a certificate's file");
        found.collect::<Result<_, _>>().expect("certificates")
    }
}
