//! Our end of a client's connection.

use std::cell::RefCell;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::response;
use http_body::{Frame, SizeHint};

use super::case::{self, Case, Names};
use super::decode::Decoder;
use super::encode::{self, Answering, Framing};
use super::head::{self, Length, Limits, Lines, RequestHead, Rigour};
use super::output::Output;
use super::{BoxError, Error, input};
use crate::{Io, Stream};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Room for a usual response with its body.
const RESPONSE: usize = 2048;
/// How much of a body nobody wants is read before its answer.
const MOST_SKIMMED: usize = 1 << 20;

/// A client's connection, one request at a time; clones share it.
#[derive(Clone, Debug)]
pub struct Server(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    /// None once it has been taken away.
    io: Option<Io>,
    limits: Limits,
    input: BytesMut,
    lines: Lines,
    decoder: Decoder,
    output: Output,
    framing: Framing,
    /// Whether the client waits to be told to send its body.
    waits: bool,
    /// Whether the response has begun.
    has_answered: bool,
    /// The number of the request the connection is at.
    serial: u64,
    case: Case,
}

/// The body of one request; it ends where the connection goes on to the next.
#[derive(Debug)]
pub struct Body {
    server: Server,
    serial: u64,
}

impl Server {
    /// Takes a connection.
    pub fn new(stream: Stream, limits: Limits) -> Self {
        let (io, input) = stream.into_parts();
        Self(Rc::new(RefCell::new(Inner {
            io: Some(io),
            limits,
            input,
            lines: Lines::default(),
            decoder: Decoder::new(Length::Exact(0), Rigour::Strict),
            output: Output::default(),
            framing: Framing::Ended,
            waits: false,
            has_answered: false,
            serial: 0,
            case: Case::Lower,
        })))
    }

    /// Writes names of headers so; where they are to be kept, those of requests are remembered.
    pub fn write_as(&self, case: Case) {
        self.0.borrow_mut().case = case;
    }

