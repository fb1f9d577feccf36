//! Which object, and which part of it, decided something.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// kind/namespace/name and a field path below `spec`, as in `VirtualService/default/reviews http[0].route[1]`.
///
/// File and line are not here: whoever holds the files joins them, so that moving a comment pushes nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The object's kind, e.g. `VirtualService`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The field path below `spec`, e.g. `http[2].match[0]`; empty for the whole object.
    pub path: String,
}

impl Origin {
    /// The origin of a whole object.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into(), path: String::new() }
    }

    /// The same object, another path.
    pub fn at(&self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    /// `kind/namespace/name`.
    pub fn object(&self) -> String {
        format!("{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " {}", self.path) }
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (object, path) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = object.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(namespace), Some(name)) => Ok(Self::new(kind, namespace, name).at(path)),
            _ => Err(format!("{text:?} is not an origin (kind/namespace/name path)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_survives_its_text() {
        let origin = Origin::new("VirtualService", "default", "reviews").at("http[2].match[0]");

        assert_eq!(origin.to_string().parse(), Ok(origin));
    }
}
