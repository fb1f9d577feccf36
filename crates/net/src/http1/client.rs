//! Our end of a connection to a server.

use std::mem;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, request, response};
use http_body::{Body, Frame, SizeHint};

use super::case::{self, Case, Names};
use super::decode::Decoder;
use super::encode::{self, Framing, Number};
use super::head::{self, Length, Limits, Lines, Rigour};
use super::output::Output;
use super::{BoxError, Error, input};
use crate::{Io, Stream};

/// How large a response's head may be.
const LIMITS: Limits = Limits { bytes: 256 * 1024, headers: 256 };
/// Room for a usual request's head.
const HEAD: usize = 1024;

/// One connection to a server, for one exchange at a time.
///
/// Whoever polls it carries the exchange: the request goes on being sent while the response is read.
#[derive(Debug)]
pub struct Client<B> {
    io: Io,
    input: BytesMut,
    lines: Lines,
    decoder: Decoder,
    output: Output,
    framing: Framing,
    body: Option<B>,
    /// Whether any of the request has been written.
    has_sent: bool,
    /// Whether the request has been sent whole.
    is_sent: bool,
    is_broken: bool,
    to_head: bool,
    to_connect: bool,
    keep_alive: bool,
    case: Case,
}

impl<B> Client<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Takes a connection.
    pub fn new(io: Io) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            lines: Lines::default(),
            decoder: Decoder::new(Length::Exact(0), Rigour::Lenient),
            output: Output::default(),
            framing: Framing::Ended,
            body: None,
            has_sent: false,
            is_sent: true,
            is_broken: false,
            to_head: false,
            to_connect: false,
            keep_alive: true,
            case: Case::Lower,
        }
    }

    /// Writes names of headers so; where they are to be kept, those of responses are remembered.
    pub fn write_as(&mut self, case: Case) {
        self.case = case;
    }

    /// What carries the bytes.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Begins an exchange; polling for the response sends the request.
    pub fn start(&mut self, head: &request::Parts, numbers: &[Number], body: B) {
        let hint = (!body.is_end_stream()).then(|| body.size_hint());
        let out = self.output.tail();
        out.reserve(HEAD);
        let begin = out.len();
        self.framing = encode::request(out, head, numbers, hint);
        case::apply(out.get_mut(begin..).unwrap_or_default(), self.case, head.extensions.get());
        self.body = hint.is_some().then_some(body);
        (self.to_head, self.to_connect) = (head.method == Method::HEAD, head.method == Method::CONNECT);
        (self.has_sent, self.is_sent, self.keep_alive) = (false, false, false);
    }

    /// Whether any of the request may have reached the server.
    pub fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// The head of the response, once it has come.
    ///
    /// # Errors
    /// The connection or the request's body failed, or the server broke the rules.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Error>> {
        let sending = match self.poll_send(cx) {
            // The server may have answered before it closed its side.
            Poll::Ready(Err(Error::Io(error))) if self.has_sent => Some(error),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        loop {
            if let Some(length) = self.lines.find(&self.input, Rigour::Lenient, &LIMITS)? {
                let block = input::take(&mut self.input, length as u64);
                let head = head::response(&block, &self.lines, self.to_head);
                self.lines.clear();
                let mut head = head?;
                if self.case == Case::Kept {
                    head.parts.extensions.insert(Names::of(&block));
                }
                // What is said meanwhile concerns the hop only.
                if head.parts.status.is_informational()
                    && head.parts.status != StatusCode::SWITCHING_PROTOCOLS
                {
                    continue;
                }
                self.keep_alive = head.keep_alive && sending.is_none();
                // What follows the consent to a tunnel is the tunnel's.
                let tunnels = self.to_connect && head.parts.status.is_success();
                let length = if tunnels { Length::Exact(0) } else { head.length };
                self.decoder = Decoder::new(length, Rigour::Lenient);
                return Poll::Ready(Ok(head.parts));
            }
            match ready!(input::fill(&mut self.io, &mut self.input, cx)) {
                Ok(0) => return Poll::Ready(Err(sending.map_or(Error::Closed, Error::Io))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// The next frame of the response's body.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.poll_send(cx) {
            Poll::Ready(Err(Error::Io(_)) | Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
        }
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.decoder.is_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Some(Err(malformed.into()))),
            }
            let wanted = self.decoder.wanted();
            match ready!(input::fill_body(&mut self.io, &mut self.input, wanted, cx)) {
                Ok(0) if self.decoder.end() => return Poll::Ready(None),
                Ok(0) => return Poll::Ready(Some(Err(Error::Closed))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    /// Whether the response has come whole.
    pub fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    /// How long the rest of the response's body is.
    pub fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }

    /// Sends what can be sent; ready where nothing is left to send.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_sent {
            return Poll::Ready(Ok(()));
        }
        let sending = self.poll_write(cx);
        self.has_sent |= self.output.has_begun();
        if let Poll::Ready(result) = &sending {
            // What failed is not tried again, and the connection not used again.
            self.is_sent = true;
            self.has_sent |= result.is_ok();
            self.is_broken |= result.is_err();
            self.body = None;
            self.output.release();
        }
        sending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            encode::gather(&mut self.output, &mut self.framing, &mut self.body, cx)?;
            let (is_ended, is_empty) = (self.framing.is_ended(), self.output.is_empty());
            if !is_empty {
                ready!(self.output.poll_write(&mut self.io, cx))?;
                self.has_sent = true;
            }
            match (is_ended, is_empty) {
                (true, _) => return Poll::Ready(Ok(())),
                (false, true) => return Poll::Pending,
                (false, false) => {}
            }
        }
    }

    /// Ends an exchange; whether the connection can carry another.
    pub fn finish(&self) -> bool {
        self.keep_alive && self.decoder.is_done() && self.is_sent && !self.is_broken && self.input.is_empty()
    }

    /// Whether an idle connection is still open, as far as is known here: nobody is asked.
    pub fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // Between exchanges a server has nothing to say but that it closes.
        input::fill(&mut self.io, &mut self.input, &mut cx).is_pending()
    }

    /// The bytes themselves, after the server has agreed to another protocol.
    pub fn into_stream(mut self) -> Stream {
        Stream::with_seen(self.io, mem::take(&mut self.input))
    }
}
