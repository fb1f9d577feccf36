//! Messages as JSON and back, in the spelling of Envoy's configuration: the `.proto` files' own field names, and
//! every `Any` opened under its `@type`.
//!
//! The descriptors are decoded at the first use, so that a proxy nobody asks pays nothing for them.

mod read;
mod write;

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};
use serde_json::Value;

/// How deep messages may nest, an `Any` counting as one step: deeper ones are refused before the stack is.
const MAX_DEPTH: usize = 96;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let bytes: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
    DescriptorPool::decode(bytes).expect("invariant: the build has decoded these very bytes")
});

/// Why JSON is not the message it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct JsonError {
    /// The place in the document, `static_resources.clusters[2].name`; `$` for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// How the fields of messages are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// As protobuf's JSON mapping has it, `typedConfig`; istiod's debug pages do so.
    Json,
    /// As the `.proto` files have it, `typed_config`; Envoy's configuration and admin do so.
    #[default]
    Proto,
}

/// Whether messages of this type URL can be told in JSON.
pub fn knows(type_url: &str) -> bool {
    descriptor_of(type_url).is_some()
}

/// Writes a message as JSON; a [`crate::Any`] is opened.
///
/// An `Any` of a type nobody here knows, or whose bytes are no such message, becomes its `@type` beside the bytes
/// in base64 as `value`. A message of unknown type is empty.
pub fn to_json<M: Message + Name>(message: &M) -> Value {
    to_json_as(message, Spelling::Proto)
}

/// The same as [`to_json`], in a spelling of one's own.
pub fn to_json_as<M: Message + Name>(message: &M, spelling: Spelling) -> Value {
    let empty = || Value::Object(serde_json::Map::new());
    let Some(descriptor) = POOL.get_message_by_name(&M::full_name()) else { return empty() };
    match DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()) {
        Ok(message) => write::message(&message, write::At::top(spelling)),
        Err(_) => empty(),
    }
}

/// Reads a message from JSON; a [`crate::Any`] is packed from an object with `@type`.
///
/// # Errors
/// The place and what is wrong there: an unknown field, another type of value, an `@type` nobody here knows.
pub fn from_json<M: Message + Name + Default>(json: &Value) -> Result<M, JsonError> {
    let whole = |message: String| JsonError { path: "$".to_owned(), message };
    let name = M::full_name();
    let descriptor =
        POOL.get_message_by_name(&name).ok_or_else(|| whole(format!("unknown message {name}")))?;
    let message = read::message(descriptor, json)?;
    M::decode(encode(&message).as_slice()).map_err(|e| whole(format!("{name}: {e}")))
}

/// The descriptor behind a type URL.
fn descriptor_of(type_url: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(crate::any::type_name(type_url))
}

/// Encodes a message with its map entries in order.
fn encode(message: &DynamicMessage) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    crate::any::sort(message.descriptor().full_name(), &mut bytes);
    bytes
}

/// Whether a message has a JSON form of its own, which then stands as `value` inside an `Any`.
fn is_well_known(descriptor: &MessageDescriptor) -> bool {
    let name = descriptor.full_name().strip_prefix("google.protobuf.");
    name.is_some_and(|name| {
        matches!(
            name,
            "Any" | "Duration" | "Empty" | "FieldMask" | "ListValue" | "Struct" | "Timestamp" | "Value"
        ) || name.ends_with("Value") && descriptor.get_field(1).is_some_and(|field| field.name() == "value")
    })
}

#[cfg(test)]
mod tests;
