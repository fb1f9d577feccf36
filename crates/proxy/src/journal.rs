//! What the control plane said last, resource by resource, for `/config_dump`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use proto::Any;
use proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret::Type};
use xds::{Added, Reject, TypeUrl, Update};

/// One resource as it was last heard of.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The version in force; none where no version was ever accepted.
    pub(crate) accepted: Option<Accepted>,
    /// Why the last version was refused; none where it was accepted.
    pub(crate) refused: Option<Refused>,
}

/// An accepted version.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// The message.
    pub(crate) any: Any,
    /// The server's version.
    pub(crate) version: String,
    /// When it came.
    pub(crate) at: SystemTime,
}

/// A refused version.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The message.
    pub(crate) any: Any,
    /// Why.
    pub(crate) why: String,
    /// When it came.
    pub(crate) at: SystemTime,
}

/// How many responses of one type were taken or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Wholly accepted responses.
    pub(crate) accepted: u64,
    /// Responses with something in them that was refused.
    pub(crate) refused: u64,
}

/// The journal; read by the admin, written by whoever applies updates.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    entries: BTreeMap<TypeUrl, BTreeMap<String, Entry>>,
    tallies: BTreeMap<TypeUrl, Tally>,
}

impl Journal {
    /// Enters an update and what was refused of it.
    pub(crate) fn enter(&self, update: &Update, rejects: &[Reject]) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = pages.tallies.entry(update.ty).or_default();
        match rejects.is_empty() {
            true => tally.accepted += 1,
            false => tally.refused += 1,
        }
        let entries = pages.entries.entry(update.ty).or_default();
        for name in &update.removed {
            entries.remove(name);
        }
        let at = SystemTime::now();
        for Added { name, any, version } in &update.added {
            let any = harmless(update.ty, any);
            let entry = entries.entry(name.clone()).or_insert(Entry { accepted: None, refused: None });
            match rejects.iter().find(|reject| reject.name == *name) {
                Some(reject) => {
                    entry.refused = Some(Refused { any, why: reject.message.clone(), at });
                }
                None => {
                    let accepted = Accepted { any, version: version.clone(), at };
                    *entry = Entry { accepted: Some(accepted), refused: None };
                }
            }
        }
    }

    /// The resources of one type, by name.
    pub(crate) fn entries(&self, ty: TypeUrl) -> Vec<(String, Entry)> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = pages.entries.get(&ty).into_iter().flatten();
        entries.map(|(name, entry)| (name.clone(), entry.clone())).collect()
    }

    /// What was said to responses of one type.
    pub(crate) fn tally(&self, ty: TypeUrl) -> Tally {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.tallies.get(&ty).copied().unwrap_or_default()
    }
}

/// A resource as it may be remembered: without the key of a secret.
fn harmless(ty: TypeUrl, any: &Any) -> Any {
    if ty != TypeUrl::Secret {
        return any.clone();
    }
    let Ok(mut secret) = proto::any::unpack::<Secret>(any) else {
        return Any { type_url: any.type_url.clone(), value: Vec::new() };
    };
    match &mut secret.r#type {
        Some(Type::TlsCertificate(certificate)) => {
            certificate.private_key = Some(DataSource {
                specifier: Some(Specifier::InlineString(REDACTED.to_owned())),
                ..DataSource::default()
            });
            (certificate.password, certificate.pkcs12) = (None, None);
        }
        Some(Type::ValidationContext(_)) => {}
        Some(Type::SessionTicketKeys(_) | Type::GenericSecret(_)) | None => secret.r#type = None,
    }
    proto::any::pack(&secret)
}

/// What stands in place of a key, as in Envoy.
pub(crate) const REDACTED: &str = "[redacted]";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_key_of_a_secret_is_not_remembered() {
        let secret = serde_json::json!({
            "@type": TypeUrl::Secret.as_str(),
            "name": "shop",
            "tls_certificate": {
                "certificate_chain": { "inline_string": "chain" },
                "private_key": { "inline_string": "hush" },
            },
        });
        let any: Any = proto::json::from_json(&secret).unwrap();
        let added = Added { name: "shop".into(), any, version: "1".into() };
        let journal = Journal::default();

        journal.enter(&Update { ty: TypeUrl::Secret, added: vec![added], removed: Vec::new() }, &[]);

        let entries = journal.entries(TypeUrl::Secret);
        let told = proto::json::to_json(&entries[0].1.accepted.as_ref().unwrap().any).to_string();
        assert!(told.contains("chain") && told.contains(REDACTED) && !told.contains("hush"), "{told}");
    }
}
