//! JSON to messages.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Field,
};
use serde_json::{Map, Value};

use super::{JsonError, MAX_DEPTH, POOL, descriptor_of, is_well_known};

/// Reads one message of the given type.
pub(super) fn message(descriptor: MessageDescriptor, json: &Value) -> Result<DynamicMessage, JsonError> {
    Reader { path: Vec::new() }.message(descriptor, json)
}

/// One step from a value to a value inside it.
enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

/// Reads, and remembers where it is.
struct Reader<'a> {
    path: Vec<Step<'a>>,
}

impl<'a> Reader<'a> {
    fn message(
        &mut self,
        descriptor: MessageDescriptor,
        json: &'a Value,
    ) -> Result<DynamicMessage, JsonError> {
        if self.path.len() > 2 * MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        if descriptor.full_name() == "google.protobuf.Any" {
            return self.any(descriptor, json);
        }
        if is_well_known(&descriptor) {
            return DynamicMessage::deserialize(descriptor, json).map_err(|e| self.error(e));
        }
        let Value::Object(object) = json else {
            return Err(self.error(format!(
                "expected an object, a {}, found {}",
                descriptor.name(),
                kind(json)
            )));
        };
        self.fields(descriptor, object)
    }

    fn fields(
        &mut self,
        descriptor: MessageDescriptor,
        object: &'a Map<String, Value>,
    ) -> Result<DynamicMessage, JsonError> {
        let mut message = DynamicMessage::new(descriptor.clone());
        for (name, json) in object.iter().filter(|(name, _)| *name != "@type") {
            self.path.push(Step::Field(name));
            let field =
                descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
            let field =
                field.ok_or_else(|| self.error(format!("no such field in {}", descriptor.full_name())))?;
            let twice =
                field.containing_oneof().is_some_and(|oneof| oneof.fields().any(|f| message.has_field(&f)));
            if message.has_field(&field) || twice && !json.is_null() {
                return Err(self.error("given twice, or beside another choice of the same field"));
            }
            if let Some(value) = self.field(&field, json)? {
                message.set_field(&field, value);
            }
            self.path.pop();
        }
        Ok(message)
    }

