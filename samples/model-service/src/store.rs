//! What a service keeps, as the log says: records by aggregate, rows of read models, and events nobody has seen to.

use std::collections::{BTreeMap, BTreeSet};

use generate::Context;
use serde_json::{Map, Value};

use crate::Entry;

/// What one context keeps.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Records by aggregate and id.
    pub records: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    /// Rows by read model and key.
    pub rows: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    /// Events of all contexts, in their order: id, name, fields.
    pub events: Vec<(String, String, Map<String, Value>)>,
    /// What policies have done: policy and event.
    pub done: BTreeSet<(String, String)>,
}

impl Store {
    /// Takes in what the log says.
    pub fn take(&mut self, context: &Context, entries: Vec<Entry>) {
        for entry in entries {
            match entry {
                Entry::Done { policy, event } => {
                    self.done.insert((policy, event));
                }
                Entry::Event { id, name, fields, .. } => {
                    self.project(context, &name, &fields);
                    self.events.push((id, name, fields));
                }
                Entry::State { context: owner, aggregate, id, fields } if owner == context.name => {
                    let records = self.records.entry(aggregate).or_default();
                    match fields {
                        Some(fields) => records.insert(id, fields),
                        None => records.remove(&id),
                    };
                }
                Entry::State { .. } => {}
            }
        }
    }

    /// Puts what an event tells into the rows it is about.
    fn project(&mut self, context: &Context, name: &str, event: &Map<String, Value>) {
        for view in context.read_models.iter().filter(|view| view.aggregate.is_none()) {
            let Some(key) =
                view.fields.keys().find(|field| is_reference(field) && event.contains_key(*field))
            else {
                continue;
            };
            let id = text(event.get(key));
            let row = self
                .rows
                .entry(view.name.clone())
                .or_default()
                .entry(id)
                .or_insert_with(|| blank(&view.fields));
            for (field, value) in event.iter().filter(|(field, _)| view.fields.contains_key(*field)) {
                row.insert(field.clone(), value.clone());
            }
            // `deliveryStatus` is what last happened to a delivery.
            let lower = name.to_lowercase();
            for field in view.fields.keys() {
                let about = field.strip_suffix("Status").map(str::to_lowercase);
                if about.is_some_and(|about| !about.is_empty() && lower.starts_with(&about)) {
                    row.insert(field.clone(), name.into());
                }
            }
        }
    }

    /// An id no record of an aggregate has.
    pub fn fresh_id(&self, aggregate: &str) -> String {
        let known = self.records.get(aggregate).into_iter().flat_map(BTreeMap::keys);
        let highest = known.filter_map(|id| id.parse::<u64>().ok()).max().unwrap_or_default();
        highest.saturating_add(1).to_string()
    }
}

/// Whether a field names something elsewhere: `orderId`.
pub(crate) fn is_reference(field: &str) -> bool {
    field == "id" || field.ends_with("Id")
}

/// A value as text, as it stands in a path.
pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(value) => value.to_string(),
    }
}

/// A record in which nothing is said.
pub(crate) fn blank(fields: &Map<String, Value>) -> Map<String, Value> {
    let value = |class: &Value| match class.as_str().unwrap_or_default() {
        "Integer" | "Long" | "Short" | "int" | "long" => 0.into(),
        "BigDecimal" | "Double" | "Float" | "double" | "float" => 0.0.into(),
        "Boolean" | "boolean" => false.into(),
        list if list.starts_with("List<") => Value::Array(Vec::new()),
        _ => Value::from(""),
    };
    fields.iter().map(|(name, class)| (name.clone(), value(class))).collect()
}

/// An id as the field that keys an aggregate has it.
pub(crate) fn key_value(id: &str, class: Option<&Value>) -> Value {
    let is_number = matches!(class.and_then(Value::as_str), Some("Integer" | "Long" | "int" | "long"));
    match id.parse::<u64>() {
        Ok(number) if is_number => number.into(),
        _ => id.into(),
    }
}
