//! A plain HTTP/1.1 client over one blocking socket a request, so that nothing hides what the mesh answered.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Reply {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request and reads its answer to the end.
///
/// # Errors
/// The connection failed, was cut, or did not carry an HTTP answer.
pub fn request(to: SocketAddr, head: &str, body: &str) -> io::Result<Reply> {
    request_to(to, &format!("{}\r\nhost: localhost", head.trim_end()), body)
}

/// The same for a head that names its host.
///
/// # Errors
/// The connection failed, was cut, or did not carry an HTTP answer.
pub fn request_to(to: SocketAddr, head: &str, body: &str) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(stream, "{}\r\nconnection: close\r\n{length}\r\n{body}", head.trim_end())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        let seen = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("not a whole HTTP answer: {seen:?}"))
    })
}

fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let of = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let body = if of("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        dechunk(body)?
    } else {
        match of("content-length") {
            Some(length) if length.parse::<usize>().ok()? != body.len() => return None,
            _ => body.to_owned(),
        }
    };
    Some(Reply { status, headers, body })
}

/// The text behind chunked framing; none where the last chunk is missing.
fn dechunk(mut text: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..size)?);
        text = rest.get(size + 2..)?;
    }
}
