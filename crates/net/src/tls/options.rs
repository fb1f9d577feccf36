//! Versions, ciphers and curves, by the names configuration knows them by.

use rustls::crypto::{CryptoProvider, aws_lc_rs::kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};

use super::TlsError;

/// The ciphers of TLS 1.2 that can be asked for; TLS 1.3 has its own and always offers them all.
pub const CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

const SUITES: [CipherSuite; 6] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// The curves that can be asked for.
pub const CURVES: [&str; 4] = ["X25519", "P-256", "P-384", "X25519MLKEM768"];

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.2.
    V12,
    /// 1.3.
    V13,
}

/// What a context narrows the library's choices to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The lowest version.
    pub least: Version,
    /// The highest version.
    pub most: Version,
    /// Ciphers of TLS 1.2, in OpenSSL's names, `[A|B]` for equals; all where empty.
    pub ciphers: Vec<String>,
    /// Curves; the usual ones where empty.
    pub curves: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { least: Version::V12, most: Version::V13, ciphers: Vec::new(), curves: Vec::new() }
    }
}

impl Options {
    /// The versions, as the library names them.
    pub(super) fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        let all = [(Version::V12, &TLS12), (Version::V13, &TLS13)];
        let versions: Vec<_> = all
            .into_iter()
            .filter(|(version, _)| (self.least..=self.most).contains(version))
            .map(|(_, version)| version)
            .collect();
        if versions.is_empty() {
            return Err(TlsError::context("the lowest TLS version is above the highest"));
        }
        Ok(versions)
    }

    /// Takes away what is not asked for; names that are not known count as absent, none known is an error.
    pub(super) fn narrow(&self, provider: &mut CryptoProvider) -> Result<(), TlsError> {
        if !self.ciphers.is_empty() {
            let wanted: Vec<CipherSuite> = names(&self.ciphers).filter_map(cipher).collect();
            if wanted.is_empty() {
                return Err(unknown("ciphers", &self.ciphers, &CIPHERS));
            }
            provider.cipher_suites.retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
        }
        if !self.curves.is_empty() {
            let wanted: Vec<NamedGroup> = names(&self.curves).filter_map(curve).collect();
            if wanted.is_empty() {
                return Err(unknown("curves", &self.curves, &CURVES));
            }
            provider.kx_groups =
                vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1, kx_group::X25519MLKEM768];
            provider.kx_groups.retain(|group| wanted.contains(&group.name()));
            let place = |group: NamedGroup| wanted.iter().position(|wanted| *wanted == group);
            provider.kx_groups.sort_by_key(|group| place(group.name()));
        }
        Ok(())
    }
}

fn unknown(what: &str, asked: &[String], known: &[&str]) -> TlsError {
    TlsError::context(format!(
        "none of the {what} {} is supported; there are {}",
        asked.join(", "),
        known.join(", ")
    ))
}

/// The names of a list; groups of equals are taken apart.
fn names(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().flat_map(|entry| entry.trim_matches(['[', ']']).split(['|', ':'])).map(str::trim)
}

fn cipher(name: &str) -> Option<CipherSuite> {
    let place = CIPHERS.iter().position(|known| *known == name)?;
    SUITES.get(place).copied()
}

fn curve(name: &str) -> Option<NamedGroup> {
    Some(match name {
        "X25519" => NamedGroup::X25519,
        "P-256" => NamedGroup::secp256r1,
        "P-384" => NamedGroup::secp384r1,
        "X25519MLKEM768" => NamedGroup::X25519MLKEM768,
        _ => return None,
    })
}
