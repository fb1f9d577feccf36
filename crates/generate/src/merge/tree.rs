//! Three trees made one: field by field, and lists item by item where the items have names.

use std::fmt;

use serde_json::{Map, Value};

/// A field about which the model and a person said different things.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The object, as `VirtualService/default/order`.
    pub object: String,
    /// The field; empty for the whole object.
    pub path: String,
    /// What was generated the last time.
    pub base: Option<Value>,
    /// What stands in the file, and stays.
    pub mine: Option<Value>,
    /// What is generated now.
    pub fresh: Option<Value>,
}

impl Conflict {
    /// One about a whole object: what it was, is, and would be.
    pub(super) fn whole(object: &str, [base, mine, fresh]: [Option<&Value>; 3]) -> Self {
        Self {
            object: object.into(),
            path: String::new(),
            base: base.cloned(),
            mine: mine.cloned(),
            fresh: fresh.cloned(),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => {
                let text = value.to_string();
                if text.chars().count() > 120 {
                    text.chars().take(117).chain("...".chars()).collect()
                } else {
                    text
                }
            }
        };
        let at = if self.path.is_empty() { String::new() } else { format!(" {}", self.path) };
        write!(
            f,
            "{}{at}: the file has {}, the model now gives {} (last time {}); the file's stays",
            self.object,
            text(&self.mine),
            text(&self.fresh),
            text(&self.base)
        )
    }
}

/// Joins three values, any of which may be missing; none is one that is gone.
pub(super) fn merge(
    base: Option<&Value>,
    mine: Option<&Value>,
    fresh: Option<&Value>,
    object: &str,
    conflicts: &mut Vec<Conflict>,
) -> Option<Value> {
    Join { object, conflicts }.join([base, mine, fresh], "")
}

/// What items of a list are told apart by, in the order it is looked for.
pub(super) fn identity(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) => {
            if let Some(Value::Object(destination)) = map.get("destination") {
                let part = |field: &str| destination.get(field).and_then(Value::as_str).unwrap_or_default();
                return Some(format!("{}/{}", part("host"), part("subset")));
            }
            let named = ["name", "number", "host", "containerPort", "port"]
                .into_iter()
                .find_map(|field| map.get(field));
            match named? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Object(port) => port.get("number").map(Value::to_string),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The identities of a list's items; none where two are alike or one has none.
pub(super) fn identities(items: &[Value]) -> Option<Vec<String>> {
    let all: Vec<String> = items.iter().map(identity).collect::<Option<_>>()?;
    let mut sorted = all.clone();
    sorted.sort();
    sorted.dedup();
    (sorted.len() == all.len()).then_some(all)
}

struct Join<'a> {
    object: &'a str,
    conflicts: &'a mut Vec<Conflict>,
}

impl Join<'_> {
    fn join(&mut self, [base, mine, fresh]: [Option<&Value>; 3], path: &str) -> Option<Value> {
        if fresh == base || fresh == mine {
            return mine.cloned();
        }
        if mine == base {
            return fresh.cloned();
        }
        match (mine, fresh) {
            (Some(Value::Object(own)), Some(Value::Object(new))) => {
                Some(self.maps(base.and_then(Value::as_object), own, new, path).into())
            }
            (Some(Value::Array(own)), Some(Value::Array(new))) => {
                let old = base.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                self.lists([old, own, new], path).or_else(|| self.keep([base, mine, fresh], path))
            }
            _ => self.keep([base, mine, fresh], path),
        }
    }

    fn keep(&mut self, [base, mine, fresh]: [Option<&Value>; 3], path: &str) -> Option<Value> {
        self.conflicts.push(Conflict {
            object: self.object.to_owned(),
            path: path.to_owned(),
            base: base.cloned(),
            mine: mine.cloned(),
            fresh: fresh.cloned(),
        });
        mine.cloned()
    }

    fn maps(
        &mut self,
        base: Option<&Map<String, Value>>,
        mine: &Map<String, Value>,
        fresh: &Map<String, Value>,
        path: &str,
    ) -> Map<String, Value> {
        let mut out = Map::new();
        let added = fresh.keys().filter(|key| !mine.contains_key(*key));
        for key in mine.keys().chain(added) {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let three = [base.and_then(|base| base.get(key)), mine.get(key), fresh.get(key)];
            if let Some(value) = self.join(three, &below) {
                out.insert(key.clone(), value);
            }
        }
        out
    }

    /// Lists whose items can be told apart, in the order of the file.
    fn lists(&mut self, [base, mine, fresh]: [&[Value]; 3], path: &str) -> Option<Value> {
        let (old, own, new) = (identities(base)?, identities(mine)?, identities(fresh)?);
        let find = |names: &[String], items: &'_ [Value], name: &str| {
            names.iter().position(|other| other == name).and_then(|place| items.get(place).cloned())
        };
        let mut out: Vec<(String, Value)> = Vec::new();
        for name in &own {
            let below = format!("{path}[{name}]");
            let three = [find(&old, base, name), find(&own, mine, name), find(&new, fresh, name)];
            let joined = self.join([three[0].as_ref(), three[1].as_ref(), three[2].as_ref()], &below);
            out.extend(joined.map(|value| (name.clone(), value)));
        }
        for (place, name) in new.iter().enumerate().filter(|(_, name)| !own.contains(*name)) {
            let below = format!("{path}[{name}]");
            let three = [find(&old, base, name), None, find(&new, fresh, name)];
            let Some(value) = self.join([three[0].as_ref(), None, three[2].as_ref()], &below) else {
                continue;
            };
            let before = new.iter().take(place).rev();
            let at = before.filter_map(|other| out.iter().position(|(known, _)| known == other)).next();
            out.insert(at.map_or(0, |at| at + 1), (name.clone(), value));
        }
        Some(out.into_iter().map(|(_, value)| value).collect())
    }
}
