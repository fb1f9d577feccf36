//! The two dialects: what messages are made of, and how they are read.

use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};
use prost::{Message, encode_length_delimiter, length_delimiter_len};
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tonic::Status;

use crate::Served;
use crate::core::{Request, Response};

/// Who answers, as proxies show it.
pub(super) const IDENTIFIER: &str = "weft";

/// From which length on the content of a resource is a piece of its own, the same for every proxy.
pub(super) const LONG: usize = 4 << 10;

/// Length-delimited fields, as they stand before their length.
const FIRST: u8 = 0x0a;
const SECOND: u8 = 0x12;
const THIRD: u8 = 0x1a;

/// How a stream is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Dialect {
    /// What differs.
    Delta,
    /// The state of the world.
    Whole,
}

impl Dialect {
    /// The dialect a method's path stands for.
    pub(super) fn of(path: &str) -> Option<Dialect> {
        match path.strip_prefix("/envoy.service.discovery.v3.AggregatedDiscoveryService/")? {
            "DeltaAggregatedResources" => Some(Dialect::Delta),
            "StreamAggregatedResources" => Some(Dialect::Whole),
            _ => None,
        }
    }

    /// All of a response but its resources.
    pub(super) fn envelope(self, response: &Response) -> Vec<u8> {
        let control_plane = Some(ControlPlane { identifier: IDENTIFIER.to_owned() });
        let generation = response.generation.to_string();
        let (type_url, nonce) = (response.type_url.clone(), response.nonce.clone());
        match self {
            Dialect::Delta => Delta {
                system_version_info: generation,
                type_url,
                nonce,
                removed_resources: response.removed.iter().map(|name| name.to_string()).collect(),
                control_plane,
            }
            .encode_to_vec(),
            Dialect::Whole => {
                Whole { version_info: generation, type_url, nonce, control_plane }.encode_to_vec()
            }
        }
    }

    /// The length of one resource's field.
    pub(super) fn length(self, type_url: &str, served: &Served) -> usize {
        match self {
            Dialect::Delta => field(resource(type_url, served)),
            Dialect::Whole => field(any(type_url, served)),
        }
    }

    /// Writes one resource's field, which is the second of both messages, up to its content: that comes last.
    fn write(self, type_url: &str, served: &Served, buffer: &mut BytesMut) {
        buffer.put_u8(SECOND);
        if self == Dialect::Delta {
            delimit(resource(type_url, served), buffer);
            put(FIRST, served.version.as_bytes(), buffer);
            put(THIRD, served.name.as_bytes(), buffer);
            buffer.put_u8(SECOND);
        }
        delimit(any(type_url, served), buffer);
        put(FIRST, type_url.as_bytes(), buffer);
        buffer.put_u8(SECOND);
        delimit(served.value.len(), buffer);
    }

    /// Writes resources one after the other, but of the last its content where that is long.
    pub(super) fn write_all(self, type_url: &str, run: &[Arc<Served>], buffer: &mut BytesMut) {
        for served in run {
            self.write(type_url, served, buffer);
            if served.value.len() < LONG {
                buffer.put_slice(&served.value);
            }
        }
    }

    /// Reads one request.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(self, message: impl Buf) -> Result<Request, Status> {
        let read = match self {
            Dialect::Delta => DeltaDiscoveryRequest::decode(message).map(Request::Delta),
            Dialect::Whole => DiscoveryRequest::decode(message).map(Request::Whole),
        };
        read.map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

/// The length of a field with its content: one byte says which it is.
fn field(content: usize) -> usize {
    1 + length_delimiter_len(content) + content
}

/// The length of a resource as an `Any`.
fn any(type_url: &str, served: &Served) -> usize {
    field(type_url.len()) + field(served.value.len())
}

/// The length of a resource with its name and version.
fn resource(type_url: &str, served: &Served) -> usize {
    field(served.version.len()) + field(any(type_url, served)) + field(served.name.len())
}

fn put(key: u8, content: &[u8], buffer: &mut BytesMut) {
    buffer.put_u8(key);
    delimit(content.len(), buffer);
    buffer.put_slice(content);
}

fn delimit(length: usize, buffer: &mut BytesMut) {
    encode_length_delimiter(length, buffer).expect("invariant: a buffer grows as it must");
}

/// `DeltaDiscoveryResponse` without its resources.
#[derive(Clone, PartialEq, Message)]
struct Delta {
    #[prost(string, tag = "1")]
    system_version_info: String,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(string, repeated, tag = "6")]
    removed_resources: Vec<String>,
    #[prost(message, optional, tag = "7")]
    control_plane: Option<ControlPlane>,
}

/// `DiscoveryResponse` without its resources.
#[derive(Clone, PartialEq, Message)]
struct Whole {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(message, optional, tag = "6")]
    control_plane: Option<ControlPlane>,
}

#[derive(Clone, PartialEq, Message)]
struct ControlPlane {
    #[prost(string, tag = "1")]
    identifier: String,
}
