//! Upstreams: one that answers HTTP, one that records raw bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::Stream;
use net::tls::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::PATIENCE;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Arc<http::request::Parts>,
    pub(crate) body: Bytes,
}

/// An HTTP server that answers by a function and remembers what came.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    names: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Speaks HTTP/1.1 and, by prior knowledge, HTTP/2.
    pub(crate) async fn start(
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::with(None, answer).await
    }

    /// Speaks the same over TLS.
    pub(crate) async fn secured(
        server: Arc<Server>,
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::with(Some(server), answer).await
    }

    async fn with(
        server: Option<Arc<Server>>,
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let names: Arc<Mutex<Vec<String>>> = Arc::default();
        let asked = Arc::clone(&names);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (record, answer) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (record, answer) = (Arc::clone(&record), Arc::clone(&answer));
                let (server, asked) = (server.clone(), Arc::clone(&asked));
                connections.spawn(async move {
                    let mut stream = Stream::new(socket);
                    if let Some(server) = server {
                        let Ok(secured) = server.accept(stream, PATIENCE).await else { return };
                        let name = secured.io().server_name().unwrap_or_default().to_owned();
                        asked.lock().unwrap().push(name);
                        stream = secured;
                    }
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (record, answer) = (Arc::clone(&record), Arc::clone(&answer));
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                            let seen = Seen { head: Arc::new(head), body };
                            record.lock().unwrap().push(seen.clone());
                            Ok::<_, Infallible>(answer(&seen))
                        }
                    });
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, seen, names, task }
    }

    /// The servers that were asked for by TLS, one for each connection.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }

    /// Answers everything with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::start(move |_| Response::new(Full::new(Bytes::from_static(name.as_bytes())))).await
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A PROXY header of version 2 begins with what else ends a head.
const PREAMBLE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A server that records every byte of every connection and answers each with the same bytes.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Raw {
    /// Answers with `reply` as soon as a head has come, then goes on recording.
    pub(crate) async fn start(reply: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let record = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let record = Arc::clone(&record);
                let index = {
                    let mut record = record.lock().unwrap();
                    record.push(Vec::new());
                    record.len() - 1
                };
                serving.spawn(async move {
                    let mut buffer = [0; 4096];
                    let mut answered = false;
                    while let Ok(n @ 1..) = socket.read(&mut buffer).await {
                        let whole = {
                            let mut record = record.lock().unwrap();
                            record[index].extend_from_slice(&buffer[..n]);
                            let told = &record[index];
                            let head = told.strip_prefix(PREAMBLE).unwrap_or(told);
                            head.windows(4).any(|w| w == b"\r\n\r\n")
                        };
                        if whole && !answered && !reply.is_empty() {
                            answered = true;
                            let _ = socket.write_all(reply).await;
                        }
                    }
                });
            }
        });
        Self { address, connections, task }
    }

    /// The bytes of every connection.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.connections.lock().unwrap().clone()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}
