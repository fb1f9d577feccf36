//! How objects are written.

use clap::ValueEnum;

use migrate::{Converted, Document};

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document; a List for several objects. Comments are left out.
    Json,
    /// YAML with the comments of the old rules.
    Yaml,
}

impl Format {
    /// All objects as one text.
    pub(super) fn all(self, converted: &Converted) -> String {
        match (self, &*converted.documents) {
            (_, [only]) => self.one(only),
            (Self::Json, _) => format!("{:#}\n", converted.to_json()),
            (Self::Yaml, _) => converted.to_yaml(),
        }
    }

    /// One object as a text.
    pub(super) fn one(self, document: &Document) -> String {
        match self {
            Self::Json => format!("{:#}\n", document.to_json()),
            Self::Yaml => document.to_yaml(),
        }
    }
}
