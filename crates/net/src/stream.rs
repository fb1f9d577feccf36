//! A client's connection as hyper reads it: bytes already looked at come first, malformed HTTP/1 never comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::framing::Framing;

/// No parser state of HTTP/1 that matters goes on after a NUL byte; the end of the stream follows it.
const POISON: &[u8] = b"\0";

/// How many bytes of a refused client are read and thrown away.
const LONGEST_LINGER: usize = 1 << 20;

/// One accepted connection.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    seen: BytesMut,
    guard: Option<Guard>,
}

#[derive(Debug)]
struct Guard {
    framing: Framing,
    opaque: Opaque,
    state: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Dead,
    Good,
    Poisoned,
}

/// Tells a guarded stream that HTTP has ended on it and something else goes on, as after `101`.
#[derive(Clone, Debug, Default)]
pub struct Opaque(Arc<AtomicBool>);

impl Opaque {
    /// Lets every later byte pass unread.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Stream {
    /// Takes an accepted connection.
    pub fn new(socket: TcpStream) -> Self {
        Self { socket, seen: BytesMut::new(), guard: None }
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
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
        Ok(self.socket.read_buf(&mut self.seen).await? > 0)
    }

    /// Holds what is read from here on to strict HTTP/1 framing.
    pub fn guard_http1(mut self) -> (Self, Opaque) {
        let opaque = Opaque::default();
        self.guard = Some(Guard { framing: Framing::default(), opaque: opaque.clone(), state: Health::Good });
        (self, opaque)
    }

    /// Ends our side and reads what the client still sends, for at most so long: closing a socket with unread
    /// bytes in it would reset the connection and take the last answer with it.
    pub async fn linger(mut self, time: Duration) {
        let reading = async {
            self.socket.shutdown().await?;
            let mut waste = [0; 4096];
            let mut left = LONGEST_LINGER;
            while left > 0 {
                match self.socket.read(&mut waste).await? {
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
            return Pin::new(&mut self.socket).poll_read(cx, buf);
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

impl Guard {
    /// Cuts what was just read at the first byte that breaks the rules.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        if self.opaque.0.load(Ordering::Relaxed) {
            return;
        }
        if let Err(malformed) = self.framing.read(&buf.filled()[before..]) {
            buf.set_filled(before + malformed.at);
            self.state = Health::Poisoned;
            if malformed.at == 0 {
                self.poison(buf);
            }
        }
    }

    fn poison(&mut self, buf: &mut ReadBuf<'_>) {
        if buf.remaining() >= POISON.len() {
            buf.put_slice(POISON);
            self.state = Health::Dead;
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match &mut stream.guard {
            None | Some(Guard { state: Health::Good, .. }) => {}
            Some(Guard { state: Health::Dead, .. }) => return Poll::Ready(Ok(())),
            Some(guard) => {
                guard.poison(buf);
                return Poll::Ready(Ok(()));
            }
        }
        let before = buf.filled().len();
        ready!(stream.poll_bytes(cx, buf))?;
        if let Some(guard) = &mut stream.guard {
            guard.inspect(buf, before);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn read_all(sent: &'static [u8]) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut stream = Stream::new(socket);
        assert!(stream.look().await.unwrap());
        let (mut stream, _opaque) = stream.guard_http1();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        got
    }

    #[tokio::test]
    async fn a_well_formed_request_passes_unchanged() {
        let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";

        assert_eq!(read_all(request).await, request);
    }

    #[tokio::test]
    async fn a_malformed_head_never_ends_but_in_a_nul() {
        let got = read_all(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nhi",
        )
        .await;

        assert!(got.ends_with(b"\0") && !got.windows(4).any(|w| w == b"\r\n\r\n"));
    }
}
