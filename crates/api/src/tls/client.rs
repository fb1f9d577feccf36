//! TLS as a client speaks it to a server.

use super::NO_IDENTITY;
use crate::read::At;
use crate::schema::{Field, Shape, TEXTS, ok, refused_unless};

/// TLS as a client speaks it to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// Who shows a certificate.
    pub mode: ClientTlsMode,
    /// The Secret with certificates and key, in place of the files.
    pub credential_name: Option<String>,
    /// The file of the client's certificate; Some in mode MUTUAL without `credential_name`.
    pub client_certificate: Option<String>,
    /// The file of its key.
    pub private_key: Option<String>,
    /// The file of the authorities the server's certificate may come from; None means the system's.
    pub ca_certificates: Option<String>,
    /// The file of certificates that have been revoked.
    pub ca_crl: Option<String>,
    /// Names of which the server's certificate must have one.
    pub subject_alt_names: Vec<String>,
    /// The server name asked for; None means the host.
    pub sni: Option<String>,
    /// Whether the server's certificate is not looked at.
    pub insecure_skip_verify: bool,
}

/// Who shows a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientTlsMode {
    /// There is no TLS.
    #[default]
    Disable,
    /// Both.
    Mutual,
    /// The server alone.
    Simple,
}

pub(crate) const FIELDS: &[Field] = &[
    refused_unless(
        "mode",
        Shape::Word(&["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
        &["DISABLE", "SIMPLE", "MUTUAL"],
        NO_IDENTITY,
    ),
    ok("clientCertificate", Shape::Text),
    ok("privateKey", Shape::Text),
    ok("caCertificates", Shape::Text),
    ok("credentialName", Shape::Text),
    ok("subjectAltNames", TEXTS),
    ok("sni", Shape::Text),
    ok("insecureSkipVerify", Shape::Bool),
    ok("caCrl", Shape::Text),
];

const FILES: [&str; 4] = ["clientCertificate", "privateKey", "caCertificates", "caCrl"];

/// Reads `tls` of a traffic policy.
pub(crate) fn read(at: &At<'_>) -> ClientTls {
    let mode = match at.text("mode") {
        Some("SIMPLE") => ClientTlsMode::Simple,
        Some("MUTUAL") => ClientTlsMode::Mutual,
        _ => ClientTlsMode::Disable,
    };
    let credential_name = at.owned("credentialName");
    if credential_name.is_some() {
        for field in super::written(at, &FILES) {
            field.error_at_key("conflict", "the Secret of `credentialName` holds this; take the file away");
        }
    } else if mode == ClientTlsMode::Mutual {
        for name in ["clientCertificate", "privateKey"] {
            if at.text(name).is_none() {
                at.missing(name, "mutual TLS needs a client's certificate and its key, or `credentialName`");
            }
        }
    }
    if mode == ClientTlsMode::Simple {
        for field in super::written(at, &["clientCertificate", "privateKey"]) {
            field.warn_at_key("no-effect", "in mode SIMPLE the client shows no certificate; write MUTUAL");
        }
    }
    if at.bool("insecureSkipVerify") == Some(true) {
        check_unverified(at, mode);
    }
    for item in at.list("subjectAltNames").iter().filter(|item| item.node.text() == Some("")) {
        item.error("wrong-value", "a name is empty");
    }
    ClientTls {
        mode,
        credential_name,
        client_certificate: at.owned("clientCertificate"),
        private_key: at.owned("privateKey"),
        ca_certificates: at.owned("caCertificates"),
        ca_crl: at.owned("caCrl"),
        subject_alt_names: at.texts("subjectAltNames"),
        sni: at.owned("sni"),
        insecure_skip_verify: at.bool("insecureSkipVerify").unwrap_or(false),
    }
}

/// Where the server's certificate is not looked at, what it is to be held against is a mistake.
fn check_unverified(at: &At<'_>, mode: ClientTlsMode) {
    let mut against = super::written(at, &["caCertificates", "subjectAltNames"]);
    if mode == ClientTlsMode::Simple {
        // In mode MUTUAL the Secret holds the client's own certificate too.
        against.extend(super::written(at, &["credentialName"]));
    }
    for field in against {
        field.error_at_key("conflict", "with `insecureSkipVerify` the server's certificate is not looked at");
    }
}
