//! Host names as Istio uses them: lower case, possibly with one leading wildcard label.

use std::fmt;
use std::sync::Arc;

/// A host name: `reviews.default.svc.cluster.local`, `*.example.com` or `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

impl Host {
    /// Takes a name as it is, lower-cased and without a trailing dot.
    pub fn new(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Self(name.to_ascii_lowercase().into())
        } else {
            Self(name.into())
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name starts with a wildcard.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether every name `other` stands for is one that `self` stands for.
    ///
    /// ```
    /// use base::Host;
    /// assert!(Host::new("*.foo.com").covers(&Host::new("a.b.foo.com")));
    /// assert!(!Host::new("*.foo.com").covers(&Host::new("foo.com")));
    /// assert!(!Host::new("a.foo.com").covers(&Host::new("*.foo.com")));
    /// ```
    pub fn covers(&self, other: &Host) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => {
                let name = other.0.strip_prefix('*').unwrap_or(&other.0);
                name.ends_with(suffix) && (other.is_wildcard() || name.len() > suffix.len())
            }
            None => self.0 == other.0,
        }
    }

    /// Whether some name is meant by both.
    pub fn overlaps(&self, other: &Host) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Completes a short name: `reviews` in namespace `demo` is `reviews.demo.svc.cluster.local`.
    /// A name with a dot or a wildcard stands as it is; an empty domain adds the namespace alone
    /// (Istio's `ResolveShortnameToFQDN`).
    pub fn resolve(name: &str, namespace: &str, domain: &str) -> Self {
        if name.contains('.') || name.starts_with('*') || name.is_empty() {
            Self::new(name)
        } else if domain.is_empty() {
            Self::new(&format!("{name}.{namespace}"))
        } else {
            Self::new(&format!("{name}.{namespace}.svc.{domain}"))
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl From<&str> for Host {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_covers_everything() {
        assert!(Host::new("*").covers(&Host::new("a.b")));
        assert!(Host::new("*").covers(&Host::new("*.b")));
        assert!(Host::new("*.b").overlaps(&Host::new("*")));
    }

    #[test]
    fn short_names_belong_to_their_namespace() {
        let host = Host::resolve("Reviews", "demo", "cluster.local");

        assert_eq!(host.as_str(), "reviews.demo.svc.cluster.local");
        assert_eq!(Host::resolve("a.b", "demo", "cluster.local").as_str(), "a.b");
    }
}
