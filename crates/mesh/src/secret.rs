//! Secrets: the names SDS knows certificates under, and what stands behind them.
//!
//! `kubernetes://NAME` is a Secret of the proxy's own namespace, `kubernetes://NAME-cacert` the authorities it
//! holds; `file-cert:CERT~KEY` and `file-root:CA` are files of the proxy's machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ResourceSet, Secret, Valid};

use crate::slice::{Material, SecretContent, SecretSlice};

const CREDENTIAL: &str = "kubernetes://";
const CERTIFICATE_FILE: &str = "file-cert:";
const AUTHORITY_FILE: &str = "file-root:";

/// What Istio puts behind a Secret's name for the authorities in it, and behind that of a Secret that holds
/// authorities alone.
const AUTHORITY: &str = "-cacert";

/// Istio's word for the authorities that the proxy's machine trusts.
const SYSTEM: &str = "system";

/// The name of a Secret's certificate; one that already says where it is found stands as it is.
pub(crate) fn credential(name: &str) -> String {
    if name.contains("://") { name.to_owned() } else { format!("{CREDENTIAL}{name}") }
}

/// Whether a name stands for a Secret, or for a part of one.
pub(crate) fn is_credential(name: &str) -> bool {
    name.starts_with(CREDENTIAL)
}

/// The name of the authorities that belong to a Secret.
pub(crate) fn authority(name: &str) -> String {
    let credential = credential(name);
    if credential.ends_with(AUTHORITY) { credential } else { format!("{credential}{AUTHORITY}") }
}

/// The name of a certificate in files.
pub(crate) fn certificate_file(chain: &str, key: &str) -> String {
    format!("{CERTIFICATE_FILE}{chain}~{key}")
}

/// The name of authorities in a file; without one those of the machine.
pub(crate) fn authority_file(path: Option<&str>) -> String {
    format!("{AUTHORITY_FILE}{}", path.unwrap_or(SYSTEM))
}

/// The names, either of which may be that of the Secret of a proxy's own namespace behind a name of SDS; none for
/// files.
pub fn secrets_behind<'a>(name: &'a str, namespace: &str) -> impl Iterator<Item = &'a str> {
    let own = name.strip_prefix(CREDENTIAL).and_then(|name| within(name, namespace));
    own.into_iter().flat_map(|name| [Some(name), name.strip_suffix(AUTHORITY)]).flatten()
}

/// The name of a Secret as its namespace knows it; None where it is said to be in another.
fn within<'a>(name: &'a str, namespace: &str) -> Option<&'a str> {
    match name.split_once('/') {
        Some((own, name)) => (own == namespace).then_some(name),
        None => Some(name),
    }
}

/// Every Secret, by namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    by_namespace: BTreeMap<String, BTreeMap<String, Arc<Valid<Secret>>>>,
}

impl Secrets {
    pub(crate) fn gather(set: &ResourceSet) -> Self {
        let mut secrets = Self::default();
        for secret in set.secrets() {
            let meta = secret.meta();
            let namespace = secrets.by_namespace.entry(meta.namespace.to_string()).or_default();
            namespace.insert(meta.name.to_string(), secret.clone());
        }
        secrets
    }

    /// A Secret by what `credentialName` says in a namespace; only Secrets of that namespace are looked at.
    pub(crate) fn find(&self, namespace: &str, credential: &str) -> Option<&Valid<Secret>> {
        let name = credential.strip_prefix(CREDENTIAL).unwrap_or(credential);
        let name = within(name, namespace)?;
        self.by_namespace.get(namespace)?.get(name).map(|secret| &**secret)
    }

    /// Whether there is a Secret under either of its names.
    pub(crate) fn has(&self, namespace: &str, credential: &str) -> bool {
        let named = |name: &str| self.find(namespace, name).is_some();
        named(credential) || named(&format!("{credential}{AUTHORITY}"))
    }

    /// The namespaces that have Secrets.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.by_namespace.keys().map(String::as_str)
    }

    /// Whether there is everything in a namespace that a name of SDS stands for.
    pub(crate) fn is_complete(&self, namespace: &str, name: &str) -> bool {
        self.content(namespace, name).is_some()
    }

    fn slice(&self, namespace: &str, name: &str, system_roots: &str) -> Option<SecretSlice> {
        let content = if let Some(files) = name.strip_prefix(CERTIFICATE_FILE) {
            let (chain, key) = files.split_once('~')?;
            let file = |path: &str| Material::File(path.to_owned());
            SecretContent::Certificate { chain: file(chain), key: file(key) }
        } else if let Some(path) = name.strip_prefix(AUTHORITY_FILE) {
            let path = if path == SYSTEM { system_roots } else { path };
            SecretContent::Roots { authorities: Material::File(path.to_owned()), revoked: None }
        } else {
            self.content(namespace, name)?
        };
        Some(SecretSlice::new(name, content))
    }

    fn content(&self, namespace: &str, name: &str) -> Option<SecretContent> {
        name.strip_prefix(CREDENTIAL)?;
        let bytes = |part: &Option<Arc<[u8]>>| part.clone().map(Material::Bytes);
        let Some(holder) = name.strip_suffix(AUTHORITY) else {
            let secret = self.find(namespace, name)?;
            let (chain, key) = (bytes(&secret.certificate)?, bytes(&secret.private_key)?);
            return Some(SecretContent::Certificate { chain, key });
        };
        // A Secret for authorities alone comes first; it may hold them as a certificate.
        let alone = self.find(namespace, name);
        let own = alone.and_then(|secret| {
            let authorities = bytes(&secret.ca_certificates).or_else(|| bytes(&secret.certificate))?;
            Some((authorities, bytes(&secret.ca_crl)))
        });
        let beside = || {
            let secret = self.find(namespace, holder)?;
            Some((bytes(&secret.ca_certificates)?, bytes(&secret.ca_crl)))
        };
        let (authorities, revoked) = own.or_else(beside)?;
        Some(SecretContent::Roots { authorities, revoked })
    }
}

/// The secrets that proxies of one namespace may have.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    secrets: Arc<Secrets>,
    namespace: String,
    system_roots: String,
}

impl Credentials {
    pub(crate) fn new(secrets: &Arc<Secrets>, namespace: &str, system_roots: &str) -> Self {
        Self {
            secrets: secrets.clone(),
            namespace: namespace.to_owned(),
            system_roots: system_roots.to_owned(),
        }
    }

    /// What a name stands for; None where there is nothing, or nothing complete.
    pub(crate) fn slice(&self, name: &str) -> Option<SecretSlice> {
        self.secrets.slice(&self.namespace, name, &self.system_roots)
    }
}

#[cfg(test)]
mod tests;
