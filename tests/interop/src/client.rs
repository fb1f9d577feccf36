//! A plain HTTP/1.1 client, one connection a request, so that nothing hides what was answered.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::PATIENCE;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body as text.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Asks for a path of a host, wherever the host may be.
///
/// # Errors
/// The connection failed, was cut, or did not carry a whole answer.
pub fn get(to: SocketAddr, host: &str, path: &str) -> io::Result<Reply> {
    get_with(to, host, path, &BTreeMap::new())
}

/// Asks for a path of a host, with more headers.
///
/// # Errors
/// As [`get`].
pub fn get_with(
    to: SocketAddr,
    host: &str,
    path: &str,
    headers: &BTreeMap<String, String>,
) -> io::Result<Reply> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    parse(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not a whole answer: {text:?}")))
}

/// A client that asks over and over, until it is stopped or dropped.
#[derive(Debug)]
pub struct Asking {
    /// Whoever drops it, be it by failing, stops the thread.
    alive: Arc<()>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Asking {
    /// Starts to ask.
    pub fn start(to: SocketAddr) -> Self {
        let alive = Arc::new(());
        let asked_for = Arc::downgrade(&alive);
        let thread = thread::spawn(move || {
            let (mut asked, mut failures) = (0, Vec::new());
            while asked_for.strong_count() > 0 {
                asked += 1;
                match get(to, "any.test", "/") {
                    Ok(reply) if reply.status == 200 => {}
                    other => failures.push(format!("request {asked}: {other:?}")),
                }
            }
            (asked, failures)
        });
        Self { alive, thread }
    }

    /// Stops.
    ///
    /// # Panics
    /// When a request was not answered 200, or there was none.
    pub fn stop_without_failures(self) {
        drop(self.alive);
        let (asked, failures) = self.thread.join().expect("invariant: a client does not panic");
        assert!(asked > 0 && failures.is_empty(), "{} of {asked} requests: {failures:#?}", failures.len());
    }
}

/// None where the text is not an answer as long as it says itself.
fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let field = |wanted: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let body = match field("content-length").map(str::parse::<usize>) {
        Some(length) => Some(body.to_owned()).filter(|body| Ok(body.len()) == length),
        None if field("transfer-encoding") == Some("chunked") => unchunked(body),
        None => None,
    }?;
    Some(Reply { status, head: head.to_owned(), body })
}

/// A body that came in pieces; none where the last is missing.
fn unchunked(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return (after == "\r\n").then_some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_answer_is_none() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

        assert_eq!(parse(whole).map(|reply| (reply.status, reply.body)), Some((200, "ok".to_owned())));
        assert_eq!(parse(&whole[..whole.len() - 1]), None);
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nLIVE\n\r\n0\r\n\r\n";

        assert_eq!(parse(whole).map(|reply| reply.body), Some("LIVE\n".to_owned()));
        assert_eq!(parse(&whole[..whole.len() - 1]), None);
    }
}
