//! Which virtual host an authority belongs to.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Domains and what they stand for, by the four ways a domain can be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    exact: HashMap<Box<str>, usize>,
    /// `*suffix`: by the suffix's length, longest last.
    suffixes: BTreeMap<usize, HashMap<Box<str>, usize>>,
    /// `prefix*`: by the prefix's length, longest last.
    prefixes: BTreeMap<usize, HashMap<Box<str>, usize>>,
    any: Option<usize>,
}

impl Hosts {
    /// Adds a domain; domains differ in more than the case of their letters.
    ///
    /// # Errors
    /// The domain is empty, has a wildcard inside, or is there already.
    pub(crate) fn add(&mut self, domain: &str, place: usize) -> Result<(), String> {
        let domain = domain.to_ascii_lowercase();
        let before = match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
            _ if domain.is_empty() => return Err("a domain is empty".into()),
            (Some(""), _) => self.any.replace(place),
            (Some(suffix), _) if !suffix.contains('*') => {
                self.suffixes.entry(suffix.len()).or_default().insert(suffix.into(), place)
            }
            (None, Some(prefix)) if !prefix.contains('*') => {
                self.prefixes.entry(prefix.len()).or_default().insert(prefix.into(), place)
            }
            (None, None) if !domain.contains('*') => self.exact.insert(domain.as_str().into(), place),
            _ => return Err(format!("domain {domain:?} has a wildcard inside")),
        };
        match before {
            Some(_) => Err(format!("domain {domain:?} appears twice")),
            None => Ok(()),
        }
    }

    /// What an authority belongs to: exactly, else by the longest suffix, else by the longest prefix, else to `*`.
    pub(crate) fn find(&self, authority: &str) -> Option<usize> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any;
        }
        let name: Cow<'_, str> = match authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => authority.to_ascii_lowercase().into(),
            false => authority.into(),
        };
        let name = &*name;
        if let Some(place) = self.exact.get(name) {
            return Some(*place);
        }
        // A wildcard stands for at least one character.
        let by_suffix = self
            .suffixes
            .range(..name.len())
            .rev()
            .find_map(|(length, known)| known.get(name.get(name.len() - length..)?));
        let by_prefix = || {
            self.prefixes
                .range(..name.len())
                .rev()
                .find_map(|(length, known)| known.get(name.get(..*length)?))
        };
        by_suffix.or_else(by_prefix).copied().or(self.any)
    }
}

/// An authority without its port.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The colons of a bare IPv6 address stand inside its brackets.
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            match host.starts_with('[') && !host.ends_with(']') {
                true => authority,
                false => host,
            }
        }
        _ => authority,
    }
}