    /// Reads a field's value; `None` when `null` leaves it unset.
    fn field(&mut self, field: &FieldDescriptor, json: &'a Value) -> Result<Option<Field>, JsonError> {
        if json.is_null() && (field.is_list() || field.is_map() || !takes_null(&field.kind())) {
            return Ok(None);
        }
        if field.is_list() {
            let Value::Array(items) = json else {
                return Err(self.error(format!("expected a list, found {}", kind(json))));
            };
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                self.path.push(Step::Index(index));
                list.push(self.single(&field.kind(), item)?);
                self.path.pop();
            }
            return Ok(Some(Field::List(list)));
        }
        match field.kind() {
            Kind::Message(entry) if field.is_map() => self.map(&entry, json).map(Some),
            kind => self.single(&kind, json).map(Some),
        }
    }

    fn map(&mut self, entry: &MessageDescriptor, json: &'a Value) -> Result<Field, JsonError> {
        let Value::Object(object) = json else {
            return Err(self.error(format!("expected an object, found {}", kind(json))));
        };
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut entries = HashMap::with_capacity(object.len());
        for (name, json) in object {
            self.path.push(Step::Field(name));
            entries.insert(self.key(&key, name)?, self.single(&value, json)?);
            self.path.pop();
        }
        Ok(Field::Map(entries))
    }

    fn key(&self, kind: &Kind, name: &str) -> Result<MapKey, JsonError> {
        match kind {
            Kind::Bool => self.parsed(name).map(MapKey::Bool),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => self.parsed(name).map(MapKey::I32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => self.parsed(name).map(MapKey::I64),
            Kind::Uint32 | Kind::Fixed32 => self.parsed(name).map(MapKey::U32),
            Kind::Uint64 | Kind::Fixed64 => self.parsed(name).map(MapKey::U64),
            _ => Ok(MapKey::String(name.to_owned())),
        }
    }

    fn single(&mut self, kind: &Kind, json: &'a Value) -> Result<Field, JsonError> {
        match kind {
            Kind::Message(descriptor) => self.message(descriptor.clone(), json).map(Field::Message),
            Kind::Enum(values) => self.number_of(values, json).map(Field::EnumNumber),
            Kind::Bool => json.as_bool().map(Field::Bool).ok_or_else(|| self.expected("true or false", json)),
            Kind::String => match json {
                Value::String(text) => Ok(Field::String(text.clone())),
                other => Err(self.expected("text", other)),
            },
            Kind::Bytes => self.bytes(json),
            Kind::Double => self.float(json).map(Field::F64),
            // The nearest number of 32 bits is what the field can hold.
            Kind::Float => self.float(json).map(|x| Field::F32(x as f32)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => self.integer(json).map(Field::I32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => self.integer(json).map(Field::I64),
            Kind::Uint32 | Kind::Fixed32 => self.integer(json).map(Field::U32),
            Kind::Uint64 | Kind::Fixed64 => self.integer(json).map(Field::U64),
        }
    }

    fn number_of(&self, values: &EnumDescriptor, json: &Value) -> Result<i32, JsonError> {
        match json {
            Value::Null => Ok(0),
            Value::String(name) => match values.get_value_by_name(name) {
                Some(value) => Ok(value.number()),
                None => {
                    let known: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
                    Err(self.error(format!("{name:?} is none of {}", known.join(", "))))
                }
            },
            number => self.integer(number),
        }
    }

    fn bytes(&self, json: &Value) -> Result<Field, JsonError> {
        let wrapper = POOL.get_message_by_name("google.protobuf.BytesValue");
        let bytes = wrapper.filter(|_| json.is_string()).and_then(|wrapper| {
            let wrapped = DynamicMessage::deserialize(wrapper, json).ok()?;
            wrapped.get_field_by_name("value").map(|bytes| bytes.into_owned())
        });
        bytes.ok_or_else(|| self.error("expected bytes in base64"))
    }

    /// Reads a whole number of any width, as a number or as text; `2.0` is one too.
    fn integer<N: FromStr + TryFrom<i128>>(&self, json: &Value) -> Result<N, JsonError>
    where
        N::Err: Display,
    {
        match json {
            Value::String(text) => self.parsed(text),
            Value::Number(number) => {
                let whole = number.as_i128().or_else(|| whole(number.as_f64()?));
                whole
                    .and_then(|whole| N::try_from(whole).ok())
                    .ok_or_else(|| self.error(format!("{number} is out of range or not whole")))
            }
            other => Err(self.expected("a number", other)),
        }
    }

    fn float(&self, json: &Value) -> Result<f64, JsonError> {
        match json {
            Value::Number(number) => number.as_f64().ok_or_else(|| self.expected("a number", json)),
            Value::String(text) if text == "Infinity" => Ok(f64::INFINITY),
            Value::String(text) if text == "-Infinity" => Ok(f64::NEG_INFINITY),
            Value::String(text) => self.parsed(text),
            other => Err(self.expected("a number", other)),
        }
    }

    fn any(&mut self, descriptor: MessageDescriptor, json: &'a Value) -> Result<DynamicMessage, JsonError> {
        let Value::Object(object) = json else {
            return Err(self.error(format!("expected an object with @type, found {}", kind(json))));
        };
        let mut any = DynamicMessage::new(descriptor);
        if object.is_empty() {
            return Ok(any);
        }
        let Some(Value::String(type_url)) = object.get("@type") else {
            return Err(self.error("@type is missing"));
        };
        let inner = descriptor_of(type_url).ok_or_else(|| self.error(format!("unknown type {type_url}")))?;
        let inner = if is_well_known(&inner) {
            self.path.push(Step::Field("value"));
            let inner = self.message(inner, object.get("value").unwrap_or(&Value::Null))?;
            self.path.pop();
            inner
        } else {
            self.fields(inner, object)?
        };
        any.set_field_by_name("type_url", Field::String(type_url.clone()));
        any.set_field_by_name("value", Field::Bytes(super::encode(&inner).into()));
        Ok(any)
    }

    fn parsed<N: FromStr<Err: Display>>(&self, text: &str) -> Result<N, JsonError> {
        text.parse().map_err(|e| self.error(format!("{text:?}: {e}")))
    }

    fn expected(&self, what: &str, json: &Value) -> JsonError {
        self.error(format!("expected {what}, found {}", kind(json)))
    }

    fn error(&self, message: impl Display) -> JsonError {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.extend([".", name]),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() {
            path.push('$');
        }
        JsonError { path, message: message.to_string() }
    }
}

/// Whether `null` is a value of the field's type instead of leaving it unset.
fn takes_null(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => message.full_name() == "google.protobuf.Value",
        Kind::Enum(values) => values.full_name() == "google.protobuf.NullValue",
        _ => false,
    }
}

/// A whole number written with a fraction or an exponent, as far as it is exact.
fn whole(x: f64) -> Option<i128> {
    // Beyond 2^53 not every whole number has a float, so one written that way may mean another.
    (x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0).then_some(x as i128)
}

fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
