//! Responses as they travel.
//!
//! A response is written piece by piece, as its connection takes it: what its resources hold is shared with every
//! other response until then, however many proxies wait for it, and what is long is never copied.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use http_body::Frame;
use tonic::{Code, Status};

use super::dialect::{Dialect, LONG};
use super::press::Press;
use crate::core::Response;

#[cfg(test)]
mod tests;

/// How much is written at a time, as long as no resource is longer.
const PIECE: usize = 32 << 10;

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
