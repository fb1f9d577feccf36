//! A connection of which some bytes may have been looked at already: they come first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::io::Io;

/// How long saying farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many bytes of a refused client are read and thrown away.
const LONGEST_LINGER: usize = 1 << 20;

/// One accepted connection.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    seen: BytesMut,
}

impl Stream {
    /// Takes an accepted connection.
    pub fn new(io: impl Into<Io>) -> Self {
        Self { io: io.into(), seen: BytesMut::new() }
    }

    /// Takes a connection of which some bytes were read ahead.
    pub fn with_seen(io: Io, seen: BytesMut) -> Self {
        Self { io, seen }
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        self.io.socket()
    }

    /// What carries the bytes.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// The connection and the bytes read ahead of it.
    pub fn into_parts(self) -> (Io, BytesMut) {
        (self.io, self.seen)
    }

    /// Takes bytes away that were read ahead and belong to nobody, such as a PROXY header.
    pub fn skip(&mut self, count: usize) {
        self.seen.advance(count.min(self.seen.len()));
    }

    /// The bytes read ahead and not yet handed on.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Reads ahead once; false at the end of the stream.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub async fn look(&mut self) -> io::Result<bool> {
        self.seen.reserve(1024);
        Ok(self.io.read_buf(&mut self.seen).await? > 0)
    }

    /// Ends our side, with a word of farewell where TLS has one.
    pub async fn close(mut self) {
        if self.io.is_tls() {
            // Whatever happens, the connection is over.
            let _ = tokio::time::timeout(FAREWELL, self.io.shutdown()).await;
        }
    }

    /// Ends our side and reads what the client still sends, for at most so long: closing a socket with unread
    /// bytes in it would reset the connection and take the last answer with it.
    pub async fn linger(mut self, time: Duration) {
        let reading = async {
            self.io.shutdown().await?;
            let mut waste = [0; 4096];
            let mut left = LONGEST_LINGER;
            while left > 0 {
                match self.io.read(&mut waste).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        // Whatever happens, the connection is over.
        let _ = tokio::time::timeout(time, reading).await;
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
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

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_bytes(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_read_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        client.write_all(b"seen").await.unwrap();
        let mut stream = Stream::new(socket);
        assert!(stream.look().await.unwrap());
        client.write_all(b" unseen").await.unwrap();
        client.shutdown().await.unwrap();

        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();

        assert_eq!(got, b"seen unseen");
    }
}
