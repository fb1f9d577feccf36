//! How connections are secured, with certificates by the names SDS knows them under.

use api::tls::TlsVersion;

/// TLS towards a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// The name the client asks for; empty takes the host of each request.
    pub sni: String,
    /// The certificate the client shows, by its name; None shows none.
    pub certificate: Option<String>,
    /// What the server's certificate is checked against; None checks nothing.
    pub trust: Option<Trust>,
    /// Whether the certificate is checked against the name that was asked for.
    pub checks_sni: bool,
    /// The versions and ciphers.
    pub parameters: TlsParameters,
}

/// TLS that a listener takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// The certificates it shows, by name; of several the one whose key the client understands.
    pub certificates: Vec<String>,
    /// Whether clients show a certificate.
    pub clients: ClientCertificates,
    /// What certificates that clients show anyway must be for, where nobody asks for one.
    pub subject_alt_names: Vec<String>,
    /// The versions and ciphers.
    pub parameters: TlsParameters,
}

/// Whether clients show a certificate, and what it is checked against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    None,
    /// They may.
    Optional(Trust),
    /// They must.
    Required(Trust),
}

/// What a peer's certificate is checked against; an empty list checks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trust {
    /// The authorities, by name.
    pub roots: String,
    /// The subject names, one of which it must be for.
    pub subject_alt_names: Vec<String>,
    /// The file of revoked certificates.
    pub revoked: Option<String>,
    /// The SHA-256 digests of public keys, in Base64.
    pub keys: Vec<String>,
    /// The SHA-256 digests of certificates, in hexadecimal.
    pub hashes: Vec<String>,
}

/// The versions and ciphers of TLS; what is open is the proxy's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsParameters {
    /// The oldest version.
    pub oldest: Option<TlsVersion>,
    /// The newest version.
    pub newest: Option<TlsVersion>,
    /// The ciphers of versions before 1.3, by OpenSSL's names.
    pub ciphers: Vec<String>,
    /// The curves of the key exchange.
    pub curves: Vec<String>,
}
