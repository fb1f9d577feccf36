//! Messages as they travel, in both dialects.
//!
//! A response is written piece by piece, as its connection takes it: what its resources hold is shared with every
//! other response until then, however many proxies wait for it, and what is long is never copied.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use http_body::Frame;
use prost::{Message, encode_length_delimiter, length_delimiter_len};
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tonic::{Code, Status};

use super::press::Press;
use crate::Served;
use crate::core::{Request, Response};

#[cfg(test)]
mod tests;

/// Who answers, as proxies show it.
const IDENTIFIER: &str = "weft";

/// How much is written at a time, as long as no resource is longer.
const PIECE: usize = 32 << 10;

/// From which length on the content of a resource is a piece of its own, the same for every proxy.
const LONG: usize = 4 << 10;

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
    fn envelope(self, response: &Response) -> Vec<u8> {
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
    fn length(self, type_url: &str, served: &Served) -> usize {
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
}

impl Dialect {
    /// Writes resources one after the other, but of the last its content where that is long.
    pub(super) fn write_all(self, type_url: &str, run: &[Arc<Served>], buffer: &mut BytesMut) {
        for served in run {
            self.write(type_url, served, buffer);
            if served.value.len() < LONG {
                buffer.put_slice(&served.value);
            }
        }
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

impl Dialect {
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

/// A response half written.
struct Writing {
    dialect: Dialect,
    response: Response,
    /// What goes before the resources; empty once written.
    head: BytesMut,
    /// Long content that comes next.
    content: Option<Bytes>,
    /// The resource to be written next.
    next: usize,
    press: Press,
}

impl Writing {
    /// Begins with gRPC's prefix, which tells the length of the whole.
    ///
    /// # Errors
    /// The whole is longer than a prefix can tell.
    fn new(dialect: Dialect, response: Response, press: Press) -> Result<Self, Status> {
        let envelope = dialect.envelope(&response);
        let resources = response.added.iter().map(|served| dialect.length(&response.type_url, served));
        let length = u32::try_from(envelope.len() + resources.sum::<usize>())
            .map_err(|_| Status::resource_exhausted("a response of more than four gigabytes"))?;
        let mut head = BytesMut::with_capacity(envelope.len() + 5);
        head.put_u8(0);
        head.put_u32(length);
        head.put_slice(&envelope);
        Ok(Self { dialect, response, head, content: None, next: 0, press })
    }

    /// The next piece; `None` when all is written.
    fn piece(&mut self) -> Option<Bytes> {
        if let Some(content) = self.content.take() {
            return Some(content);
        }
        let (end, length) = self.run();
        let run = self.response.added.get(self.next..end).unwrap_or_default();
        let content = run.last().map(|served| &served.value).filter(|value| value.len() >= LONG);
        let content = content.cloned();
        let type_url = &self.response.type_url;
        let piece = if run.len() > 1 && length >= LONG {
            if !self.head.is_empty() {
                return Some(std::mem::take(&mut self.head).freeze());
            }
            self.press.piece(self.dialect, type_url, run, length)
        } else {
            let mut piece = std::mem::take(&mut self.head);
            piece.reserve(length);
            self.dialect.write_all(type_url, run, &mut piece);
            piece.freeze()
        };
        (self.next, self.content) = (end, content);
        (!piece.is_empty()).then_some(piece)
    }

    /// The end of the resources that make up the next piece, and its length.
    fn run(&self) -> (usize, usize) {
        let (mut end, mut length) = (self.next, 0);
        for served in self.response.added.iter().skip(self.next) {
            length += self.dialect.length(&self.response.type_url, served);
            end += 1;
            if served.value.len() >= LONG {
                return (end, length - served.value.len());
            }
            if length >= PIECE {
                break;
            }
        }
        (end, length)
    }
}

/// The responses of a stream as the body of an answer, with gRPC's status at the end.
pub(super) struct Body {
    dialect: Dialect,
    responses: Pin<Box<dyn Stream<Item = Result<Response, Status>> + Send>>,
    writing: Option<Writing>,
    press: Press,
    is_over: bool,
}

impl Body {
    /// A body of these responses.
    pub(super) fn new(
        dialect: Dialect,
        press: Press,
        responses: impl Stream<Item = Result<Response, Status>> + Send + 'static,
    ) -> Self {
        Self { dialect, responses: Box::pin(responses), writing: None, press, is_over: false }
    }

    /// A body that says nothing but why there is none.
    pub(super) fn refusal(status: Status) -> Self {
        Self::new(Dialect::Delta, Press::default(), futures_util::stream::iter([Err(status)]))
    }

    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            // What cannot be told is left out; that it is over must be told.
            trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from(Code::Internal as i32));
        }
        Frame::trailers(trailers)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            if let Some(piece) = self.writing.as_mut().and_then(Writing::piece) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.writing = None;
            let dialect = self.dialect;
            let next = ready!(self.responses.as_mut().poll_next(context));
            let writing = |response| Writing::new(dialect, response, self.press.clone());
            match next.map(|response| response.and_then(writing)) {
                Some(Ok(writing)) => self.writing = Some(writing),
                Some(Err(status)) => return Poll::Ready(Some(Ok(self.end(&status)))),
                None => return Poll::Ready(Some(Ok(self.end(&Status::ok(""))))),
            }
        }
    }
}
