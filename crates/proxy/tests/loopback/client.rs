//! Clients: raw bytes, and whole requests of HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test waits longer for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// One header as text; empty where absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A request for a path.
pub(crate) fn request(path: &str) -> http::request::Builder {
    Request::builder().uri(path).header("host", "tested.example")
}

/// Sends `GET path` over a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, request(path).body(Full::default()).unwrap()).await
}

/// Sends one request by HTTP/1.1 over a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(driver);
        let answer = answer(sender.send_request(request).await.unwrap()).await;
        drop(sender);
        let _ = driver.await;
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
}

/// Sends one request by HTTP/2 over a connection of its own.
pub(crate) async fn send_http2(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    try_http2(address, request).await.expect("an answer")
}

/// The same where the stream may be reset.
pub(crate) async fn try_http2(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Answer, hyper::Error> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, driver) = handshake.await.unwrap();
        let driver = tokio::spawn(driver);
        let answer = match sender.send_request(request).await {
            Ok(response) => Ok(answer(response).await),
            Err(error) => Err(error),
        };
        drop(sender);
        let _ = driver.await;
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
}

async fn answer(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

/// Sends bytes and reads until the other side closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The other side may have closed before the last byte.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("the connection is closed in time")
}

/// Sends one request over a connection that is made, by HTTP/2 where TLS agreed on it.
pub(crate) async fn over(io: net::Io, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let exchange = async {
        let told = |error: hyper::Error| error.to_string();
        if io.alpn() == Some(b"h2") {
            let (mut sender, driver) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
                    .await
                    .map_err(told)?;
            tokio::spawn(driver);
            let mut request = request;
            let host = request.headers_mut().remove("host").unwrap();
            let uri = format!("https://{}{}", host.to_str().unwrap(), request.uri());
            *request.uri_mut() = uri.parse().unwrap();
            return Ok(answer(sender.send_request(request).await.map_err(told)?).await);
        }
        let (mut sender, driver) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(told)?;
        tokio::spawn(driver);
        Ok(answer(sender.send_request(request).await.map_err(told)?).await)
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer comes")
}
