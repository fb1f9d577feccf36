//! Whether the page is there, and whole.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often to look.
const EVERY: Duration = Duration::from_millis(20);

/// The largest page that is read.
const LIMIT: u64 = 1 << 20;

/// Waits until the page has every part.
///
/// # Errors
/// When it has not in time; the error says what it was last.
pub(super) async fn whole(at: SocketAddr, within: Duration) -> anyhow::Result<()> {
    let mut last = "nothing".to_owned();
    let waiting = async {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match fetch(at).await.map(|page| lack(&page)) {
                Ok(None) => return,
                Ok(Some(lack)) => last = lack,
                Err(error) => last = error.to_string(),
            }
        }
    };
    let outcome = timeout(within, waiting).await;
    outcome.ok().with_context(|| format!("http://{at}/productpage is not whole after {within:?}: {last}"))
}

async fn fetch(at: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    let request = format!("GET /productpage HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    stream.take(LIMIT).read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// What an answer lacks to be the whole page.
fn lack(answer: &str) -> Option<String> {
    let status = answer.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        return Some(format!("it answers {status:?}"));
    }
    let parts = [("Book Details", "product details"), ("Reviews served by", "reviews")];
    let missing = parts.iter().find(|(words, _)| !answer.contains(words));
    let unrated = answer.contains("Ratings service is currently unavailable").then_some(&("", "ratings"));
    missing.or(unrated).map(|(_, part)| format!("it lacks {part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_part_is_not_whole() {
        let whole = "HTTP/1.1 200 OK\r\n\r\nBook Details … Reviews served by";

        assert_eq!(lack(whole), None);
        assert_eq!(
            lack("HTTP/1.1 404 Not Found\r\n").as_deref(),
            Some("it answers \"HTTP/1.1 404 Not Found\"")
        );
        assert_eq!(lack("HTTP/1.1 200 OK\r\n\r\nBook Details").as_deref(), Some("it lacks reviews"));
        let unrated = format!("{whole} Ratings service is currently unavailable");
        assert_eq!(lack(&unrated).as_deref(), Some("it lacks ratings"));
        assert!(lack("").is_some());
    }
}
