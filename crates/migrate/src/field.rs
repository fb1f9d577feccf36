//! Fields of a map by name: rules were written in camel case and in snake case alike.

use api::yaml::{Entry, Node};

/// A value whose fields are asked for by their names in camel case.
pub(crate) trait Fields {
    /// The entry of a field that is not null.
    fn field_entry(&self, name: &str) -> Option<&Entry>;

    /// The value of a field that is not null.
    fn field(&self, name: &str) -> Option<&Node> {
        self.field_entry(name).map(|entry| &entry.node)
    }
}

impl Fields for Node {
    fn field_entry(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| is_spelling(&entry.key, name) && !entry.node.is_null())
    }
}

/// Whether `key` is `name` (camel case), or the same in snake case.
pub(crate) fn is_spelling(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut key = key.chars();
    let same = name.chars().all(|c| {
        if c.is_ascii_uppercase() {
            key.next() == Some('_') && key.next() == Some(c.to_ascii_lowercase())
        } else {
            key.next() == Some(c)
        }
    });
    same && key.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_is_the_same_field() {
        assert!(is_spelling("use_egress_proxy", "useEgressProxy"));
        assert!(is_spelling("useEgressProxy", "useEgressProxy"));
        assert!(is_spelling("http2_error", "http2Error"));
        assert!(!is_spelling("useegressproxy", "useEgressProxy"));
        assert!(!is_spelling("use_egress_proxy_", "useEgressProxy"));
    }
}
