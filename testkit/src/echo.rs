//! A backend that tells what it was asked, over HTTP/1.1 and HTTP/2 in cleartext.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The type of a gRPC call.
const GRPC: &str = "application/grpc";

/// The trailer that ends one.
const GRPC_STATUS: header::HeaderName = header::HeaderName::from_static("grpc-status");

/// An HTTP backend on a thread of its own.
///
/// It answers 200 with JSON: its `name`, the `method`, `path`, `authority`, `version`, `headers` and `body` it got.
/// A request header `x-answer` chooses another status. A gRPC call is told its status in trailers, and over a WebSocket
/// whatever comes goes back.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    /// Its end ends the backend.
    _alive: oneshot::Sender<Infallible>,
}

impl Echo {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(name: &str) -> io::Result<Self> {
        Self::start_at(name, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// What the system says, e.g. that somebody holds it.
    pub fn start_at(name: &str, address: SocketAddr) -> io::Result<Self> {
        Self::listen(name, address, false)
    }

    /// Listens on an address as the far end of tunnels: inside of each, by CONNECT or POST, it tells at once how it was
    /// asked for, whatever comes.
    ///
    /// # Errors
    /// As [`Echo::start_at`].
    pub fn far_end_at(name: &str, address: SocketAddr) -> io::Result<Self> {
        Self::listen(name, address, true)
    }

    fn listen(name: &str, address: SocketAddr, is_far_end: bool) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (alive, dropped) = oneshot::channel();
        let name: Arc<str> = name.into();
        thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(listener, name, is_far_end) => {}
                    _ = dropped => {}
                }
            });
        });
        Ok(Self { address, _alive: alive })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until dropped; connections end with the runtime.
async fn serve(listener: TcpListener, name: Arc<str>, is_far_end: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        let name = Arc::clone(&name);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&name), request, is_far_end));
            // A client that goes away is no concern of a backend.
            let builder = Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(
    name: Arc<str>,
    request: Request<Incoming>,
    is_far_end: bool,
) -> Result<Answer, hyper::Error> {
    if is_far_end {
        return Ok(tunnelled(&name, request));
    }
    if request.headers().get(header::UPGRADE).is_some_and(|upgrade| upgrade == "websocket") {
        return Ok(turned_round(request));
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let status = text(&head, "x-answer").and_then(|status| status.parse().ok()).unwrap_or(StatusCode::OK);
    let told = told(&name, &head, &body);
    // Over HTTP/2, nothing else keeps the body of an answer to HEAD back.
    let is_head = head.method == Method::HEAD;
    let told = Full::new(if is_head { Bytes::new() } else { told.to_string().into() });
    let kind = head.headers.get(header::CONTENT_TYPE).filter(|kind| *kind == GRPC);
    let body = match kind {
        Some(_) => {
            let ended = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
            told.with_trailers(async { Some(Ok(ended)) }).boxed()
        }
        None => told.boxed(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind.cloned().unwrap_or(json));
    Ok(response)
}

/// What a request was.
fn told(name: &str, head: &request::Parts, body: &[u8]) -> Value {
    let authority = head.uri.authority().map(|authority| authority.to_string());
    json!({
        "name": name,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map(|path| path.as_str()),
        "authority": authority.or_else(|| text(head, "host")),
        "version": format!("{:?}", head.version),
        "headers": headers(&head.headers),
        "body": String::from_utf8_lossy(body),
    })
}

fn text(head: &request::Parts, name: &str) -> Option<String> {
    head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A tunnel in which is told what asked for it; it ends when the client has ended.
fn tunnelled(name: &str, mut request: Request<Incoming>) -> Answer {
    let connected = (request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let told = told(name, &head, &[]).to_string();
    let Some(connected) = connected else {
        let rest = async {
            // A client that goes away is no concern of a backend.
            let _ = body.collect().await;
            None
        };
        return Response::new(Full::new(Bytes::from(told)).with_trailers(rest).boxed());
    };
    tokio::spawn(async move {
        let Ok(tunnel) = connected.await else { return };
        let (mut from, mut to) = tokio::io::split(TokioIo::new(tunnel));
        // Nor is one that goes away here.
        let _ = to.write_all(told.as_bytes()).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
        let _ = to.shutdown().await;
    });
    Response::new(Empty::new().boxed())
}

/// A connection whose bytes go back as they come.
fn turned_round(request: Request<Incoming>) -> Answer {
    tokio::spawn(async move {
        // A client that goes away is no concern of a backend.
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let mut response = Response::new(Empty::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Headers by name, each with all its values.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let values = |name| headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    headers.keys().map(|name| (name.to_string(), values(name).collect())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hyper::client::conn::{http1, http2};
    use tokio::net::TcpStream;

    use super::*;

    fn request() -> Request<Full<Bytes>> {
        let body = Full::new(Bytes::from_static(b"ping"));
        let request = Request::post("http://echo.test/a?b=c").header("host", "echo.test");
        request.header("x-answer", "418").header("x-twice", "1").header("x-twice", "2").body(body).unwrap()
    }

    async fn told(response: Response<Incoming>) -> Value {
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[test]
    fn both_versions_of_http_are_told_what_they_said() {
        let echo = Echo::start("one").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (first, second) = runtime.block_on(async {
            let io = TokioIo::new(TcpStream::connect(echo.address()).await.unwrap());
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let first = told(sender.send_request(request()).await.unwrap()).await;

            let io = TokioIo::new(TcpStream::connect(echo.address()).await.unwrap());
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            (first, told(sender.send_request(request()).await.unwrap()).await)
        });

        assert_eq!((&first["version"], &second["version"]), (&json!("HTTP/1.1"), &json!("HTTP/2.0")));
        for told in [first, second] {
            assert_eq!(told["name"], "one");
            assert_eq!(told["method"], "POST");
            assert_eq!(told["authority"], "echo.test");
            assert_eq!(told["headers"]["x-twice"], json!(["1", "2"]));
            assert_eq!(told["body"], "ping");
        }
    }
}
