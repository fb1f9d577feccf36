//! Heads and bodies as they are sent.

use std::cell::RefCell;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, HeaderName, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, request, response};
use http_body::{Body, Frame, SizeHint};

use super::output::Output;
use super::{BoxError, Error};

/// A header that holds a number; it takes the place of any other of its name.
#[derive(Clone, Debug)]
pub struct Number {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: u64,
}

/// What a request says about how it may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answering {
    /// The version it came by.
    pub version: Version,
    /// Whether it is a `HEAD` request.
    pub to_head: bool,
    /// Whether its client understands trailers.
    pub takes_trailers: bool,
    /// Whether the connection ends with the answer.
    pub closes: bool,
    /// Whether the connection carries something else after the head.
    pub switches: bool,
}

/// The framing of a body that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// In chunks, with trailers or without.
    Chunked { trailers: bool },
    /// Until the connection closes.
    Close,
    /// All is sent.
    Ended,
    /// So much is left.
    Length(u64),
}

/// Trailers that would change how the message is framed, routed or read.
const FORBIDDEN: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Writes a request's head; how its body is framed.
pub(super) fn request(
    out: &mut Vec<u8>,
    head: &request::Parts,
    numbers: &[Number],
    body: Option<SizeHint>,
) -> Framing {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let path = || head.uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes();
    out.extend_from_slice(match head.method {
        // A tunnel is asked for by whom it leads to.
        Method::CONNECT => head.headers.get(HOST).map_or_else(path, HeaderValue::as_bytes),
        _ => path(),
    });
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let (mut has_length, mut upgrades, mut trailers) = (false, false, false);
    for (name, value) in &head.headers {
        if *name == CONTENT_LENGTH {
            has_length = true;
        } else if *name != TRANSFER_ENCODING
            && *name != CONNECTION
            && !numbers.iter().any(|n| n.name == *name)
        {
            upgrades |= *name == UPGRADE;
            trailers |= *name == TRAILER;
            field(out, name, value);
        }
    }
    for Number { name, value } in numbers {
        number(out, name, *value);
    }
    if upgrades {
        out.extend_from_slice(b"connection: upgrade\r\n");
    }
    let framing = match body.map(|hint| hint.exact()) {
        // A client that says it sends nothing is not silenced; by a method that means to send something, that
        // nothing comes is said (RFC 9110 §8.6).
        None if has_length || means_body(&head.method) => length(out, 0),
        None => Framing::Ended,
        Some(Some(exact)) => length(out, exact),
        Some(None) => chunked(out, trailers),
    };
    out.extend_from_slice(b"\r\n");
    framing
}

/// Whether a request of this method is expected to have a body.
fn means_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT)
}

