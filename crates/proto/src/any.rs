//! `google.protobuf.Any`: every message of xDS travels in one.

mod canonical;

use prost::{Message, Name};

use crate::Any;

/// Packs a message under its own type URL, equal messages into equal bytes.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: encode(message) }
}

/// Encodes a message, equal messages into equal bytes.
///
/// Protobuf leaves the order of a map's entries open and a hash map changes it from run to run; here they are
/// sorted, at every depth. What is already packed in an `Any` inside is left as it is: whoever packed it has
/// sorted it.
pub fn encode<M: Message + Name>(message: &M) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    canonical::sort(&M::full_name(), &mut bytes);
    bytes
}

/// Unpacks a message; the error names both types, or says how the bytes are broken.
///
/// # Errors
/// Another type, or bytes that are not such a message.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, String> {
    if any.type_url != M::type_url() {
        return Err(format!("expected {}, found {}", M::type_url(), any.type_url));
    }
    M::decode(any.value.as_slice()).map_err(|e| format!("{}: {e}", M::type_url()))
}

/// The message name behind a type URL: what follows the last slash.
pub fn type_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}

/// Sorts the map entries of an encoded message of the given name, in place, as [`encode`] does.
pub(crate) fn sort(message: &str, bytes: &mut [u8]) {
    canonical::sort(message, bytes);
}

#[cfg(test)]
mod tests;
