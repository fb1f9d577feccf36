//! Drawing: by chance, with a note of what was drawn under which name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::chance::Chance;

/// What is drawn, and what is noted of it.
pub(super) struct Draw<'a> {
    pub(super) chance: &'a mut Chance,
    /// What stands under a name, of a route or a condition.
    pub(super) noted: BTreeMap<String, Vec<&'static str>>,
    /// What conditions ask for, so that requests may fulfil them.
    pub(super) wanted: Wanted,
    /// The name that is drawn for.
    name: String,
    names: usize,
}

/// Words that conditions ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) hosts: Vec<&'static str>,
    pub(super) methods: Vec<&'static str>,
    pub(super) paths: Vec<&'static str>,
}

impl<'a> Draw<'a> {
    pub(super) fn new(chance: &'a mut Chance) -> Self {
        Self { chance, noted: BTreeMap::new(), wanted: Wanted::default(), name: String::new(), names: 0 }
    }

    /// The name that is drawn for.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Draws for a name of its own that begins with this.
    pub(super) fn named<T>(&mut self, first: &str, draw: impl FnOnce(&mut Self) -> T) -> T {
        self.names += 1;
        let outer = std::mem::replace(&mut self.name, format!("{first}{}", self.names));
        let drawn = draw(self);
        self.name = outer;
        drawn
    }

    /// Notes a kind under the name.
    pub(super) fn note(&mut self, kind: &'static str) {
        self.noted.entry(self.name.clone()).or_default().push(kind);
    }

    /// One of several kinds, noted.
    pub(super) fn pick(&mut self, several: &[&'static str]) -> &'static str {
        let one = *self.chance.of(several);
        self.note(one);
        one
    }

    /// Whether a kind is to be, and if so, noted.
    pub(super) fn once_in(&mut self, in_many: usize, kind: &'static str) -> bool {
        let is_drawn = self.chance.once_in(in_many);
        if is_drawn {
            self.note(kind);
        }
        is_drawn
    }

    /// One of several.
    pub(super) fn of<T: Clone>(&mut self, several: &[T]) -> T {
        self.chance.of(several).clone()
    }
}

/// An object of these fields.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
