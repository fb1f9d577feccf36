//! The chunked coding, without its leniences.

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;

use super::Malformed;
use super::head::{self, Limits, Rigour};
use super::input;

/// The place within a chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    rigour: Rigour,
    left: u64,
    digits: u8,
    /// Bytes of extensions and trailers so far.
    seen: usize,
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Data,
    DataCr,
    DataLf,
    Done,
    EndLf,
    Extension,
    #[default]
    Size,
    SizeLf,
    SizePad,
    Trailer,
    TrailerLf,
    TrailerStart,
}

/// Extensions of one chunk and all trailers together may be this long.
const LONGEST: usize = 16 * 1024;
const TRAILERS: Limits = Limits { bytes: LONGEST, headers: 128 };

impl Chunks {
    /// The beginning of a body.
    pub(super) fn new(rigour: Rigour) -> Self {
        Self { state: State::default(), rigour, left: 0, digits: 0, seen: 0, trailers: Vec::new() }
    }

    /// Whether the body is over.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How much more of the current chunk is to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes what has come of the body; none where more must come first, or the body is over.
    pub(super) fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Malformed> {
        let mut at = 0;
        while self.state != State::Data && self.state != State::Done {
            let Some(byte) = bytes.get(at) else {
                bytes.clear();
                return Ok(None);
            };
            self.state = self.after(*byte)?;
            at += 1;
        }
        bytes.advance(at);
        if self.state == State::Done {
            let trailers = std::mem::take(&mut self.trailers);
            if trailers.is_empty() {
                return Ok(None);
            }
            return head::trailers(trailers.into(), &TRAILERS)
                .map(|trailers| Some(Frame::trailers(trailers)));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let data = input::take(bytes, self.left);
        self.left -= data.len() as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Ok(Some(Frame::data(data)))
    }

    /// The place after one byte of anything but data.
    fn after(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size, b) if b.is_ascii_hexdigit() => {
                let digit = char::from(b).to_digit(16).ok_or(Malformed::Chunk)?;
                self.digits += 1;
                if self.digits > 15 {
                    return Err(Malformed::Chunk);
                }
                self.left = self.left << 4 | u64::from(digit);
                State::Size
            }
            (State::Size | State::SizePad, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size | State::SizePad, b';') if self.digits > 0 => State::Extension,
            // Old servers pad the size.
            (State::Size | State::SizePad, b' ') if self.digits > 0 && self.rigour == Rigour::Lenient => {
                self.long()?;
                State::SizePad
            }
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b) if is_text(b) => {
                self.long()?;
                State::Extension
            }
            (State::SizeLf, b'\n') => {
                (self.digits, self.seen) = (0, 0);
                if self.left == 0 { State::TrailerStart } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::EndLf,
            // A trailer that begins with white space would be a folded line.
            (State::TrailerStart, b) if b > b' ' => self.trailer(b)?,
            (State::Trailer, b) if is_text(b) => self.trailer(b)?,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => {
                self.trailer(b'\n')?;
                State::TrailerStart
            }
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(Malformed::Chunk),
        })
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Malformed> {
        self.long()?;
        self.trailers.push(byte);
        Ok(State::Trailer)
    }

    fn long(&mut self) -> Result<(), Malformed> {
        self.seen += 1;
        if self.seen > LONGEST { Err(Malformed::Chunk) } else { Ok(()) }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
