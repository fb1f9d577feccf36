//! One exchange with a proxy: what a client of any kind asks, and what it sees.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::PATIENCE;

/// Headers whose values differ between any two answers.
const PASSING: [&str; 6] =
    ["date", "x-request-id", "x-envoy-upstream-service-time", "traceparent", "x-b3-traceid", "x-b3-spanid"];

/// The answer of a proxy that does not find a name. Whether the request had come whole by then, and the connection may
/// go on, depends on what the proxy still knew of the name.
const NO_NAME: &str = "DNS resolution failure";

/// By which Weft alone says why there is no answer but its own.
const REASON: &str = "x-weft-reason";

/// What is said over a WebSocket.
const WORDS: &str = "round trip";

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Not at all: it listens for a line.
    Bytes,
    /// A gRPC call, over HTTP/2.
    Grpc,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without asking first.
    Http2,
    /// HTTP/1.1, to be left for a WebSocket.
    WebSocket,
}

/// How a client begins TLS.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The name it asks for.
    pub name: String,
    /// What it offers, shows and trusts.
    pub config: Arc<ClientConfig>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How the client speaks.
    pub client: Client,
    /// How it begins TLS, if it does.
    pub hello: Option<Hello>,
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The host.
    pub host: String,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: &'static str,
}

impl Asked {
    /// A plain GET.
    pub fn get(host: &str, path: &str) -> Self {
        Self {
            client: Client::Http1,
            hello: None,
            method: "GET",
            path: path.to_owned(),
            host: host.to_owned(),
            headers: Vec::new(),
            body: "",
        }
    }

    /// A connection that only listens.
    pub fn bytes() -> Self {
        Self { client: Client::Bytes, ..Self::get("", "") }
    }

    fn request(&self) -> io::Result<Request<Full<Bytes>>> {
        let scheme = if self.hello.is_some() { "https" } else { "http" };
        let mut builder = Request::builder().method(self.method);
        builder = match self.client {
            Client::Grpc | Client::Http2 => builder.uri(format!("{scheme}://{}{}", self.host, self.path)),
            _ => builder.uri(&self.path).header(header::HOST, &self.host),
        };
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        builder = match self.client {
            Client::Grpc => {
                builder.header(header::CONTENT_TYPE, "application/grpc").header(header::TE, "trailers")
            }
            Client::WebSocket => builder
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            _ => builder,
        };
        let frame = |body: &str| {
            let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
            [&[0], &length[..], body.as_bytes()].concat()
        };
        let body = if self.client == Client::Grpc { frame(self.body) } else { self.body.into() };
        builder.body(Full::new(body.into())).map_err(io::Error::other)
    }
}

/// What came of a request, as far as it must be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The status; 0 where nobody spoke HTTP.
    pub status: u16,
    /// The answer's headers, by name.
    pub headers: Vec<(String, String)>,
    /// What the backend says it was asked, or the body as it is.
    pub body: String,
    /// What came after the body.
    pub trailers: Vec<(String, String)>,
}

impl Seen {
    /// The same without what is drawn for a request: its endpoint, and a cookie it is given to stay there.
    pub fn without_endpoint(mut self) -> Self {
        if let Ok(Value::Object(mut told)) = serde_json::from_str(&self.body) {
            told.remove("name");
            self.body = Value::Object(told).to_string();
        }
        for (_, value) in self.headers.iter_mut().filter(|(name, _)| name == "set-cookie") {
            *value = value.split('=').next().unwrap_or_default().to_owned();
        }
        // Envoy gives one cookie per attempt, all but the last for nothing.
        self.headers.dedup_by(|one, other| one.0 == "set-cookie" && one == other);
        self
    }
}

/// Makes a connection, asks, and sees what comes.
///
/// # Errors
/// The connection failed, TLS was refused, or there was no whole answer.
pub async fn exchange(to: SocketAddr, asked: &Asked) -> io::Result<Seen> {
    tokio::time::timeout(PATIENCE, connected(to, asked)).await?
}

/// Asks over a connection that is made, and sees what comes.
///
/// # Errors
/// There was no whole answer.
pub async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    asked: &Asked,
) -> io::Result<Seen> {
    tokio::time::timeout(PATIENCE, over(stream, asked)).await?
}

async fn connected(to: SocketAddr, asked: &Asked) -> io::Result<Seen> {
    let stream = TcpStream::connect(to).await?;
    match &asked.hello {
        None => over(stream, asked).await,
        Some(Hello { name, config }) => {
            let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
            over(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?, asked).await
        }
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    asked: &Asked,
) -> io::Result<Seen> {
    match asked.client {
        Client::Bytes => {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).await?;
            Ok(Seen { status: 0, headers: Vec::new(), body: line, trailers: Vec::new() })
        }
        Client::Grpc | Client::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
            // It ends with the sender; what breaks it breaks the answer too.
            tokio::spawn(connection);
            seen(sender.send_request(asked.request()?).await.map_err(io::Error::other)?, asked).await
        }
        Client::Http1 | Client::WebSocket => {
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection.with_upgrades());
            let response = sender.send_request(asked.request()?).await.map_err(io::Error::other)?;
            match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => turned(response).await,
                _ => seen(response, asked).await,
            }
        }
    }
}

/// What comes back over a WebSocket, whose frames concern nobody here.
async fn turned(response: Response<Incoming>) -> io::Result<Seen> {
    let headers = headers(response.headers());
    let upgraded = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
    let mut stream = TokioIo::new(upgraded);
    stream.write_all(WORDS.as_bytes()).await?;
    let mut back = [0; WORDS.len()];
    stream.read_exact(&mut back).await?;
    let body = String::from_utf8_lossy(&back).into_owned();
    Ok(Seen { status: 101, headers, body, trailers: Vec::new() })
}

async fn seen(response: Response<Incoming>, asked: &Asked) -> io::Result<Seen> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let trailers = body.trailers().map(headers).unwrap_or_default();
    let body = told(&String::from_utf8_lossy(&body.to_bytes()));
    let mut headers = headers(&head.headers);
    if asked.method == "HEAD" {
        // What is said of a body that does not come is framing, and each hop's own.
        headers.retain(|(name, _)| name != "content-length");
    }
    if body == NO_NAME {
        headers.retain(|(name, _)| name != "connection");
    }
    Ok(Seen { status: head.status.as_u16(), headers, body, trailers })
}

fn headers(map: &HeaderMap) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = map
        .iter()
        .filter(|(name, _)| *name != REASON && *name != header::TRANSFER_ENCODING)
        .map(|(name, value)| match PASSING.contains(&name.as_str()) {
            true => (name.to_string(), String::new()),
            false => (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()),
        })
        .collect();
    headers.sort();
    headers
}

/// The backend's word without what differs between any two requests; any other body as it is.
fn told(body: &str) -> String {
    let Ok(mut told @ Value::Object(_)) = serde_json::from_str(body) else { return body.to_owned() };
    if let Some(headers) = told["headers"].as_object_mut() {
        for (_, value) in headers.iter_mut().filter(|(name, _)| PASSING.contains(&name.as_str())) {
            *value = Value::Null;
        }
        // Their order among each other means nothing.
        headers.sort_keys();
    }
    told.to_string()
}
