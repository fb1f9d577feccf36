//! TLS as a gateway or a sidecar offers it.

use super::NO_IDENTITY;
use crate::read::At;
use crate::schema::{Field, Shape, TEXTS, ok, partly, refused, refused_unless};

/// TLS as a gateway or a sidecar offers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// Where TLS ends and who shows a certificate.
    pub mode: ServerTlsMode,
    /// Certificate files; one of each kind of key at most.
    pub certificates: Vec<CertificateFiles>,
    /// The file of the authorities a client's certificate may come from.
    pub ca_certificates: Option<String>,
    /// The file of clients' certificates that have been revoked.
    pub ca_crl: Option<String>,
    /// Secrets with certificate and key, in place of the files; one of each kind of key at most.
    pub credential_names: Vec<String>,
    /// The Secret of the authorities, where it is not `NAME-cacert` of the first credential.
    pub ca_cert_credential_name: Option<String>,
    /// Names of which a client's certificate must have one.
    pub subject_alt_names: Vec<String>,
    /// SHA-256 digests, base64, of which a client's public key must have one.
    pub verify_certificate_spki: Vec<String>,
    /// SHA-256 digests, hex, of which a client's certificate must have one.
    pub verify_certificate_hash: Vec<String>,
    /// The oldest version; None means TLS 1.2.
    pub min_protocol_version: Option<TlsVersion>,
    /// The newest version; None means TLS 1.3.
    pub max_protocol_version: Option<TlsVersion>,
    /// The cipher suites of TLS 1.2, of [`CIPHER_SUITES`]; all of them where empty.
    pub cipher_suites: Vec<String>,
}

/// Where TLS ends and who shows a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerTlsMode {
    /// At the destination that the server name itself names (`outbound_.80_._.host`).
    AutoPassthrough,
    /// Here; both show a certificate.
    Mutual,
    /// Here; the client may show a certificate.
    OptionalMutual,
    /// At the destination.
    #[default]
    Passthrough,
    /// Here; the server alone shows a certificate.
    Simple,
}

