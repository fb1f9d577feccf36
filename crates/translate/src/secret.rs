//! Secrets: certificates and authorities, as bytes or as the files that hold them.

use std::path::Path;

use proto::envoy::config::core::v3::{DataSource, WatchedDirectory, data_source::Specifier};
use proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};

use mesh::{Material, SecretContent, SecretSlice};

pub(crate) fn secret(slice: &SecretSlice) -> Secret {
    let content = match &slice.content {
        SecretContent::Certificate { chain, key } => Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(source(chain)),
            private_key: Some(source(key)),
            watched_directory: watched(chain),
            ..Default::default()
        }),
        SecretContent::Roots { authorities, revoked } => {
            Type::ValidationContext(CertificateValidationContext {
                trusted_ca: Some(source(authorities)),
                crl: revoked.as_ref().map(source),
                watched_directory: watched(authorities),
                ..Default::default()
            })
        }
    };
    Secret { name: slice.name.clone(), r#type: Some(content) }
}

fn source(material: &Material) -> DataSource {
    let specifier = match material {
        Material::Bytes(bytes) => Specifier::InlineBytes(bytes.to_vec()),
        Material::File(path) => Specifier::Filename(path.clone()),
    };
    DataSource { specifier: Some(specifier), ..Default::default() }
}

/// A file's folder: certificates are renewed by moving a new file, or a link to it, into it.
fn watched(material: &Material) -> Option<WatchedDirectory> {
    let Material::File(path) = material else { return None };
    let folder = Path::new(path).parent()?.to_str().filter(|folder| !folder.is_empty())?;
    // Not everybody renames: a renewed certificate may be written over the old one.
    Some(WatchedDirectory { path: folder.to_owned(), watch_modify: true })
}
