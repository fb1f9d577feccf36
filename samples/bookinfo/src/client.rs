//! A small HTTP/1.1 client: idle connections are kept, `HTTP_PROXY` and `NO_PROXY` are honoured.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Environment;

/// The largest answer that is read.
const ANSWER_LIMIT: usize = 1 << 20;

/// How many idle connections one peer keeps.
const IDLE_LIMIT: usize = 32;

/// What one fetch goes to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `HOST:PORT`.
    pub authority: &'a str,
    /// The path, beginning with a slash.
    pub path: &'a str,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// Asks other services.
pub struct Client {
    proxy: Option<String>,
    bypass: Vec<Bypass>,
    idle: Mutex<HashMap<String, Vec<SendRequest<Empty<Bytes>>>>>,
}

impl Client {
    /// A client that goes where the environment sends it.
    pub fn new(environment: &Environment) -> Self {
        let either = |upper: &str, lower: &str| environment.value(upper).or_else(|| environment.value(lower));
        let proxy = either("HTTP_PROXY", "http_proxy").map(|url| {
            let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
            with_port(authority)
        });
        let bypass = either("NO_PROXY", "no_proxy").unwrap_or_default();
        let bypass =
            bypass.split(',').map(str::trim).filter(|rule| !rule.is_empty()).map(Bypass::new).collect();
        Self { proxy, bypass, idle: Mutex::default() }
    }

    /// Fetches with GET, all told within a time.
    ///
    /// # Errors
    /// When no whole answer came in time.
    pub async fn fetch(
        &self,
        target: Target<'_>,
        headers: &HeaderMap,
        within: Duration,
    ) -> Result<Answer, FetchError> {
        tokio::time::timeout(within, self.exchange(target, headers))
            .await
            .map_err(|_| format!("no answer from {} within {within:?}", target.authority))?
    }

    async fn exchange(&self, target: Target<'_>, headers: &HeaderMap) -> Result<Answer, FetchError> {
        let proxy = self.proxy.as_deref().filter(|_| !self.bypasses(target.authority));
        let peer = proxy.unwrap_or(target.authority);
        let request = request(target, headers, proxy.is_some())?;
        // A kept connection may have been closed by the peer at this very moment, so a GET is tried once more.
        while let Some(mut kept) = self.kept(peer) {
            if kept.ready().await.is_err() {
                continue;
            }
            match kept.send_request(request.clone()).await {
                Ok(response) => return self.finish(peer, kept, response).await,
                Err(_) => break,
            }
        }
        let stream = TcpStream::connect(peer).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The task ends with the connection, and that with its sender or its peer.
        tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        self.finish(peer, sender, response).await
    }

    async fn finish(
        &self,
        peer: &str,
        sender: SendRequest<Empty<Bytes>>,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<Answer, FetchError> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
        if !sender.is_closed()
            && let Ok(mut idle) = self.idle.lock()
        {
            let kept = idle.entry(peer.to_owned()).or_default();
            if kept.len() < IDLE_LIMIT {
                kept.push(sender);
            }
        }
        Ok(Answer { status: head.status, body })
    }

    fn kept(&self, peer: &str) -> Option<SendRequest<Empty<Bytes>>> {
        self.idle.lock().ok()?.get_mut(peer)?.pop()
    }

    fn bypasses(&self, authority: &str) -> bool {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        self.bypass.iter().any(|rule| rule.covers(host))
    }
}

fn request(
    target: Target<'_>,
    headers: &HeaderMap,
    by_proxy: bool,
) -> Result<Request<Empty<Bytes>>, FetchError> {
    let Target { authority, path } = target;
    let uri = if by_proxy { format!("http://{authority}{path}") } else { path.to_owned() };
    let mut request = Request::get(uri).body(Empty::new())?;
    *request.headers_mut() = headers.clone();
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority)?);
    Ok(request)
}

fn with_port(authority: &str) -> String {
    if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") }
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bypass {
    /// Every host.
    All,
    /// A domain and everything below it.
    Domain(String),
    /// A network and the length of its prefix.
    Network(Ipv4Addr, u32),
}

impl Bypass {
    fn new(rule: &str) -> Self {
        let network = |rule: &str| {
            let (address, bits) = rule.split_once('/').unwrap_or((rule, "32"));
            Some(Self::Network(address.parse().ok()?, bits.parse().ok().filter(|bits| *bits <= 32)?))
        };
        match rule {
            "*" => Self::All,
            _ => network(rule).unwrap_or_else(|| Self::Domain(rule.trim_start_matches('.').to_owned())),
        }
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Domain(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Network(network, bits) => host.parse::<Ipv4Addr>().is_ok_and(|host| {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                host.to_bits() & mask == network.to_bits() & mask
            }),
        }
    }
}

#[cfg(test)]
mod tests;
