//! Certificates, keys and roots, as bytes or as the names of files; nothing here reads a file.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use filter::StringMatch;
use proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use proto::envoy::extensions::transport_sockets::tls::v3 as wire;
use proto::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::TrustChainVerification;
use proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;

use crate::read::{At, Within, Wrong, each, named, number, refuse, required};

/// A secret that TLS contexts refer to by name.
#[derive(Clone, Debug)]
pub enum Secret {
    /// What we show.
    Certificate(Arc<Certificate>),
    /// What the peer must show.
    Validation(Arc<Validation>),
}

/// Where the bytes of a PEM document are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Pem {
    /// Here.
    Bytes(Bytes),
    /// In a file, to be read again when it changes.
    File(Arc<str>),
}

impl fmt::Debug for Pem {
    /// Shows no byte: it may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(path) => write!(f, "File({path:?})"),
        }
    }
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The certificate, then those that sign it.
    pub chain: Pem,
    /// Its key.
    pub key: Pem,
    /// What an OCSP responder said of it, to be shown beside it (DER).
    pub ocsp: Option<Pem>,
}

/// What a peer's certificate must fulfil.
#[derive(Clone, Debug, Default)]
pub struct Validation {
    /// The roots it must chain to; none for any.
    pub roots: Option<Pem>,
    /// Whether the system's own roots are meant, where no others are given.
    pub system_roots: bool,
    /// The certificates that are revoked.
    pub crl: Option<Pem>,
    /// Whether only the peer's own certificate is looked up there.
    pub crl_for_leaf_only: bool,
    /// The names of which it must have at least one; empty for any.
    pub names: Vec<SanMatch>,
    /// SHA-256 of the certificates that are accepted; empty for any, beside [`Validation::keys`].
    pub certificates: Vec<[u8; 32]>,
    /// SHA-256 of the public keys (SPKI) that are accepted; a match in either list suffices.
    pub keys: Vec<[u8; 32]>,
    /// Whether a certificate that does not chain to the roots is accepted all the same.
    pub accepts_untrusted: bool,
    /// Whether one whose time is over is.
    pub accepts_expired: bool,
    /// How many certificates may stand between it and its root.
    pub max_depth: Option<u32>,
}

/// A condition on one of a certificate's names.
#[derive(Clone, Debug)]
pub struct SanMatch {
    /// The kind of name; none for any of DNS, URI, e-mail and IP.
    pub kind: Option<SanKind>,
    /// The condition.
    pub text: StringMatch,
    /// The text of an exact condition.
    exact: Option<Arc<str>>,
}

/// The kinds of names a certificate can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SanKind {
    /// A host name.
    Dns,
    /// An e-mail address.
    Email,
    /// An IP address, as text.
    Ip,
    /// Another name, of this type.
    Other(Arc<str>),
    /// A URI, as a SPIFFE id is one.
    Uri,
}

impl Secret {
    pub(crate) fn compile(message: &wire::Secret) -> Result<Self, Wrong> {
        match required(&message.r#type, "type")? {
            Type::TlsCertificate(message) => {
                Ok(Self::Certificate(Arc::new(Certificate::compile(message).within("tls_certificate")?)))
            }
            Type::ValidationContext(message) => {
                let validation = Validation::compile(message).within("validation_context")?;
                // Without roots nobody has vouched for the list.
                match validation.has_roots() || validation.crl.is_none() {
                    true => Ok(Self::Validation(Arc::new(validation))),
                    false => Err(Wrong::new("validation_context.crl", "needs trusted_ca")),
                }
            }
            Type::SessionTicketKeys(_) => Err(Wrong::new("session_ticket_keys", "is not supported")),
            Type::GenericSecret(_) => Err(Wrong::new("generic_secret", "is not supported")),
        }
    }
}

