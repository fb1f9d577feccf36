//! TLS that listeners take, as Gateways and Sidecars offer it.

use api::gateway::Server;
use api::tls::{ServerTls as Written, ServerTlsMode};

use crate::secret;
use crate::slice::{ClientCertificates, ServerTls, TlsParameters, Trust};

/// The TLS that a server of a Gateway ends; None where it ends none.
pub(crate) fn of(server: &Server) -> Option<ServerTls> {
    server.tls.as_ref().filter(|tls| tls.mode.terminates()).map(settings)
}

/// The TLS of some settings.
pub(crate) fn settings(tls: &Written) -> ServerTls {
    let certificates = match tls.credential_names.is_empty() {
        true => {
            let files = tls.certificates.iter();
            files.map(|file| secret::certificate_file(&file.server_certificate, &file.private_key)).collect()
        }
        false => tls.credential_names.iter().map(|name| secret::credential(name)).collect(),
    };
    let clients = match tls.mode {
        ServerTlsMode::Mutual => ClientCertificates::Required(trust(tls)),
        ServerTlsMode::OptionalMutual => ClientCertificates::Optional(trust(tls)),
        _ => ClientCertificates::None,
    };
    ServerTls {
        certificates,
        subject_alt_names: match clients {
            ClientCertificates::None => tls.subject_alt_names.clone(),
            _ => Vec::new(),
        },
        clients,
        parameters: TlsParameters {
            oldest: tls.min_protocol_version,
            newest: tls.max_protocol_version,
            ciphers: tls.cipher_suites.clone(),
            curves: Vec::new(),
        },
    }
}

/// What clients' certificates are checked against.
fn trust(tls: &Written) -> Trust {
    let credential = tls.ca_cert_credential_name.as_ref().or(tls.credential_names.first());
    Trust {
        roots: match credential {
            Some(name) => secret::authority(name),
            None => secret::authority_file(tls.ca_certificates.as_deref()),
        },
        subject_alt_names: tls.subject_alt_names.clone(),
        revoked: tls.ca_crl.clone().filter(|_| credential.is_none()),
        keys: tls.verify_certificate_spki.clone(),
        hashes: tls.verify_certificate_hash.clone(),
    }
}
