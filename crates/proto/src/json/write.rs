//! Messages to JSON.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, SerializeOptions, Value as Field,
};
use serde_json::{Map, Value, json};

use super::{MAX_DEPTH, POOL, Spelling, descriptor_of, is_well_known};

/// Where a message stands, and how its fields are spelled.
#[derive(Clone, Copy)]
pub(super) struct At {
    depth: usize,
    spelling: Spelling,
}

impl At {
    /// The whole document.
    pub(super) fn top(spelling: Spelling) -> At {
        At { depth: 0, spelling }
    }

    fn below(self) -> At {
        At { depth: self.depth + 1, ..self }
    }

    fn name(self, field: &FieldDescriptor) -> String {
        match self.spelling {
            Spelling::Json => field.json_name().to_owned(),
            Spelling::Proto => field.name().to_owned(),
        }
    }
}

/// Writes one message; below the deepest level nothing is written.
pub(super) fn message(message: &DynamicMessage, at: At) -> Value {
    let descriptor = message.descriptor();
    if at.depth > MAX_DEPTH {
        return Value::Null;
    }
    if descriptor.full_name() == "google.protobuf.Any" {
        return any(message, at);
    }
    if is_well_known(&descriptor) {
        return well_known(message);
    }
    Value::Object(fields(message, at))
}

fn fields(message: &DynamicMessage, at: At) -> Map<String, Value> {
    let fields = message.fields();
    fields.map(|(field, value)| (at.name(&field), self::value(&field, value, at))).collect()
}

fn value(field: &FieldDescriptor, value: &Field, at: At) -> Value {
    match value {
        Field::List(items) => items.iter().map(|item| single(&field.kind(), item, at)).collect(),
        Field::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return Value::Null };
            let kind = entry.map_entry_value_field().kind();
            let mut sorted: Vec<_> = entries.iter().map(|(k, v)| (key(k), single(&kind, v, at))).collect();
            sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            Value::Object(sorted.into_iter().collect())
        }
        single_value => single(&field.kind(), single_value, at),
    }
}

fn single(kind: &Kind, value: &Field, at: At) -> Value {
    match value {
        Field::Bool(b) => Value::Bool(*b),
        Field::I32(n) => json!(n),
        Field::U32(n) => json!(n),
        // 64 bits do not fit the numbers of every reader of JSON; the mapping asks for text.
        Field::I64(n) => Value::String(n.to_string()),
        Field::U64(n) => Value::String(n.to_string()),
        Field::F32(x) => float(f64::from(*x), x.to_string()),
        Field::F64(x) => float(*x, x.to_string()),
        Field::String(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => Value::String(base64(bytes)),
        Field::EnumNumber(number) => match kind {
            Kind::Enum(values) if values.full_name() == "google.protobuf.NullValue" => Value::Null,
            Kind::Enum(values) => match values.get_value(*number) {
                Some(value) => Value::String(value.name().to_owned()),
                None => json!(number),
            },
            _ => json!(number),
        },
        Field::Message(inner) => message(inner, at.below()),
        Field::List(_) | Field::Map(_) => Value::Null,
    }
}

/// The shortest decimal text that reads back as the same number, which for 32 bits is not that of 64.
fn float(x: f64, text: String) -> Value {
    if x.is_nan() {
        return json!("NaN");
    }
    if x.is_infinite() {
        return json!(if x > 0.0 { "Infinity" } else { "-Infinity" });
    }
    // Whole numbers are written without a fraction, as everywhere in Envoy's JSON.
    text.parse::<i64>().map_or_else(|_| json!(text.parse::<f64>().unwrap_or(x)), |whole| json!(whole))
}

fn key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(b) => b.to_string(),
        MapKey::I32(n) => n.to_string(),
        MapKey::I64(n) => n.to_string(),
        MapKey::U32(n) => n.to_string(),
        MapKey::U64(n) => n.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

fn any(any: &DynamicMessage, at: At) -> Value {
    let type_url = any.get_field_by_name("type_url");
    let type_url = type_url.as_deref().and_then(Field::as_str).unwrap_or_default();
    let bytes = any.get_field_by_name("value");
    let bytes = bytes.as_deref().and_then(Field::as_bytes).map(|bytes| bytes.as_ref()).unwrap_or_default();
    if type_url.is_empty() && bytes.is_empty() {
        return Value::Object(Map::new());
    }

    let mut object = Map::new();
    object.insert("@type".to_owned(), Value::String(type_url.to_owned()));
    let inner = descriptor_of(type_url).and_then(|descriptor| DynamicMessage::decode(descriptor, bytes).ok());
    match inner {
        Some(inner) if at.depth < MAX_DEPTH => {
            if is_well_known(&inner.descriptor()) {
                object.insert("value".to_owned(), message(&inner, at.below()));
            } else {
                object.extend(fields(&inner, at.below()));
            }
        }
        _ => {
            object.insert("value".to_owned(), Value::String(base64(bytes)));
        }
    }
    Value::Object(object)
}

/// A message with a JSON form of its own, all of which the reflection library knows.
fn well_known(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    // A duration or time out of range has no JSON form.
    let mut json =
        message.serialize_with_options(serde_json::value::Serializer, &options).unwrap_or(Value::Null);
    shorten(&mut json);
    json
}

/// Writes the numbers of untyped values as all others: whole ones without a fraction.
fn shorten(json: &mut Value) {
    match json {
        Value::Number(number) => {
            if let Some(x) = number.as_f64() {
                *json = float(x, x.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => {
            fields.sort_keys();
            fields.values_mut().for_each(shorten);
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Base64, by way of the one message whose JSON form is that.
fn base64(bytes: &[u8]) -> String {
    let Some(descriptor) = POOL.get_message_by_name("google.protobuf.BytesValue") else {
        return String::new();
    };
    let mut wrapped = DynamicMessage::new(descriptor);
    wrapped.set_field_by_name("value", Field::Bytes(bytes.to_vec().into()));
    match well_known(&wrapped) {
        Value::String(text) => text,
        _ => String::new(),
    }
}
