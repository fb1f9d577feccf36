//! Heads of requests and responses, read line by line.

use std::cell::RefCell;
use std::io::BufRead;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request,
    response,
};
use smallvec::SmallVec;

use super::Malformed;

/// The longest target [`Uri`] can hold.
const LONGEST_TARGET: usize = (u16::MAX - 1) as usize;
/// How many names of headers are remembered, and how long they may be.
const LATELY_SEEN: usize = 256;
const LONGEST_SHARED: usize = 64;
/// Room for the headers a proxy adds, so that its map need not grow.
const ADDED: usize = 8;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In bytes.
    pub bytes: usize,
    /// In headers.
    pub headers: usize,
}

/// A request's head, and what it says about its message.
#[derive(Debug)]
pub struct RequestHead {
    /// The head.
    pub parts: request::Parts,
    /// Whether the client wants to go on with the connection.
    pub keep_alive: bool,
    /// Whether the client understands trailers.
    pub takes_trailers: bool,
    pub(super) expects_continue: bool,
    pub(super) length: Length,
}

/// A response's head, and what it says about its message.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) parts: response::Parts,
    pub(super) keep_alive: bool,
    pub(super) length: Length,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// In chunks.
    Chunked,
    /// Until the connection closes.
    Close,
    /// By its size.
    Exact(u64),
}

/// How forgiving a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rigour {
    /// Of a server chosen by configuration: a bare line feed ends a line too.
    Lenient,
    /// Of a client: nothing that two readers could read differently.
    Strict,
}

/// The lines of a head as far as it has come; every byte is looked at once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where the first line begins.
    begin: usize,
    /// How much has been looked at.
    seen: usize,
    /// Where each line ends, its line feed included.
    ends: SmallVec<[usize; 24]>,
}

impl Lines {
    /// Looks at what has come; the length of the head once it is whole.
    pub(super) fn find(
        &mut self,
        bytes: &[u8],
        rigour: Rigour,
        limits: &Limits,
    ) -> Result<Option<usize>, Malformed> {
        loop {
            let mut rest = bytes.get(self.seen..).unwrap_or_default();
            // The search of the standard library looks at many bytes at once.
            let length = rest.skip_until(b'\n').unwrap_or(0);
            let end = self.seen + length;
            if length == 0 || bytes.get(end - 1) != Some(&b'\n') {
                self.seen = bytes.len();
                return if bytes.len() > limits.bytes { Err(Malformed::HeadTooLarge) } else { Ok(None) };
            }
            self.seen = end;
            let start = self.ends.last().copied().unwrap_or(self.begin);
            let line = content(bytes.get(start..end).unwrap_or_default(), rigour)?;
            if end > limits.bytes || self.ends.len() > limits.headers {
                return Err(Malformed::HeadTooLarge);
            }
            match (line.is_empty(), self.ends.is_empty()) {
                // Empty lines before a message are skipped.
                (true, true) => self.begin = end,
                (true, false) => return Ok(Some(end)),
                (false, _) => self.ends.push(end),
            }
        }
    }

    /// Whether what has come of a request can be the beginning of one.
    pub(super) fn is_plausible(&self, bytes: &[u8]) -> bool {
        let start = bytes.get(self.begin..).unwrap_or_default();
        !self.ends.is_empty()
            || start.iter().take_while(|b| **b != b' ').all(|b| *b == b'\r' || b.is_ascii_graphic())
    }

    /// Forgets the head it has found.
    pub(super) fn clear(&mut self) {
        (self.begin, self.seen) = (0, 0);
        self.ends.clear();
    }

    /// The lines of a whole head.
    fn of<'a>(&'a self, block: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut start = self.begin;
        self.ends.iter().map(move |end| {
            let line = block.get(start..*end).unwrap_or_default();
            start = *end;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.strip_suffix(b"\r").unwrap_or(line)
        })
    }
}

/// A line without its end.
fn content(line: &[u8], rigour: Rigour) -> Result<&[u8], Malformed> {
    match line {
        [line @ .., b'\r', b'\n'] => Ok(line),
        [line @ .., b'\n'] if rigour == Rigour::Lenient => Ok(line),
        _ => Err(Malformed::Ending),
    }
}

/// Reads a whole request's head.
pub(super) fn request(block: &Bytes, lines: &Lines) -> Result<RequestHead, Malformed> {
    let mut all = lines.of(block);
    let (method, target, version) = request_line(block, all.next().unwrap_or_default())?;
    let (headers, told) = fields(block, all, lines.ends.len())?;
    let length = match (told.chunked, told.length) {
        (true, _) if version == Version::HTTP_10 => return Err(Malformed::Framing),
        (true, Some(_)) => return Err(Malformed::Framing),
        (true, None) => Length::Chunked,
        (false, length) => Length::Exact(length.unwrap_or(0)),
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.version, parts.headers) = (method, target, version, headers);
    Ok(RequestHead {
        keep_alive: told.keep_alive(version),
        takes_trailers: told.trailers,
        expects_continue: told.continues && version == Version::HTTP_11,
        length,
        parts,
    })
}

/// Reads a whole response's head; `to_head` where it answers a `HEAD` request.
pub(super) fn response(block: &Bytes, lines: &Lines, to_head: bool) -> Result<ResponseHead, Malformed> {
    let mut all = lines.of(block);
    let (version, status) = status_line(all.next().unwrap_or_default())?;
    let (headers, told) = fields(block, all, lines.ends.len())?;
    let has_none = to_head
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let length = match (told.chunked, told.length) {
        (true, Some(_)) => return Err(Malformed::Framing),
        _ if has_none => Length::Exact(0),
        (true, None) => Length::Chunked,
        (false, Some(length)) => Length::Exact(length),
        (false, None) => Length::Close,
    };
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.version, parts.headers) = (status, version, headers);
    Ok(ResponseHead { parts, keep_alive: told.keep_alive(version) && length != Length::Close, length })
}

