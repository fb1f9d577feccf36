//! What a certificate says of its owner.

use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// The facts of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its URIs, a SPIFFE id among them in a mesh.
    pub uris: Vec<String>,
    /// Its DNS names.
    pub dns: Vec<String>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Its mail addresses.
    pub emails: Vec<String>,
    /// The owner, as RFC 2253 writes it.
    pub subject: String,
    /// The issuer, as RFC 2253 writes it.
    pub issuer: String,
    /// The serial number in hexadecimal digits.
    pub serial: String,
    /// The certificate's SHA-256 in hexadecimal digits.
    pub hash: String,
    /// From when it is valid, in seconds of Unix time.
    pub not_before: i64,
    /// Until when it is valid, in seconds of Unix time.
    pub not_after: i64,
    /// The certificate itself.
    pub der: Vec<u8>,
}

impl Peer {
    /// Reads a certificate in DER; none where it is no certificate.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut peer = Self {
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            serial: hex(certificate.raw_serial().iter().skip_while(|byte| **byte == 0)),
            hash: hex(Sha256::digest(der).iter()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            der: der.to_vec(),
            ..Self::default()
        };
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::URI(uri) => peer.uris.push((*uri).to_owned()),
                    GeneralName::DNSName(dns) => peer.dns.push((*dns).to_owned()),
                    GeneralName::RFC822Name(mail) => peer.emails.push((*mail).to_owned()),
                    GeneralName::IPAddress(bytes) => peer.ips.extend(ip(bytes)),
                    _ => {}
                }
            }
        }
        Some(peer)
    }

    /// Its names, in the words in which Envoy says that none of them was wanted.
    pub fn told_names(&self) -> String {
        let ips: Vec<String> = self.ips.iter().map(ToString::to_string).collect();
        let names = self.dns.iter().chain(&self.uris).chain(&ips).chain(&self.emails);
        let names: Vec<String> = names.map(|name| name.escape_default().to_string()).collect();
        format!("SAN matcher, certificate SANs are [{}]", names.join(", "))
    }

    /// The SHA-256 of a certificate's public key.
    pub(super) fn key_hash(der: &[u8]) -> Option<[u8; 32]> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Sha256::digest(certificate.public_key().raw).into())
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string never errs.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A name as RFC 2253 writes it: the most specific part first.
fn name(name: &X509Name<'_>) -> String {
    let sets: Vec<_> = name.iter_rdn().collect();
    let parts = sets.iter().rev().map(|set| {
        let attributes = set.iter().map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            match (short(&oid), attribute.as_str()) {
                (Some(short), Ok(value)) => format!("{short}={}", escaped(value)),
                (None, Ok(value)) => format!("{oid}={}", escaped(value)),
                (known, Err(_)) => {
                    format!("{}=#{}", known.unwrap_or(&oid), hex(attribute.as_slice().iter()))
                }
            }
        });
        attributes.collect::<Vec<_>>().join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn short(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        let is_edge = (i == 0 && matches!(c, ' ' | '#')) || (i == last && c == ' ');
        if is_edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
