//! The chunked coding, without its leniences.

/// The place within a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    left: u64,
    digits: u8,
    seen: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Data,
    DataCr,
    DataLf,
    Extension,
    #[default]
    Size,
    SizeLf,
    Trailer,
    TrailerLf,
    TrailerStart,
    EndLf,
}

/// Extensions of one chunk and all trailers together may be this long.
const LONGEST: usize = 16 * 1024;

impl Chunks {
    /// Looks at bytes of the body: how many belong to it, and whether it is over.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), ()> {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Data {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.left -= taken as u64;
                at += taken;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            if self.byte(bytes[at])? {
                return Ok((at + 1, true));
            }
            at += 1;
        }
        Ok((at, false))
    }

    /// Takes one byte of anything but data; whether it was the last.
    fn byte(&mut self, byte: u8) -> Result<bool, ()> {
        self.state = match (self.state, byte) {
            (State::Size, b) if b.is_ascii_hexdigit() => {
                let digit = char::from(b).to_digit(16).ok_or(())?;
                self.digits += 1;
                if self.digits > 15 {
                    return Err(());
                }
                self.left = self.left << 4 | u64::from(digit);
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b) if b >= b' ' || b == b'\t' => {
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
            (State::TrailerStart, b) if b > b' ' => State::Trailer,
            (State::Trailer, b) if b >= b' ' || b == b'\t' => {
                self.long()?;
                State::Trailer
            }
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => return Ok(true),
            _ => return Err(()),
        };
        Ok(false)
    }

    fn long(&mut self) -> Result<(), ()> {
        self.seen += 1;
        if self.seen > LONGEST { Err(()) } else { Ok(()) }
    }
}