/// Reads the lines of trailers, each with its end.
pub(super) fn trailers(block: Bytes, limits: &Limits) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::new();
    for line in block.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let (name, value) = field(&block, line.strip_suffix(b"\r").unwrap_or(line))?;
        if headers.len() >= limits.headers || headers.try_append(name, value).is_err() {
            return Err(Malformed::HeadTooLarge);
        }
    }
    Ok(headers)
}

fn request_line(block: &Bytes, line: &[u8]) -> Result<(Method, Uri, Version), Malformed> {
    let (line, version) = match line {
        [line @ .., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'] => (line, Version::HTTP_11),
        [line @ .., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => (line, Version::HTTP_10),
        _ => return Err(Malformed::StartLine),
    };
    let space = line.iter().position(|b| *b == b' ').ok_or(Malformed::StartLine)?;
    let (method, target) = line.split_at(space);
    let target = target.get(1..).unwrap_or_default();
    if target.len() > LONGEST_TARGET {
        return Err(Malformed::TargetTooLong);
    }
    let method = Method::from_bytes(method).map_err(|_| Malformed::StartLine)?;
    let target = Uri::from_maybe_shared(block.slice_ref(target)).map_err(|_| Malformed::StartLine)?;
    Ok((method, target, version))
}

fn status_line(line: &[u8]) -> Result<(Version, StatusCode), Malformed> {
    let (version, rest) = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', rest @ ..] => (Version::HTTP_11, rest),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', rest @ ..] => (Version::HTTP_10, rest),
        _ => return Err(Malformed::StartLine),
    };
    match rest {
        [a, b, c] | [a, b, c, b' ', ..] => {
            let status = StatusCode::from_bytes(&[*a, *b, *c]).map_err(|_| Malformed::StartLine)?;
            Ok((version, status))
        }
        _ => Err(Malformed::StartLine),
    }
}

/// The headers of a head, about so many, and what they tell about the message.
fn fields<'a>(
    block: &Bytes,
    lines: impl Iterator<Item = &'a [u8]>,
    count: usize,
) -> Result<(HeaderMap, Told), Malformed> {
    let mut headers = HeaderMap::with_capacity(count + ADDED);
    let mut told = Told::default();
    for line in lines {
        let (name, value) = field(block, line)?;
        if told.take(&name, &value)? {
            headers.try_append(name, value).map_err(|_| Malformed::HeadTooLarge)?;
        }
    }
    Ok((headers, told))
}

fn field(block: &Bytes, line: &[u8]) -> Result<(HeaderName, HeaderValue), Malformed> {
    let colon = line.iter().position(|b| *b == b':').ok_or(Malformed::Header)?;
    let (name, value) = line.split_at(colon);
    let name = header_name(name)?;
    let value = trimmed(value.get(1..).unwrap_or_default());
    let value = HeaderValue::from_maybe_shared(block.slice_ref(value)).map_err(|_| Malformed::Header)?;
    Ok((name, value))
}

/// A header's name; those seen lately are shared, so that most need no memory of their own.
fn header_name(raw: &[u8]) -> Result<HeaderName, Malformed> {
    thread_local! {
        static LATELY: RefCell<[Option<HeaderName>; LATELY_SEEN]> = const { RefCell::new([const { None }; LATELY_SEEN]) };
    }
    LATELY.with_borrow_mut(|lately| {
        let place = lately.get_mut(place(raw));
        if let Some(Some(known)) = &place
            && known.as_str().as_bytes().eq_ignore_ascii_case(raw)
        {
            return Ok(known.clone());
        }
        // A space before the colon, and a folded line, which begins with one, are no name.
        let name = HeaderName::from_bytes(raw).map_err(|_| Malformed::Header)?;
        if let Some(place) = place.filter(|_| raw.len() <= LONGEST_SHARED) {
            *place = Some(name.clone());
        }
        Ok(name)
    })
}

/// Where a name stands among those seen lately.
fn place(raw: &[u8]) -> usize {
    let byte = |at: usize| usize::from(raw.get(at).map_or(0, u8::to_ascii_lowercase));
    let last = raw.len().saturating_sub(1);
    (raw.len() ^ byte(0) << 1 ^ byte(last) << 3 ^ byte(last / 2) << 4 ^ byte(2) << 2) % LATELY_SEEN
}

/// A header's value without the white space HTTP allows around it.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// What headers tell about the message they belong to.
#[derive(Debug, Default)]
struct Told {
    length: Option<u64>,
    chunked: bool,
    closes: bool,
    stays: bool,
    continues: bool,
    trailers: bool,
}

impl Told {
    /// Takes one header; whether it is worth keeping.
    fn take(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Malformed> {
        if *name == CONTENT_LENGTH {
            let length = decimal(value.as_bytes()).ok_or(Malformed::Framing)?;
            match self.length.replace(length) {
                Some(earlier) if earlier != length => return Err(Malformed::Framing),
                Some(_) => return Ok(false),
                None => {}
            }
        } else if *name == TRANSFER_ENCODING {
            if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::Framing);
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            self.closes |= names(value, b"close");
            self.stays |= names(value, b"keep-alive");
        } else if *name == EXPECT {
            self.continues = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        } else if *name == TE {
            self.trailers |= names(value, b"trailers");
        }
        Ok(true)
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.closes && (version == Version::HTTP_11 || self.stays)
    }
}

/// Whether a list of words has one.
fn names(value: &HeaderValue, word: &[u8]) -> bool {
    value.as_bytes().split(|b| *b == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(word))
}

fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
