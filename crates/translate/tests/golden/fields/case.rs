//! Cases: which value of a field is tried, and beside what.

use std::collections::BTreeMap;
use std::path::Path;

use api::Kind;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::place;

/// The cases of one kind.
#[derive(Debug, Default)]
pub(super) struct Cases {
    /// The object that fields are put into, without its name.
    object: Value,
    /// More objects of the mesh, as YAML.
    pub beside: String,
    own: BTreeMap<String, Value>,
    parts: Vec<Part>,
}

/// Cases of fields that stand together, or in several places.
#[derive(Debug)]
struct Part {
    at: String,
    /// The file they stand in; empty where that is the kind's own.
    name: String,
    with: BTreeMap<String, Value>,
    cases: BTreeMap<String, Value>,
}

/// One field's case.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// What is tried, one after the other.
    pub values: Vec<Given>,
    /// What stands in the object before and after.
    with: Vec<(String, Value)>,
    /// More objects beside it.
    pub beside: String,
    /// Values that are warned of.
    pub warned: Vec<Value>,
    /// Values that are refused.
    pub refused: Vec<Value>,
    /// What is to come of it.
    pub expectation: Expectation,
    /// The field of xDS that the proxy takes and does not act on, as `docs/xds.md` names it.
    pub unread: Option<String>,
}

/// One value, and what goes with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub value: Value,
    /// What the field is before; it is missing where this is None.
    pub from: Option<Value>,
    /// What stands in the object before and after.
    pub with: Vec<(String, Value)>,
    /// What comes with it.
    pub and: Vec<(String, Value)>,
}

/// What is to come of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Expectation {
    /// Some proxy is told something else.
    #[default]
    Change,
    /// Nothing, as its row says.
    Nothing,
    /// Something that is not seen in xDS, and which this test shows.
    Test(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    object: Value,
    #[serde(default)]
    beside: String,
    #[serde(default)]
    parts: Vec<PartHeader>,
    #[serde(default)]
    cases: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartHeader {
    at: String,
    /// The file they stand in; none where they stand here.
    #[serde(default)]
    of: String,
    /// What stands in the object beside all of them.
    #[serde(default)]
    with: BTreeMap<String, Value>,
    #[serde(default)]
    cases: BTreeMap<String, Value>,
}

/// A case that says more than its value.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    set: Option<Value>,
    #[serde(default)]
    sets: Vec<Value>,
    from: Option<Value>,
    #[serde(default)]
    with: BTreeMap<String, Value>,
    #[serde(default)]
    and: BTreeMap<String, Value>,
    #[serde(default)]
    beside: String,
    #[serde(default)]
    warned: Vec<Value>,
    #[serde(default)]
    refused: Vec<Value>,
    #[serde(default)]
    nothing: bool,
    test: Option<String>,
    unread: Option<String>,
}

