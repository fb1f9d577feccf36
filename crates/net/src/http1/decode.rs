//! Bodies as they come, whatever frames them.

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use super::Malformed;
use super::chunks::Chunks;
use super::head::{Length, Rigour};
use super::input;

/// The place within a body.
#[derive(Debug)]
pub(super) enum Decoder {
    /// In chunks.
    Chunked(Box<Chunks>),
    /// Until the connection closes.
    Close,
    /// So much is left.
    Length(u64),
}

impl Decoder {
    /// The beginning of a body.
    pub(super) fn new(length: Length, rigour: Rigour) -> Self {
        match length {
            Length::Chunked => Self::Chunked(Box::new(Chunks::new(rigour))),
            Length::Close => Self::Close,
            Length::Exact(length) => Self::Length(length),
        }
    }

    /// Whether the body is over.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Chunked(chunks) => chunks.is_done(),
            Self::Close => false,
            Self::Length(left) => *left == 0,
        }
    }

    /// Takes what has come of the body; none where more must come first, or the body is over.
    pub(super) fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Malformed> {
        match self {
            Self::Chunked(chunks) => chunks.decode(bytes),
            _ if bytes.is_empty() => Ok(None),
            Self::Close => Ok(Some(Frame::data(input::take(bytes, u64::MAX)))),
            Self::Length(0) => Ok(None),
            Self::Length(left) => {
                let data = input::take(bytes, *left);
                *left -= data.len() as u64;
                Ok(Some(Frame::data(data)))
            }
        }
    }

    /// The connection closed; whether that ends the body as it should.
    pub(super) fn end(&mut self) -> bool {
        if matches!(self, Self::Close) {
            *self = Self::Length(0);
        }
        self.is_done()
    }

    /// How much is known to be to come at once.
    pub(super) fn wanted(&self) -> u64 {
        match self {
            Self::Chunked(chunks) => chunks.left(),
            Self::Close => u64::MAX,
            Self::Length(left) => *left,
        }
    }

    /// How long the rest of the body is.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(chunks) if chunks.is_done() => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::Close => SizeHint::default(),
        }
    }
}