impl ServerTlsMode {
    /// Whether TLS ends here.
    pub fn terminates(self) -> bool {
        matches!(self, Self::Mutual | Self::OptionalMutual | Self::Simple)
    }
}

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateFiles {
    /// The certificate.
    pub server_certificate: String,
    /// Its key.
    pub private_key: String,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The cipher suites of TLS 1.2 there are, by OpenSSL's names.
pub const CIPHER_SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Those Envoy has besides, which are taken with a warning where one of ours stands beside them.
const OTHER_SUITES: [&str; 10] = [
    "AES128-GCM-SHA256",
    "AES128-SHA",
    "AES256-GCM-SHA384",
    "AES256-SHA",
    "DES-CBC3-SHA",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "PSK-AES128-CBC-SHA",
];

const VERSIONS: Shape = Shape::Word(&["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]);

/// What gateways and sidecars understand alike, after what they do not.
macro_rules! fields {
    ($($own:expr,)*) => {
        &[
            $($own,)*
            ok("serverCertificate", Shape::Text),
            ok("privateKey", Shape::Text),
            ok("caCertificates", Shape::Text),
            ok("caCrl", Shape::Text),
            ok(
                "tlsCertificates",
                Shape::List(&Shape::Object(&[
                    ok("serverCertificate", Shape::Text),
                    ok("privateKey", Shape::Text),
                    ok("caCertificates", Shape::Text),
                ])),
            ),
            ok("verifyCertificateSpki", TEXTS),
            ok("verifyCertificateHash", TEXTS),
            partly("minProtocolVersion", VERSIONS, "one below TLS 1.2 is warned of: that is the oldest spoken"),
            partly("maxProtocolVersion", VERSIONS, "one below TLS 1.2 is refused: that is the oldest spoken"),
            partly("cipherSuites", TEXTS, SUITES),
            refused("insecureSkipVerify", Shape::Bool, "anyone would pass for a client"),
        ]
    };
}

/// Of a Gateway's server.
pub(crate) const FIELDS: &[Field] = fields![
    ok("httpsRedirect", Shape::Bool),
    refused_unless("mode", MODE, &MODES, NO_IDENTITY),
    ok("credentialName", Shape::Text),
    ok("credentialNames", TEXTS),
    ok("caCertCredentialName", Shape::Text),
    ok("subjectAltNames", TEXTS),
];

/// Of a Sidecar's listener.
pub(crate) const SIDECAR_FIELDS: &[Field] = fields![
    refused("httpsRedirect", Shape::Bool, "it is for gateways"),
    refused_unless("mode", MODE, &SIDECAR_MODES, "it is not for a sidecar's own listeners"),
    refused("credentialName", Shape::Text, FILES_ONLY),
    refused("credentialNames", TEXTS, FILES_ONLY),
    refused("caCertCredentialName", Shape::Text, FILES_ONLY),
    refused("subjectAltNames", TEXTS, "it is for gateways"),
];

const FILES_ONLY: &str = "it is for gateways; a sidecar reads certificates from files";

const MODE: Shape =
    Shape::Word(&["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]);

const MODES: [&str; 5] = ["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "OPTIONAL_MUTUAL"];

const SIDECAR_MODES: [&str; 4] = ["PASSTHROUGH", "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"];

const SUITES: &str =
    "ECDHE with AES-GCM or ChaCha20; others are warned of, and refused where there are only others";

/// Reads `tls` of a server.
pub(crate) fn read(at: &At<'_>) -> ServerTls {
    let mode = match at.text("mode") {
        Some("SIMPLE") => ServerTlsMode::Simple,
        Some("MUTUAL") => ServerTlsMode::Mutual,
        Some("OPTIONAL_MUTUAL") => ServerTlsMode::OptionalMutual,
        Some("AUTO_PASSTHROUGH") => ServerTlsMode::AutoPassthrough,
        _ => ServerTlsMode::Passthrough,
    };
    let certificates = certificates(at);
    let mut credential_names = at.texts("credentialNames");
    credential_names.splice(0..0, at.owned("credentialName"));
    let in_list = at.list("tlsCertificates").iter().find_map(|item| item.owned("caCertificates"));
    let tls = ServerTls {
        mode,
        certificates,
        ca_certificates: at.owned("caCertificates").or(in_list),
        ca_crl: at.owned("caCrl"),
        credential_names,
        ca_cert_credential_name: at.owned("caCertCredentialName"),
        subject_alt_names: at.texts("subjectAltNames"),
        verify_certificate_spki: at.texts("verifyCertificateSpki"),
        verify_certificate_hash: at.texts("verifyCertificateHash"),
        min_protocol_version: version(at, "minProtocolVersion"),
        max_protocol_version: version(at, "maxProtocolVersion"),
        cipher_suites: cipher_suites(at, mode),
    };
    if mode.terminates() {
        check_sources(at, &tls);
        check_pins(at);
    } else {
        for field in super::written(at, &CERTIFICATES) {
            field.warn_at_key("no-effect", "TLS is passed through here: certificates are not used");
        }
    }
    if tls.min_protocol_version > tls.max_protocol_version && tls.max_protocol_version.is_some() {
        at.error("conflict", "`minProtocolVersion` is newer than `maxProtocolVersion`");
    }
    tls
}

const CERTIFICATES: [&str; 8] = [
    "serverCertificate",
    "privateKey",
    "caCertificates",
    "caCrl",
    "credentialName",
    "credentialNames",
    "caCertCredentialName",
    "tlsCertificates",
];

/// The files, once given by themselves and once as a list.
fn certificates(at: &At<'_>) -> Vec<CertificateFiles> {
    let pair = |at: &At<'_>| {
        Some(CertificateFiles {
            server_certificate: at.owned("serverCertificate")?,
            private_key: at.owned("privateKey")?,
        })
    };
    match at.list("tlsCertificates") {
        none if none.is_empty() => pair(at).into_iter().collect(),
        // More than two are warned of; as in Istio the first two are served.
        some => some.iter().filter_map(pair).take(2).collect(),
    }
}

/// What a mode needs, from exactly one of the three sources there are.
fn check_sources(at: &At<'_>, tls: &ServerTls) {
    let mode = at.text("mode").unwrap_or_default();
    let files = at.text("serverCertificate").is_some() && at.text("privateKey").is_some();
    let sources = [
        files,
        !at.list("tlsCertificates").is_empty(),
        at.text("credentialName").is_some(),
        !at.list("credentialNames").is_empty(),
    ];
    if sources.iter().filter(|given| **given).count() > 1
        || (at.text("serverCertificate").is_some() && !at.list("credentialNames").is_empty())
    {
        let message = "one of `credentialName`, `credentialNames`, `tlsCertificates` and \
                       `serverCertificate` with `privateKey` is enough; take the others away";
        at.error("conflict", message);
    }
    let list = at.list("tlsCertificates");
    let many = list.len().max(at.list("credentialNames").len());
    if many > 2 {
        let message = format!("{mode} serves two certificates at most, one of each kind of key");
        at.warn("no-effect", message);
    }
    if tls.credential_names.is_empty() {
        let sources = if list.is_empty() { vec![at.clone()] } else { list };
        for source in &sources {
            if source.text("serverCertificate").is_none() {
                source.missing("serverCertificate", format!("{mode} TLS needs a server's certificate"));
            }
            if source.text("privateKey").is_none() {
                source.missing("privateKey", format!("{mode} TLS needs the certificate's private key"));
            }
        }
        let has_authority = tls.ca_certificates.is_some() || tls.ca_cert_credential_name.is_some();
        if tls.mode != ServerTlsMode::Simple && !has_authority {
            at.missing(
                "caCertificates",
                format!("{mode} TLS needs the authorities of clients' certificates"),
            );
        }
    }
}

fn check_pins(at: &At<'_>) {
    for item in at.list("verifyCertificateSpki") {
        let text = item.node.text().unwrap_or_default();
        if crate::check::base64(text).is_none_or(|bytes| bytes.len() != 32) {
            item.error("wrong-value", "this is not a SHA-256 digest in base64");
        }
    }
    for item in at.list("verifyCertificateHash") {
        let digits = item.node.text().unwrap_or_default().bytes().filter(|b| *b != b':');
        let is_hex = digits.clone().all(|b| b.is_ascii_hexdigit());
        if !is_hex || digits.count() != 64 {
            item.error("wrong-value", "this is not a SHA-256 digest in hex");
        }
    }
}

/// A bound on the version. One below TLS 1.2 is no bound from below, and from above leaves nothing.
fn version(at: &At<'_>, name: &str) -> Option<TlsVersion> {
    match at.text(name)? {
        "TLSV1_2" => Some(TlsVersion::V1_2),
        "TLSV1_3" => Some(TlsVersion::V1_3),
        old @ ("TLSV1_0" | "TLSV1_1") => {
            let field = at.field(name)?;
            if name == "maxProtocolVersion" {
                let message =
                    format!("this version refuses it: {old} is not spoken, only TLSV1_2 and TLSV1_3");
                field.error("refused-field", message);
            } else {
                field
                    .warn("unsupported-field", format!("{old} is not spoken; TLSV1_2 is the oldest version"));
            }
            None
        }
        _ => None,
    }
}

/// The suites that are ours. A list in which none is ours would leave clients without any.
fn cipher_suites(at: &At<'_>, mode: ServerTlsMode) -> Vec<String> {
    let mut suites: Vec<String> = Vec::new();
    let items = at.list("cipherSuites");
    let mut is_asked = false;
    for item in &items {
        let Some(suite) = item.node.text() else { continue };
        if suites.iter().any(|known| known == suite) {
            item.warn("no-effect", format!("the cipher suite {suite} stands twice"));
        } else if CIPHER_SUITES.contains(&suite) {
            suites.push(suite.into());
        } else if suite.starts_with(['-', '!', '+']) {
            item.warn("unsupported-field", "suites are named one by one; there are no operations on them");
        } else if OTHER_SUITES.contains(&suite) {
            is_asked = true;
            item.warn("unsupported-field", format!("the cipher suite {suite} is not spoken"));
        } else {
            item.warn("no-effect", format!("there is no cipher suite {suite:?}; Envoy would pass it over"));
        }
    }
    if suites.is_empty() && is_asked && mode.terminates() {
        let message = format!(
            "this version refuses it: none of these is spoken; there are {}",
            CIPHER_SUITES.join(", ")
        );
        if let Some(field) = at.field("cipherSuites") {
            field.error("refused-field", message);
        }
    }
    suites
}
