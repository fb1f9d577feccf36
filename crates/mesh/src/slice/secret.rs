//! Slices of secrets: what SDS knows under one name.

use std::sync::Arc;

use base::Digest;

/// What SDS knows under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSlice {
    /// The name, such as `kubernetes://cert` or `file-cert:/etc/cert.pem~/etc/key.pem`.
    pub name: String,
    /// What it is.
    pub content: SecretContent,
    digest: Digest,
}

/// A certificate with its key, or the authorities that are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretContent {
    /// A certificate with its key.
    Certificate {
        /// The certificate and those that vouch for it, as PEM.
        chain: Material,
        /// Its private key, as PEM.
        key: Material,
    },
    /// Authorities.
    Roots {
        /// Their certificates, as PEM.
        authorities: Material,
        /// Certificates revoked, as PEM.
        revoked: Option<Material>,
    },
}

/// Bytes, or the file that holds them where the proxy runs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Material {
    /// The bytes themselves, which must not travel where others may read them.
    Bytes(Arc<[u8]>),
    /// A file of the proxy's machine.
    File(String),
}

impl SecretSlice {
    /// Makes a slice of what is known under a name.
    pub fn new(name: &str, content: SecretContent) -> Self {
        let digest = Digest::of_value(&(name, &content));
        Self { name: name.to_owned(), content, digest }
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it holds bytes, and so may only travel where nobody else reads.
    pub fn is_private(&self) -> bool {
        let is_bytes = |material: &Material| matches!(material, Material::Bytes(_));
        match &self.content {
            SecretContent::Certificate { chain, key } => is_bytes(chain) || is_bytes(key),
            SecretContent::Roots { authorities, .. } => is_bytes(authorities),
        }
    }
}

// A key must not reach a log by way of a debug line.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(path) => write!(f, "File({path:?})"),
        }
    }
}
