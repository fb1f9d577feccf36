//! Bytes read from a connection and not yet taken.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Heads, and bodies that come with them, are read in pieces of at most this size.
const SMALL: usize = 16 * 1024;
/// The rest of large bodies is.
const LARGE: usize = 128 * 1024;
/// More room than is wanted: a read that does not fill its room tells that nothing more is there.
const SLACK: usize = 512;

/// Reads once; how many bytes came.
///
/// They pass by the stack, so that a connection on which nothing comes needs no memory.
pub(super) fn fill(
    io: &mut (impl AsyncRead + Unpin),
    bytes: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut room = [const { MaybeUninit::uninit() }; SMALL];
    let mut read = ReadBuf::uninit(&mut room);
    ready!(Pin::new(io).poll_read(cx, &mut read))?;
    match bytes.is_empty() {
        true => *bytes = BytesMut::from(read.filled()),
        false => bytes.extend_from_slice(read.filled()),
    }
    Poll::Ready(Ok(read.filled().len()))
}

/// Reads once, where so much is known to come.
pub(super) fn fill_body(
    io: &mut (impl AsyncRead + Unpin),
    bytes: &mut BytesMut,
    wanted: u64,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    if wanted <= SMALL {
        return fill(io, bytes, cx);
    }
    bytes.reserve(wanted.min(LARGE) + SLACK);
    let read = pin!(io.read_buf(bytes)).poll(cx);
    if bytes.is_empty() {
        *bytes = BytesMut::new();
    }
    read
}

/// Takes at most so many bytes.
pub(super) fn take(bytes: &mut BytesMut, most: u64) -> Bytes {
    match usize::try_from(most) {
        Ok(most) if most < bytes.len() => bytes.split_to(most).freeze(),
        _ => std::mem::take(bytes).freeze(),
    }
}
