//! Bytes of which some were looked at already: they come first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A byte stream, and what was read ahead of it.
#[derive(Debug)]
pub struct Replay<S> {
    inner: S,
    seen: BytesMut,
}

impl<S> Replay<S> {
    /// A byte stream of which these bytes were read ahead.
    pub fn with_seen(inner: S, seen: BytesMut) -> Self {
        Self { inner, seen }
    }

    /// The byte stream itself.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The byte stream and the bytes read ahead of it.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.inner, self.seen)
    }

    /// Takes bytes away that were read ahead and belong to nobody, such as a PROXY header.
    pub fn skip(&mut self, count: usize) {
        self.seen.advance(count.min(self.seen.len()));
    }

    /// The bytes read ahead and not yet handed on.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }
}

impl<S: AsyncRead + Unpin> Replay<S> {
    /// Reads ahead once; false at the end of the stream.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub async fn look(&mut self) -> io::Result<bool> {
        self.seen.reserve(1024);
        Ok(self.inner.read_buf(&mut self.seen).await? > 0)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let taken = self.seen.len().min(buf.remaining());
        buf.put_slice(&self.seen[..taken]);
        self.seen.advance(taken);
        if self.seen.is_empty() {
            // Gives the read-ahead buffer back: an idle connection keeps none.
            self.seen = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_read_again() {
        let (mut client, server) = duplex(64);
        let mut stream = Replay::with_seen(server, BytesMut::from("long "));
        client.write_all(b"seen").await.unwrap();
        assert!(stream.look().await.unwrap());
        stream.skip(5);
        assert_eq!(stream.seen(), b"seen");
        client.write_all(b" unseen").await.unwrap();
        client.shutdown().await.unwrap();

        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();

        assert_eq!(got, b"seen unseen");
    }
}
