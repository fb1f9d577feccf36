//! A client's connection, of which some bytes may have been looked at already, and how it ends.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::io::Io;
use crate::replay::Replay;
use crate::socket::Socket;

/// How long saying farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many bytes of a refused client are read and thrown away.
const LONGEST_LINGER: usize = 1 << 20;

/// One accepted connection.
pub type Stream = Replay<Io>;

impl Stream {
    /// Takes an accepted connection.
    pub fn new(io: impl Into<Io>) -> Self {
        Self::with_seen(io.into(), BytesMut::new())
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        self.inner().socket()
    }

    /// What carries the bytes.
    pub fn io(&self) -> &Io {
        self.inner()
    }

    /// Ends our side, with a word of farewell where TLS has one.
    pub async fn close(mut self) {
        if self.io().is_tls() {
            // Whatever happens, the connection is over.
            let _ = tokio::time::timeout(FAREWELL, self.shutdown()).await;
        }
    }

    /// Ends our side and reads what the client still sends, for at most so long: closing a socket with unread
    /// bytes in it would reset the connection and take the last answer with it.
    pub async fn linger(mut self, time: Duration) {
        let reading = async {
            self.shutdown().await?;
            let mut waste = [0; 4096];
            let mut left = LONGEST_LINGER;
            while left > 0 {
                match self.read(&mut waste).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        // Whatever happens, the connection is over.
        let _ = tokio::time::timeout(time, reading).await;
    }
}
