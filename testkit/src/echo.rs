//! A backend that tells what it was asked, over HTTP/1.1 and HTTP/2 in cleartext.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// An HTTP backend on a thread of its own.
///
/// It answers 200 with JSON: its `name`, the `method`, `path`, `authority`, `version`, `headers` and `body` it got.
/// A request header `x-answer` chooses another status.
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
                    () = serve(listener, name) => {}
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
async fn serve(listener: TcpListener, name: Arc<str>) {
    while let Ok((stream, _)) = listener.accept().await {
        let name = Arc::clone(&name);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&name), request));
            // A client that goes away is no concern of a backend.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(name: Arc<str>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = text("x-answer").and_then(|status| status.parse().ok()).unwrap_or(StatusCode::OK);
    let told = json!({
        "name": &*name,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map(|path| path.as_str()),
        "authority": head.uri.authority().map(|authority| authority.to_string()).or_else(|| text("host")),
        "version": format!("{:?}", head.version),
        "headers": headers(&head.headers),
        "body": String::from_utf8_lossy(&body),
    });
    let mut response = Response::new(Full::new(told.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
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
