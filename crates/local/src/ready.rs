//! Waiting for a process to answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// How often to ask.
const EVERY: Duration = Duration::from_millis(10);

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Nobody answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer in time")]
pub struct NotReady;

/// How often is asked once more whether what was ready still is, and how often in a row it must not be.
const AGAIN: Duration = Duration::from_secs(1);
const MISSES: u32 = 3;

/// How long one answer may take then: a busy machine is no reason to send nobody.
const LATE: Duration = Duration::from_secs(5);

/// What is asked of a process to know whether it is ready.
#[derive(Clone, Debug)]
pub enum Question {
    /// A GET of a path, to be answered with 200.
    Answer(SocketAddr, String),
    /// A connection, to be accepted.
    Connection(SocketAddr),
}

impl Question {
    /// Waits until the answer is yes.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub async fn until(&self, deadline: Instant) -> Result<(), NotReady> {
        match self {
            Self::Answer(at, path) => answers(*at, path, deadline).await,
            Self::Connection(at) => accepts(*at, deadline).await,
        }
    }

    async fn ask(&self) -> bool {
        let answer = async {
            match self {
                Self::Answer(at, path) => status(*at, path).await == Some(200),
                Self::Connection(at) => TcpStream::connect(at).await.is_ok(),
            }
        };
        tokio::time::timeout(LATE, answer).await == Ok(true)
    }
}

/// Resolves once all questions are answered otherwise than before: `was` says how that is. Cancel-safe.
///
/// One good answer to each is enough to be ready; only after several bad ones in a row nobody is sent there.
pub async fn turns(questions: &[Question], was: bool) {
    let mut misses = 0;
    loop {
        tokio::time::sleep(AGAIN).await;
        let mut is_ready = true;
        for question in questions {
            is_ready &= question.ask().await;
        }
        misses = if is_ready { 0 } else { misses + 1 };
        if (was && misses == MISSES) || (!was && is_ready) {
            return;
        }
    }
}

/// Waits until a GET of a path is answered with 200.
///
/// # Errors
/// When the deadline passes first.
async fn answers(at: SocketAddr, path: &str, deadline: Instant) -> Result<(), NotReady> {
    until(deadline, || async { status(at, path).await == Some(200) }).await
}

/// Waits until connections to an address are accepted.
///
/// # Errors
/// When the deadline passes first.
pub async fn accepts(at: SocketAddr, deadline: Instant) -> Result<(), NotReady> {
    until(deadline, || async { TcpStream::connect(at).await.is_ok() }).await
}

async fn until<F: Future<Output = bool>>(
    deadline: Instant,
    mut try_once: impl FnMut() -> F,
) -> Result<(), NotReady> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timeout_at(deadline, async {
        loop {
            ticks.tick().await;
            // One try that hangs is not the last one.
            if tokio::time::timeout(PATIENCE, try_once()).await == Ok(true) {
                return;
            }
        }
    })
    .await
    .map_err(|_| NotReady)
}

/// The status of a GET; None where there was no answer.
async fn status(at: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.ok()?;
    std::str::from_utf8(&line).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn only_success_counts_as_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let at = listener.local_addr().expect("its address");
        let serving = tokio::spawn(async move {
            for answer in ["HTTP/1.1 503 No\r\n\r\n", "garbage", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                stream.write_all(answer.as_bytes()).await.expect("an answer");
            }
        });

        answers(at, "/healthz/ready", soon()).await.expect("the third answer is 200");

        serving.await.expect("all three were asked for");
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait() {
        let at =
            TcpListener::bind("127.0.0.1:0").await.expect("a listener").local_addr().expect("its address");

        assert_eq!(accepts(at, Instant::now()).await, Err(NotReady));
    }
}