impl Pem {
    pub(crate) fn compile(message: &DataSource) -> Result<Self, Wrong> {
        match required(&message.specifier, "specifier")? {
            Specifier::Filename(path) => Ok(Self::File(named(path, "filename")?)),
            Specifier::InlineBytes(bytes) => Ok(Self::Bytes(Bytes::copy_from_slice(bytes))),
            Specifier::InlineString(text) => Ok(Self::Bytes(Bytes::copy_from_slice(text.as_bytes()))),
            Specifier::EnvironmentVariable(_) => Err(Wrong::new("environment_variable", "is not supported")),
        }
    }

    fn optional(message: &Option<DataSource>, path: &str) -> Result<Option<Self>, Wrong> {
        message.as_ref().map(|source| Self::compile(source).within(path)).transpose()
    }
}

impl Certificate {
    pub(crate) fn compile(message: &wire::TlsCertificate) -> Result<Self, Wrong> {
        refuse(message.pkcs12.is_some(), "pkcs12")?;
        refuse(message.private_key_provider.is_some(), "private_key_provider")?;
        refuse(message.password.is_some(), "password")?;
        refuse(message.tls_params.is_some(), "tls_params")?;
        refuse(!message.signed_certificate_timestamp.is_empty(), "signed_certificate_timestamp")?;
        let required = |source: &Option<DataSource>, path: &str| {
            Pem::optional(source, path)?.ok_or_else(|| Wrong::new(path, "is missing"))
        };
        Ok(Self {
            chain: required(&message.certificate_chain, "certificate_chain")?,
            key: required(&message.private_key, "private_key")?,
            ocsp: Pem::optional(&message.ocsp_staple, "ocsp_staple")?,
        })
    }
}

impl Validation {
    #[allow(deprecated, reason = "old control planes still write the old spelling")]
    pub(crate) fn compile(message: &wire::CertificateValidationContext) -> Result<Self, Wrong> {
        refuse(message.ca_certificate_provider_instance.is_some(), "ca_certificate_provider_instance")?;
        refuse(message.custom_validator_config.is_some(), "custom_validator_config")?;
        let timestamps = message.require_signed_certificate_timestamp.as_ref();
        refuse(timestamps.is_some_and(|flag| flag.value), "require_signed_certificate_timestamp")?;
        let mut names =
            each(&message.match_typed_subject_alt_names, "match_typed_subject_alt_names", SanMatch::compile)?;
        names.extend(each(&message.match_subject_alt_names, "match_subject_alt_names", |text| {
            SanMatch::new(None, text)
        })?);
        let digests = |texts: &[String], path: &str, read: fn(&str) -> Option<[u8; 32]>| {
            each(texts, path, |text| {
                read(text).ok_or_else(|| Wrong::new("", format!("{text:?} is not a SHA-256 digest")))
            })
        };
        Ok(Self {
            roots: Pem::optional(&message.trusted_ca, "trusted_ca")?,
            system_roots: message.system_root_certs.is_some(),
            crl: Pem::optional(&message.crl, "crl")?,
            crl_for_leaf_only: message.only_verify_leaf_cert_crl,
            names,
            certificates: digests(&message.verify_certificate_hash, "verify_certificate_hash", hex)?,
            keys: digests(&message.verify_certificate_spki, "verify_certificate_spki", base64)?,
            accepts_untrusted: message.trust_chain_verification
                == TrustChainVerification::AcceptUntrusted as i32,
            accepts_expired: message.allow_expired_certificate,
            max_depth: number(&message.max_verify_depth),
        })
    }

    fn has_roots(&self) -> bool {
        self.roots.is_some() || self.system_roots
    }