    /// The next request's head; none where the client has gone between two requests.
    ///
    /// # Errors
    /// The client breaks the rules or off.
    pub fn poll_request(&self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestHead>, Error>> {
        self.0.borrow_mut().poll_request(cx)
    }

    /// Whether a part of the next request has come.
    pub fn has_begun(&self) -> bool {
        !self.0.borrow().input.is_empty()
    }

    /// The body of the request; none where it has none.
    pub fn body(&self) -> Option<Body> {
        let inner = self.0.borrow();
        (!inner.decoder.is_done()).then(|| Body { server: self.clone(), serial: inner.serial })
    }

    /// Whether the request has come whole.
    pub fn is_whole(&self) -> bool {
        self.0.borrow().decoder.is_done()
    }

    /// Throws away what has come of a body nobody wants; whether that is all of it.
    pub fn skim(&self, cx: &mut Context<'_>) -> bool {
        let mut inner = self.0.borrow_mut();
        let mut left = MOST_SKIMMED;
        // A client that waits to be told has sent nothing, and need not.
        while !inner.waits && left > 0 {
            let Poll::Ready(Some(Ok(frame))) = inner.poll_frame(cx) else { break };
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
        inner.decoder.is_done()
    }

    /// Ready where the client has gone before it was answered, as far as can be told without losing a byte.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.borrow_mut();
        let inner = &mut *inner;
        // Whoever reads the body finds out; and bytes of a next request say that the client is there.
        if !inner.decoder.is_done() || !inner.input.is_empty() {
            return Poll::Pending;
        }
        let Some(io) = &mut inner.io else { return Poll::Ready(()) };
        match ready!(input::fill(io, &mut inner.input, cx)) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    /// Begins the response; whether its body is to be sent.
    pub fn start(&self, head: &response::Parts, answering: Answering, body: Option<SizeHint>) -> bool {
        let mut inner = self.0.borrow_mut();
        inner.has_answered = true;
        let case = inner.case;
        let out = inner.output.tail();
        out.reserve(RESPONSE);
        let begin = out.len();
        let framing = encode::response(out, head, answering, body);
        case::apply(out.get_mut(begin..).unwrap_or_default(), case, head.extensions.get());
        inner.framing = framing;
        !inner.framing.is_ended()
    }

    /// Whether only closing the connection ends the response that was begun.
    pub fn closes(&self) -> bool {
        self.0.borrow().framing.closes()
    }

    /// Sends the response that was begun, without a body where none is given.
    ///
    /// # Errors
    /// The connection or the body failed.
    pub fn poll_send<B>(&self, body: &mut Option<B>, cx: &mut Context<'_>) -> Poll<Result<(), Error>>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        loop {
            // What the body is made of may be read from this very connection.
            let (mut output, mut framing) = self.0.borrow_mut().take_sending();
            let gathered = encode::gather(&mut output, &mut framing, body, cx);
            let mut inner = self.0.borrow_mut();
            let inner = &mut *inner;
            (inner.output, inner.framing) = (output, framing);
            gathered?;
            let is_empty = inner.output.is_empty();
            if !is_empty {
                ready!(inner.output.poll_write(inner.io.as_mut().ok_or(Error::Closed)?, cx))?;
            }
            match (framing.is_ended(), is_empty) {
                (true, _) => return Poll::Ready(Ok(())),
                (false, true) => return Poll::Pending,
                (false, false) => {}
            }
        }
    }

    /// Ends an exchange; whether the connection can carry another: not where the request was not read whole.
    pub fn finish(&self) -> bool {
        let mut inner = self.0.borrow_mut();
        let inner = &mut *inner;
        inner.output.release();
        inner.serial += 1;
        inner.has_answered = false;
        while !inner.decoder.is_done() && !inner.waits {
            match inner.decoder.decode(&mut inner.input) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        inner.decoder.is_done()
    }

    /// Takes the connection away, and what was read ahead of it; none where that was done before.
    pub fn take(&self) -> Option<Stream> {
        let mut inner = self.0.borrow_mut();
        let input = mem::take(&mut inner.input);
        inner.io.take().map(|io| Stream::with_seen(io, input))
    }
}

impl Inner {
    fn take_sending(&mut self) -> (Output, Framing) {
        (mem::take(&mut self.output), self.framing)
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestHead>, Error>> {
        loop {
            if let Some(length) = self.lines.find(&self.input, Rigour::Strict, &self.limits)? {
                let block = input::take(&mut self.input, length as u64);
                let head = head::request(&block, &self.lines);
                self.lines.clear();
                let mut head = head?;
                if self.case == Case::Kept {
                    head.parts.extensions.insert(Names::of(&block));
                }
                self.decoder = Decoder::new(head.length, Rigour::Strict);
                self.waits = head.expects_continue && !self.decoder.is_done();
                return Poll::Ready(Ok(Some(head)));
            }
            if !self.lines.is_plausible(&self.input) {
                return Poll::Ready(Err(super::Malformed::StartLine.into()));
            }
            let io = self.io.as_mut().ok_or(Error::Closed)?;
            match ready!(input::fill(io, &mut self.input, cx)) {
                Ok(0) if self.input.is_empty() => return Poll::Ready(Ok(None)),
                Ok(0) => return Poll::Ready(Err(Error::Closed)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(frame)) => {
                    self.waits = false;
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) if self.decoder.is_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Some(Err(malformed.into()))),
            }
            if self.waits && !self.has_answered {
                self.waits = false;
                self.output.tail().extend_from_slice(CONTINUE);
            }
            let Some(io) = &mut self.io else { return Poll::Ready(Some(Err(Error::Closed))) };
            if !self.output.is_empty() {
                ready!(self.output.poll_write(io, cx))?;
            }
            let wanted = self.decoder.wanted();
            match ready!(input::fill_body(io, &mut self.input, wanted, cx)) {
                Ok(0) => return Poll::Ready(Some(Err(Error::Closed))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut inner = self.server.0.borrow_mut();
        if inner.serial != self.serial {
            return Poll::Ready(Some(Err(Error::Closed)));
        }
        inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let inner = self.server.0.borrow();
        inner.serial == self.serial && inner.decoder.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.server.0.borrow();
        if inner.serial == self.serial { inner.decoder.size_hint() } else { SizeHint::default() }
    }
}
