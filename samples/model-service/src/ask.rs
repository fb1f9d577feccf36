//! Calls to other contexts, by way of the proxy where there is one.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest answer that is read.
const MOST: usize = 1 << 20;

/// Headers that let what belongs together be recognised, and routed alike.
const PASSED_ON: [&str; 6] =
    ["end-user", "user-agent", "x-request-id", "traceparent", "x-b3-traceid", "x-b3-sampled"];

/// One call.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: String,
    /// `HOST:PORT`.
    pub authority: String,
    /// The path, percent-encoded.
    pub path: String,
    /// The body; empty for none.
    pub body: Bytes,
}

/// Makes calls.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// `HOST:PORT` of a proxy.
    pub proxy: Option<String>,
}

impl Client {
    /// Makes a call, with the headers of the request it is made for.
    ///
    /// # Errors
    /// When no whole answer came within five seconds.
    pub async fn ask(&self, ask: &Ask, headers: &HeaderMap) -> anyhow::Result<(StatusCode, Bytes)> {
        tokio::time::timeout(Duration::from_secs(5), self.exchange(ask, headers)).await?
    }

    async fn exchange(&self, ask: &Ask, headers: &HeaderMap) -> anyhow::Result<(StatusCode, Bytes)> {
        let (peer, uri) = match &self.proxy {
            Some(proxy) => (proxy.as_str(), format!("http://{}{}", ask.authority, ask.path)),
            None => (ask.authority.as_str(), ask.path.clone()),
        };
        let mut request = Request::builder()
            .method(ask.method.as_str())
            .uri(uri)
            .header(header::HOST, &ask.authority)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers.iter().filter(|(name, _)| PASSED_ON.contains(&name.as_str())) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(ask.body.clone()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(TcpStream::connect(peer).await?)).await?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, MOST).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            anyhow::Ok((head.status, body.to_bytes()))
        };
        // The connection lives as long as the exchange.
        tokio::select! {
            answer = exchange => answer,
            ended = connection => {
                ended?;
                anyhow::bail!("{peer} closed the connection without an answer")
            }
        }
    }
}
