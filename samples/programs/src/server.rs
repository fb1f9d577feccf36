//! The web server of the programs that are one: HTTP/1.1 and HTTP/2, in the clear or over TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The largest body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// An answer.
pub type Reply = Response<Full<Bytes>>;

/// What a web server does with a request that came to a port.
pub trait Program: Send + Sync + 'static {
    /// Answers one request.
    fn answer<'a>(
        &'a self,
        port: u16,
        request: &'a Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;
}

/// Serves connections until the listener breaks.
///
/// # Errors
/// When no connection can be accepted any more.
pub async fn serve(
    listener: TcpListener,
    program: Arc<dyn Program>,
    tls: Option<TlsAcceptor>,
) -> std::io::Result<()> {
    let port = listener.local_addr()?.port();
    loop {
        let (stream, peer) = listener.accept().await?;
        let (program, tls) = (Arc::clone(&program), tls.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, (peer, port), program, tls).await {
                tracing::debug!(%peer, %error, "a connection broke");
            }
        });
    }
}

async fn connection(
    stream: TcpStream,
    at: (SocketAddr, u16),
    program: Arc<dyn Program>,
    tls: Option<TlsAcceptor>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    match tls {
        None => http(stream, at, program).await,
        Some(tls) => http(tls.accept(stream).await?, at, program).await,
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (peer, port): (SocketAddr, u16),
    program: Arc<dyn Program>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let service = service_fn(move |request: Request<Incoming>| {
        let program = Arc::clone(&program);
        async move {
            let (head, body) = request.into_parts();
            let body =
                Limited::new(body, BODY_LIMIT).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            let request = Request::from_parts(head, body);
            let reply = program.answer(port, &request).await;
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let (method, version) = (request.method(), request.version());
            tracing::info!(%peer, status = reply.status().as_u16(), "{method} {path} {version:?}");
            Ok::<_, Infallible>(reply)
        }
    });
    auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await
}

/// An answer of this status, type and text.
pub(crate) fn reply(status: u16, kind: &str, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
    if let Ok(kind) = kind.parse() {
        reply.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    }
    reply
}

/// The host a request asks for.
pub(crate) fn host<'a>(headers: &'a HeaderMap, uri: &'a http::Uri) -> &'a str {
    let named = headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}