/// Writes a response's head; how its body is framed.
pub(super) fn response(
    out: &mut Vec<u8>,
    head: &response::Parts,
    answering: Answering,
    body: Option<SizeHint>,
) -> Framing {
    status_line(out, head.status, answering.version);
    let (mut declared, mut has_date) = (None, false);
    for (name, value) in &head.headers {
        if *name == CONTENT_LENGTH {
            declared = Some(value);
        } else if *name != TRANSFER_ENCODING && (*name != CONNECTION || answering.switches) {
            has_date |= *name == DATE;
            field(out, name, value);
        }
    }
    if !has_date {
        date(out);
    }
    let exact = body.map_or(Some(0), |hint| hint.exact());
    let framing = match head.status {
        status if answering.switches || status.is_informational() || status == StatusCode::NO_CONTENT => {
            Framing::Ended
        }
        status if answering.to_head || status == StatusCode::NOT_MODIFIED => {
            // What a `GET` would have got.
            if let Some(declared) = declared {
                field(out, &CONTENT_LENGTH, declared);
            }
            Framing::Ended
        }
        _ => match exact {
            Some(exact) => length(out, exact),
            None if answering.version == Version::HTTP_11 => chunked(out, answering.takes_trailers),
            None => Framing::Close,
        },
    };
    if !answering.switches {
        if answering.closes || framing == Framing::Close {
            out.extend_from_slice(b"connection: close\r\n");
        } else if answering.version == Version::HTTP_10 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    framing
}

fn status_line(out: &mut Vec<u8>, status: StatusCode, version: Version) {
    if status == StatusCode::OK && version == Version::HTTP_11 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, name: &HeaderName, value: u64) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

fn length(out: &mut Vec<u8>, length: u64) -> Framing {
    number(out, &CONTENT_LENGTH, length);
    if length == 0 { Framing::Ended } else { Framing::Length(length) }
}

fn chunked(out: &mut Vec<u8>, trailers: bool) -> Framing {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    Framing::Chunked { trailers }
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        at -= 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Writes the `date` header, which servers owe where nobody else has set it.
fn date(out: &mut Vec<u8>) {
    thread_local! {
        static LINE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LINE.with_borrow_mut(|(of, line)| {
        if *of != second || line.is_empty() {
            *of = second;
            *line = format!("date: {}\r\n", httpdate::fmt_http_date(now)).into_bytes();
        }
        out.extend_from_slice(line);
    });
}

impl Framing {
    /// Whether all is sent.
    pub(super) fn is_ended(self) -> bool {
        self == Self::Ended
    }

    /// Whether only closing the connection ends the body.
    pub(super) fn closes(self) -> bool {
        self == Self::Close
    }

    /// Adds a frame of the body.
    pub(super) fn put(&mut self, frame: Frame<Bytes>, output: &mut Output) -> Result<(), Error> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => Ok(()),
            Ok(data) => self.data(data, output),
            Err(frame) => {
                if let (Self::Chunked { trailers: true }, Ok(all)) = (*self, frame.into_trailers()) {
                    output.tail().extend_from_slice(b"0\r\n");
                    trailers(output.tail(), &all);
                    output.tail().extend_from_slice(b"\r\n");
                    *self = Self::Ended;
                }
                Ok(())
            }
        }
    }

    fn data(&mut self, data: Bytes, output: &mut Output) -> Result<(), Error> {
        match self {
            Self::Chunked { .. } => {
                // Writing to memory does not fail.
                let _ = write!(output.tail(), "{:X}\r\n", data.len());
                output.push(data);
                output.tail().extend_from_slice(b"\r\n");
            }
            Self::Close => output.push(data),
            // A body that may not be, such as one to a `HEAD` request.
            Self::Ended => {}
            Self::Length(left) => {
                let rest = left.checked_sub(data.len() as u64);
                *left = rest.ok_or_else(|| Error::Body("the body is longer than its head says".into()))?;
                output.push(data);
            }
        }
        Ok(())
    }

    /// Ends the body.
    pub(super) fn end(&mut self, output: &mut Output) -> Result<(), Error> {
        match self {
            Self::Chunked { .. } => output.tail().extend_from_slice(b"0\r\n\r\n"),
            Self::Length(1..) => return Err(Error::Body("the body is shorter than its head says".into())),
            Self::Close | Self::Ended | Self::Length(0) => {}
        }
        *self = Self::Ended;
        Ok(())
    }
}

/// Gathers what there is of a message to be written now.
pub(super) fn gather<B>(
    output: &mut Output,
    framing: &mut Framing,
    body: &mut Option<B>,
    cx: &mut Context<'_>,
) -> Result<(), Error>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let Some(body) = body else { return framing.end(output) };
    while !framing.is_ended() && !output.is_full() {
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { break };
        let is_end = match frame {
            None => true,
            Some(Ok(frame)) => {
                framing.put(frame, output)?;
                body.is_end_stream()
            }
            Some(Err(error)) => return Err(Error::Body(error.into())),
        };
        if is_end {
            framing.end(output)?;
        }
    }
    Ok(())
}

fn trailers(out: &mut Vec<u8>, all: &HeaderMap) {
    for (name, value) in all.iter().filter(|(name, _)| !FORBIDDEN.contains(name)) {
        field(out, name, value);
    }
}
