//! Where each HTTP/1 message ends, read strictly: what two parsers could read differently is refused.
//!
//! hyper parses what passes here. It forgives a few things (a `Content-Length` beside a
//! `Transfer-Encoding`, a bare line feed, a coding beneath `chunked`) that a server in front or behind may
//! read otherwise; a connection that sends them is poisoned before hyper can take them for a request.

mod chunks;

use std::io::BufRead;

use chunks::Chunks;

/// Follows one connection's request bytes. Sans-io; every byte is looked at once.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
    /// The part of the current head that came with earlier reads.
    carried: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Body(u64),
    Chunked(Chunks),
    Head(Head),
}

/// How far a head has been read.
#[derive(Debug, Default)]
struct Head {
    /// Where the first line begins that is not yet whole.
    line: usize,
    /// Whether the request line has been passed.
    begun: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// How much of a read may be passed on: everything before this offset, nothing after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The offset of the first byte that must not be passed on.
    pub at: usize,
}

/// A head larger than this is left to hyper, which refuses it with 431.
const LARGEST_HEAD: usize = 96 * 1024;

impl Framing {
    /// Looks at the bytes of one read.
    ///
    /// # Errors
    /// The bytes break the framing rules; nothing from the offset on may be read.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    at += taken;
                    if *left == 0 {
                        self.state = State::default();
                    }
                }
                State::Chunked(chunks) => match chunks.read(rest) {
                    Ok((taken, done)) => {
                        at += taken;
                        if done {
                            self.state = State::default();
                        }
                    }
                    Err(()) => return Err(Malformed { at }),
                },
                State::Head(_) => at += self.head(rest).map_err(|()| Malformed { at })?,
            }
        }
        Ok(())
    }

    /// Looks at the part of a head in `bytes`; how many of them belong to it.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, ()> {
        let State::Head(head) = &mut self.state else { return Ok(0) };
        if self.carried.is_empty() {
            let Some(end) = head.read(bytes)? else {
                self.carried.extend_from_slice(bytes);
                return Ok(bytes.len());
            };
            self.state = head.body()?;
            return Ok(end);
        }
        let before = self.carried.len();
        if before > LARGEST_HEAD {
            return Ok(bytes.len());
        }
        self.carried.extend_from_slice(bytes);
        let Some(end) = head.read(&self.carried)? else { return Ok(bytes.len()) };
        self.state = head.body()?;
        self.carried = Vec::new();
        Ok(end.saturating_sub(before))
    }
}

impl Head {
    /// Reads on from the line it has got to; where the head ends, if it does.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, ()> {
        let mut rest = bytes.get(self.line..).unwrap_or_default();
        loop {
            let line = rest;
            // The search of the standard library looks at many bytes at once.
            let length = rest.skip_until(b'\n').unwrap_or(0);
            let line = line.get(..length).unwrap_or_default();
            let [line @ .., b'\r', b'\n'] = line else {
                // A line that ends otherwise is malformed; one that does not end is not yet whole.
                return if line.ends_with(b"\n") { Err(()) } else { Ok(None) };
            };
            self.line += length;
            match (line.first(), self.begun) {
                // Empty lines before a request are skipped.
                (None, false) => {}
                (None, true) => return Ok(Some(self.line)),
                (Some(_), false) => self.begun = true,
                (Some(first), true) => self.header(*first, line)?,
            }
        }
    }

    /// Takes a header, of which two decide how the body is framed.
    fn header(&mut self, first: u8, line: &[u8]) -> Result<(), ()> {
        match first {
            // The folding of long header values, which RFC 9112 forbids senders.
            b' ' | b'\t' => return Err(()),
            b'c' | b'C' | b't' | b'T' => {}
            _ => return Ok(()),
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else { return Err(()) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = decimal(value)?;
            if self.length.is_some_and(|earlier| earlier != value) {
                return Err(());
            }
            self.length = Some(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(());
            }
            self.chunked = true;
        }
        Ok(())
    }

    /// How the body of a whole head is framed.
    fn body(&self) -> Result<State, ()> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(()),
            (true, None) => Ok(State::Chunked(Chunks::default())),
            (false, None | Some(0)) => Ok(State::default()),
            (false, Some(length)) => Ok(State::Body(length)),
        }
    }
}

fn decimal(value: &[u8]) -> Result<u64, ()> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    std::str::from_utf8(value).map_err(|_| ())?.parse().map_err(|_| ())
}

#[cfg(test)]
mod tests;
