//! Bytes on their way to a connection: few are written as one piece, many where they lie.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Data up to this size is copied behind what goes before it: one plain write costs less than a gathered one.
const COPIED: usize = 8 * 1024;
/// So much may wait to be written as one piece.
const GATHERED: usize = 16 * 1024;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    flat: Vec<u8>,
    written: usize,
    large: Bytes,
    after: Vec<u8>,
}

impl Output {
    /// Where small pieces are added.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        match self.large.is_empty() {
            true => &mut self.flat,
            false => &mut self.after,
        }
    }

    /// Adds data; not to be called while [`Output::is_full`].
    pub(super) fn push(&mut self, data: Bytes) {
        match data.len() > COPIED {
            true => self.large = data,
            false => self.flat.extend_from_slice(&data),
        }
    }

    /// Whether something must be written before more is added.
    pub(super) fn is_full(&self) -> bool {
        !self.large.is_empty() || self.flat.len() >= GATHERED
    }

    /// Whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.written == self.flat.len() && self.large.is_empty() && self.after.is_empty()
    }

    /// Writes everything.
    pub(super) fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let flat = self.flat.get(self.written..).unwrap_or_default();
            let count = if self.large.is_empty() {
                let rest = if flat.is_empty() { &self.after } else { flat };
                ready!(Pin::new(&mut *io).poll_write(cx, rest))?
            } else {
                let pieces = [IoSlice::new(flat), IoSlice::new(&self.large), IoSlice::new(&self.after)];
                let pieces = if flat.is_empty() { &pieces[1..] } else { &pieces[..] };
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, pieces))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        self.flat.clear();
        self.written = 0;
        // TLS may hold records back until it is asked for them.
        Pin::new(io).poll_flush(cx)
    }

    fn advance(&mut self, count: usize) {
        let of_flat = count.min(self.flat.len() - self.written);
        self.written += of_flat;
        let of_large = (count - of_flat).min(self.large.len());
        self.large.advance(of_large);
        if self.large.is_empty() {
            self.large = Bytes::new();
        }
        self.after.drain(..(count - of_flat - of_large).min(self.after.len()));
    }

    /// Whether any of what is to be written has been.
    pub(super) fn has_begun(&self) -> bool {
        self.written > 0
    }

    /// Gives its memory back.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }
}