    /// The same, if its conditions stand on something.
    ///
    /// # Errors
    /// Says what is demanded of a certificate that nobody has vouched for.
    pub fn sound(self) -> Result<Self, &'static str> {
        match self.has_roots() {
            false if self.crl.is_some() => Err("is missing: nobody vouches for the list of what is revoked"),
            false if !self.names.is_empty() => Err("is missing: names that nobody vouches for mean nothing"),
            false if self.accepts_expired => Err("is missing: without it no time is looked at"),
            _ => Ok(self),
        }
    }

    /// These conditions with those of a secret added, which decides where both say something.
    #[must_use]
    pub fn with(&self, secret: &Self) -> Self {
        let joined = |own: &[[u8; 32]], theirs: &[[u8; 32]]| [own, theirs].concat();
        Self {
            roots: secret.roots.clone().or_else(|| self.roots.clone()),
            system_roots: self.system_roots || secret.system_roots,
            crl: secret.crl.clone().or_else(|| self.crl.clone()),
            crl_for_leaf_only: self.crl_for_leaf_only || secret.crl_for_leaf_only,
            names: self.names.iter().chain(&secret.names).cloned().collect(),
            certificates: joined(&self.certificates, &secret.certificates),
            keys: joined(&self.keys, &secret.keys),
            accepts_untrusted: self.accepts_untrusted || secret.accepts_untrusted,
            accepts_expired: self.accepts_expired || secret.accepts_expired,
            max_depth: secret.max_depth.or(self.max_depth),
        }
    }

    /// Whether a peer's certificate is looked at, beyond whether it chains to the roots.
    pub fn is_picky(&self) -> bool {
        !(self.names.is_empty() && self.certificates.is_empty() && self.keys.is_empty())
    }

    /// Whether a certificate with these names may be the peer's, as far as names go.
    pub fn accepts_names<'a>(&self, names: impl IntoIterator<Item = (SanKind, &'a str)> + Clone) -> bool {
        self.names.is_empty()
            || self
                .names
                .iter()
                .any(|wanted| names.clone().into_iter().any(|(kind, name)| wanted.matches(&kind, name)))
    }

    /// Whether a certificate and its public key, both as SHA-256, are among those that are pinned.
    pub fn accepts_digests(&self, certificate: &[u8; 32], key: &[u8; 32]) -> bool {
        (self.certificates.is_empty() && self.keys.is_empty())
            || self.certificates.contains(certificate)
            || self.keys.contains(key)
    }
}

impl SanMatch {
    /// The name must be this host, as `auto_san_validation` asks for it.
    pub fn dns(name: &str) -> Self {
        Self { kind: Some(SanKind::Dns), text: StringMatch::exact(name), exact: Some(name.into()) }
    }

    fn compile(message: &wire::SubjectAltNameMatcher) -> Result<Self, Wrong> {
        let kind = match message.san_type {
            1 => SanKind::Email,
            2 => SanKind::Dns,
            3 => SanKind::Uri,
            4 => SanKind::Ip,
            5 => SanKind::Other(named(&message.oid, "oid")?),
            _ => return Err(Wrong::new("san_type", "is missing")),
        };
        Self::new(Some(kind), required(&message.matcher, "matcher")?).within("matcher")
    }

    fn new(
        kind: Option<SanKind>,
        message: &proto::envoy::r#type::matcher::v3::StringMatcher,
    ) -> Result<Self, Wrong> {
        use proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
        let exact = match &message.match_pattern {
            Some(MatchPattern::Exact(text)) => Some(text.as_str().into()),
            _ => None,
        };
        Ok(Self { kind, text: StringMatch::compile(message).at("")?, exact })
    }

    /// Whether one of a certificate's names fulfils it. A host name of the certificate may have a wildcard as its
    /// first label, which stands for one label of the wanted name.
    pub fn matches(&self, kind: &SanKind, name: &str) -> bool {
        if self.kind.as_ref().is_some_and(|wanted| wanted != kind) {
            return false;
        }
        match (&self.exact, kind) {
            (Some(exact), SanKind::Dns) => is_host(name, exact),
            _ => self.text.matches(name.as_bytes()),
        }
    }
}

/// Whether a certificate's host name, perhaps with a wildcard, stands for a host.
fn is_host(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(rest) = pattern.strip_prefix("*.") else { return false };
    host.split_once('.').is_some_and(|(first, parent)| {
        !first.is_empty() && !rest.is_empty() && parent.eq_ignore_ascii_case(rest)
    })
}

/// A digest in hexadecimal, with or without colons.
fn hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}

/// A digest in base64.
fn base64(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
