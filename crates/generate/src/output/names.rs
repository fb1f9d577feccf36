//! What the drawing tool calls a context in one place and another.

use crate::model::Context;
use crate::name;

/// The names of one context.
pub(super) struct Names {
    /// As it is written.
    pub(super) name: String,
    /// In camel case.
    pub(super) camel: String,
    /// The last part of its path.
    pub(super) plural: String,
    /// Without a tag.
    pub(super) image: Option<String>,
}

impl Names {
    pub(super) fn of(context: &Context) -> Self {
        let camel = name::camel(context.title());
        Self {
            name: context.title().to_owned(),
            plural: name::plural(&camel),
            camel,
            image: context.image.clone(),
        }
    }
}
