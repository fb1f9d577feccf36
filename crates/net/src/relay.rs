//! Copies bytes both ways until both sides have ended, and counts them.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

const BUFFER: usize = 64 * 1024;

/// What has passed so far; read it whenever you like.
#[derive(Debug, Default)]
pub struct Passed {
    /// Bytes from the client.
    pub up: Cell<u64>,
    /// Bytes to the client.
    pub down: Cell<u64>,
    /// Whether the client was the first of both to end.
    pub is_left_by_client: Cell<bool>,
    is_left: Cell<bool>,
}

impl Passed {
    fn leaves(&self, is_client: bool) {
        if !self.is_left.replace(true) {
            self.is_left_by_client.set(is_client);
        }
    }
}

/// How a relay ended.
#[derive(Debug)]
pub enum Ended {
    /// One side broke.
    Broken(io::Error),
    /// Both sides closed.
    Closed,
    /// Nothing passed for too long.
    Idle,
}

/// Relays until both sides have closed; the end of one is passed on while the other goes on.
pub async fn relay<A, B>(client: A, upstream: B, idle: Option<Duration>, passed: &Passed) -> Ended
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut client = Counted { inner: client, read: &passed.up, passed, is_client: true };
    let mut upstream = Counted { inner: upstream, read: &passed.down, passed, is_client: false };
    let mut copy = pin!(copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER));
    let Some(idle) = idle else {
        return ended(copy.await);
    };
    loop {
        let before = (passed.up.get(), passed.down.get());
        tokio::select! {
            result = &mut copy => return ended(result),
            () = tokio::time::sleep(idle) => {
                if before == (passed.up.get(), passed.down.get()) {
                    return Ended::Idle;
                }
            }
        }
    }
}

fn ended(result: io::Result<(u64, u64)>) -> Ended {
    match result {
        Ok(_) => Ended::Closed,
        Err(error) => Ended::Broken(error),
    }
}

struct Counted<'a, S> {
    inner: S,
    read: &'a Cell<u64>,
    passed: &'a Passed,
    is_client: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let count = buf.filled().len() - before;
        self.read.set(self.read.get() + count as u64);
        if count == 0 {
            self.passed.leaves(self.is_client);
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_and_are_counted() {
        let (mut client, near) = duplex(64);
        let (mut server, far) = duplex(64);
        let passed = Passed::default();

        let talk = async {
            client.write_all(b"hello").await.unwrap();
            let mut heard = [0; 5];
            server.read_exact(&mut heard).await.unwrap();
            server.write_all(b"hi").await.unwrap();
            server.shutdown().await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            (heard, answer)
        };
        let (ended, (heard, answer)) = tokio::join!(relay(near, far, None, &passed), talk);

        assert!(matches!(ended, Ended::Closed));
        assert_eq!((&heard, answer.as_slice()), (b"hello", &b"hi"[..]));
        assert_eq!((passed.up.get(), passed.down.get()), (5, 2));
    }

    #[tokio::test]
    async fn whoever_ends_first_is_known() {
        for client_is_first in [true, false] {
            let ((mut client, near), (mut server, far)) = (duplex(64), duplex(64));
            let passed = Passed::default();

            let leaving = async {
                let (first, second) =
                    if client_is_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
                first.shutdown().await.unwrap();
                // Only when the end has passed.
                second.read_to_end(&mut Vec::new()).await.unwrap();
                second.shutdown().await.unwrap();
            };
            tokio::join!(relay(near, far, None, &passed), leaving);

            assert_eq!(passed.is_left_by_client.get(), client_is_first);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_for_too_long_ends_a_relay() {
        let ((_client, near), (_server, far)) = (duplex(64), duplex(64));

        let ended = relay(near, far, Some(Duration::from_secs(5)), &Passed::default()).await;

        assert!(matches!(ended, Ended::Idle));
    }
}
