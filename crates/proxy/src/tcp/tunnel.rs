//! A connection's bytes inside of a request to the upstream.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use net::{Http, Io, LocalExec};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

/// Bytes that may wait between the client and a POST.
const ROOM: usize = 64 * 1024;
const CHUNKS: usize = 4;

/// The far end of a tunnel.
pub(crate) enum Tunnelled {
    /// Of a CONNECT.
    Connected(Box<TokioIo<Upgraded>>),
    /// Of a POST, whose bodies are pumped by tasks of their own.
    Posted(DuplexStream),
}

/// What the tunnel is asked for with.
pub(crate) struct Asked {
    pub(crate) host: String,
    pub(crate) post_path: Option<String>,
    pub(crate) headers: HeaderMap,
}

type Body = BoxBody<Bytes, Infallible>;

/// Asks for a tunnel over a fresh connection.
///
/// # Errors
/// Says why there is none.
pub(crate) async fn open(io: Io, http: Http, asked: Asked) -> Result<Tunnelled, String> {
    let is_http2 = match http {
        Http::V1 => false,
        Http::V2 => true,
        Http::Agreed => io.alpn() == Some(b"h2"),
    };
    let (sender, frames) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(CHUNKS);
    let body = match asked.post_path {
        None => Empty::new().boxed(),
        Some(_) => StreamBody::new(tokio_stream(frames)).boxed(),
    };
    let request = request(&asked, is_http2, body)?;
    let response = send(io, is_http2, request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("the tunnel was answered with {}", response.status().as_u16()));
    }
    if asked.post_path.is_some() {
        let (near, far) = duplex(ROOM);
        tokio::task::spawn_local(pump(far, sender, response.into_body()));
        return Ok(Tunnelled::Posted(near));
    }
    match hyper::upgrade::on(response).await {
        Ok(upgraded) => Ok(Tunnelled::Connected(Box::new(TokioIo::new(upgraded)))),
        Err(error) => Err(error.to_string()),
    }
}

fn tokio_stream(
    mut frames: mpsc::Receiver<Result<Frame<Bytes>, Infallible>>,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync {
    futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx))
}

fn request(asked: &Asked, is_http2: bool, body: Body) -> Result<Request<Body>, String> {
    let wrong = |_| format!("{:?} is no host of a tunnel", asked.host);
    let authority = Authority::try_from(asked.host.as_str()).map_err(wrong)?;
    let mut request = Request::new(body);
    *request.headers_mut() = asked.headers.clone();
    let mut parts = http::uri::Parts::default();
    match &asked.post_path {
        None => {
            *request.method_mut() = Method::CONNECT;
            parts.authority = Some(authority);
        }
        Some(path) => {
            *request.method_mut() = Method::POST;
            let path = PathAndQuery::try_from(path.as_str()).map_err(|_| "the path is none".to_owned())?;
            parts.path_and_query = Some(path);
            if is_http2 {
                (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(authority));
            }
        }
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| error.to_string())?;
    if !is_http2 {
        let host = HeaderValue::try_from(asked.host.as_str()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
    }
    Ok(request)
}

async fn send(io: Io, is_http2: bool, request: Request<Body>) -> Result<Response<Incoming>, String> {
    let told = |error: hyper::Error| error.to_string();
    if is_http2 {
        let (mut sender, driver) = http2::Builder::new(LocalExec)
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(io))
            .await
            .map_err(told)?;
        tokio::task::spawn_local(async move {
            // The tunnel is told of an error too.
            let _ = driver.await;
        });
        return sender.send_request(request).await.map_err(told);
    }
    let (mut sender, driver) = http1::handshake(TokioIo::new(io)).await.map_err(told)?;
    tokio::task::spawn_local(async move {
        let _ = driver.with_upgrades().await;
    });
    sender.send_request(request).await.map_err(told)
}

/// Carries bytes between one end of a pipe and the two bodies of an exchange.
async fn pump(
    pipe: DuplexStream,
    sender: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    mut incoming: Incoming,
) {
    let (mut reading, mut writing) = tokio::io::split(pipe);
    let up = async {
        loop {
            let mut chunk = BytesMut::with_capacity(ROOM / 4);
            match reading.read_buf(&mut chunk).await {
                Ok(1..) if sender.send(Ok(Frame::data(chunk.freeze()))).await.is_ok() => {}
                _ => break,
            }
        }
        drop(sender);
    };
    let down = async {
        while let Some(Ok(frame)) = incoming.frame().await {
            let Ok(data) = frame.into_data() else { break };
            if writing.write_all(&data).await.is_err() {
                break;
            }
        }
        // The other end may be gone already.
        let _ = writing.shutdown().await;
    };
    tokio::join!(up, down);
}
