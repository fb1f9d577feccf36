//! TLS as a client speaks it to a server (`DestinationRule`) and as a gateway or sidecar offers it.

mod client;
mod server;

pub use client::{ClientTls, ClientTlsMode};
pub use server::{CIPHER_SUITES, CertificateFiles, ServerTls, ServerTlsMode, TlsVersion};

pub(crate) use client::{FIELDS as CLIENT_FIELDS, read as read_client};
pub(crate) use server::{FIELDS as SERVER_FIELDS, SIDECAR_FIELDS, read as read_server};

use crate::read::At;

/// Why a mode is refused that asks for certificates of the mesh's own.
const NO_IDENTITY: &str = "this version gives workloads no certificates of their own; use SIMPLE or MUTUAL";

/// The fields among these that are written and not empty.
fn written<'a>(at: &At<'a>, names: &[&str]) -> Vec<At<'a>> {
    let is_written = |field: &At<'_>| match &field.node.value {
        crate::yaml::Value::Text(text) => !text.is_empty(),
        crate::yaml::Value::List(items) => !items.is_empty(),
        _ => true,
    };
    names.iter().filter_map(|name| at.field(name)).filter(is_written).collect()
}
