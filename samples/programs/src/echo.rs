//! `tcp-echo`: every line comes back behind a word.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The longest line that is echoed.
const LONGEST: u64 = 64 * 1024;

/// Echoes lines of every connection until the listener breaks.
///
/// # Errors
/// When no connection can be accepted any more.
pub async fn echo(listener: TcpListener, word: String) -> std::io::Result<()> {
    let word: Arc<str> = word.into();
    loop {
        let (stream, peer) = listener.accept().await?;
        let word = Arc::clone(&word);
        tokio::spawn(async move {
            if let Err(error) = lines(stream, &word).await {
                tracing::debug!(%peer, %error, "a connection broke");
            }
        });
    }
}

async fn lines(stream: TcpStream, word: &str) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut read).take(LONGEST).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let mut answer = format!("{word} ").into_bytes();
        answer.extend_from_slice(&line);
        write.write_all(&answer).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_comes_back_behind_the_word() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let at = listener.local_addr().expect("its address");
        let serving = tokio::spawn(echo(listener, "one".into()));
        let mut stream = TcpStream::connect(at).await.expect("a connection");

        stream.write_all(b"hello\n").await.expect("a line");

        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"one hello\n");
        serving.abort();
    }
}