fn load(stem: &Path) -> File {
    let path = stem.with_extension("yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

impl Cases {
    /// Reads the cases of a kind from `STEM.yaml`; none where there is no such file.
    pub(super) fn read(stem: &Path) -> Self {
        let file = if stem.with_extension("yaml").exists() { load(stem) } else { File::default() };
        let (mut parts, mut headers) = (Vec::new(), file.parts);
        while let Some(header) = headers.pop() {
            let inner = match header.of.is_empty() {
                true => File { cases: header.cases, ..File::default() },
                false => load(&stem.with_file_name(format!("part-{}", header.of))),
            };
            // Parts of parts stand below them, beside the same.
            headers.extend(inner.parts.into_iter().map(|below| PartHeader {
                at: format!("{}.{}", header.at, below.at),
                with: header.with.clone(),
                ..below
            }));
            parts.push(Part { at: header.at, name: header.of, with: header.with, cases: inner.cases });
        }
        Self { object: file.object, beside: file.beside, own: file.cases, parts }
    }

    /// The case of a field, with the name of what it was found by.
    pub(super) fn of(&self, path: &str) -> Option<(String, Case)> {
        if let Some(written) = self.own.get(path) {
            return Some((path.to_owned(), Case::new(written, "", &BTreeMap::new())));
        }
        let below = |part: &Part| -> Option<(usize, String, Case)> {
            let rest = path.strip_prefix(&*part.at)?.strip_prefix('.')?;
            let case = Case::new(part.cases.get(rest)?, &part.at, &part.with);
            Some((part.at.len(), part.name_of(rest), case))
        };
        let found = self.parts.iter().filter_map(below).max_by_key(|(length, ..)| *length);
        found.map(|(_, name, case)| (name, case))
    }

    /// What stands around a field that has no case.
    pub(super) fn around(&self, path: &str) -> Case {
        let parts = self
            .parts
            .iter()
            .filter(|part| path.strip_prefix(&*part.at).is_some_and(|rest| rest.starts_with('.')));
        let nearest = parts.max_by_key(|part| part.at.len());
        Case { with: nearest.into_iter().flat_map(|part| part.with.clone()).collect(), ..Case::default() }
    }

    /// What the cases are found by.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let of_parts = self.parts.iter().flat_map(|part| part.cases.keys().map(|rest| part.name_of(rest)));
        self.own.keys().cloned().chain(of_parts)
    }

    /// The object with these fields.
    pub(super) fn object(&self, kind: Kind, case: &Case, fields: &[(String, Value)]) -> String {
        let mut object = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": {"name": "it", "namespace": "default"},
        });
        for (key, value) in self.object.as_object().unwrap_or(&Map::new()) {
            place::put(&mut object, key, value.clone());
        }
        for (path, value) in case.with.iter().chain(fields) {
            place::put(&mut object, path, value.clone());
        }
        // The mesh's settings are a text in a map.
        if let Some(mesh) = object.pointer_mut("/data/mesh").filter(|mesh| mesh.is_object()) {
            *mesh = Value::String(mesh.to_string());
        }
        object.to_string()
    }
}

impl Part {
    /// What a case is found by: its file, whose cases several kinds share, else its place.
    fn name_of(&self, rest: &str) -> String {
        if self.name.is_empty() {
            format!("{}.{rest}", self.at)
        } else {
            format!("part-{}: {rest}", self.name)
        }
    }
}

impl Case {
    fn new(written: &Value, at: &str, around: &BTreeMap<String, Value>) -> Self {
        let long = Long::of(written);
        let below = |fields: &BTreeMap<String, Value>| -> Vec<(String, Value)> {
            let place = |path: &String| if at.is_empty() { path.clone() } else { format!("{at}.{path}") };
            fields.iter().map(|(path, value)| (place(path), value.clone())).collect()
        };
        let mut with: Vec<_> = around.iter().map(|(path, value)| (path.clone(), value.clone())).collect();
        with.extend(below(&long.with));
        let values = long.set.iter().chain(&long.sets).map(|value| match Long::of(value) {
            Long { set: Some(value), from, with, and, .. } => Given {
                value,
                from: from.or_else(|| long.from.clone()),
                with: below(&with),
                and: below(&and).into_iter().chain(below(&long.and)).collect(),
            },
            _ => Given::default(),
        });
        Self {
            values: values.collect(),
            with,
            expectation: match (long.nothing, &long.test) {
                (true, _) => Expectation::Nothing,
                (false, Some(test)) => Expectation::Test(test.clone()),
                (false, None) => Expectation::Change,
            },
            beside: long.beside,
            warned: long.warned,
            refused: long.refused,
            unread: long.unread,
        }
    }
}

impl Long {
    /// A map with one of these keys says more than a value.
    fn of(written: &Value) -> Self {
        let is_long = ["set", "sets", "test", "nothing"].iter().any(|key| written.get(key).is_some());
        match is_long && written.is_object() {
            true => serde_json::from_value(written.clone()).unwrap_or_else(|why| panic!("{written}: {why}")),
            false => Self { set: Some(written.clone()), ..Self::default() },
        }
    }
}
