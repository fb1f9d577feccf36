//! The discovery server: one session of `core` per stream, in a gRPC service.

mod dialect;
mod listener;
mod press;
mod requests;
mod stream;
mod wire;

pub use listener::{Listener, Peer};

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proto::Any;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Status;
use tower::Service;

use crate::core::ledger::{Library, Told};
use crate::{Connections, Node, TypeUrl};
use dialect::Dialect;
use listener::Io;
use press::Press;
use requests::Requests;
use wire::Body;

/// What every answer of gRPC is.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// How often an idle connection is pinged, and how long an answer is waited for.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);

/// How much of a response waits in a connection for its proxy to take it: the rest is not written yet.
const MAX_UNSENT: usize = 64 << 10;

/// How many streams one connection may have: a proxy needs one.
const MAX_STREAMS: u32 = 16;

/// How long open streams have to end once serving is over.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long to rest when no connection can be accepted, which is when descriptors have run out.
const REST: Duration = Duration::from_millis(100);

/// One resource as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The resource's name.
    pub name: Arc<str>,
    /// Its version: equal text means equal bytes, so a digest serves best.
    pub version: Arc<str>,
    /// The encoded message, without the `Any` around it.
    pub value: Bytes,
    told: Told,
}

impl Served {
    /// Makes a resource of a packed message; the type URL is implied by where it is served.
    pub fn new(name: &str, version: &str, any: Any) -> Served {
        let told = Told::version(version);
        Served { name: name.into(), version: version.into(), value: any.value.into(), told }
    }

    /// What a proxy is told that it is sent to.
    pub(crate) fn told(&self) -> Told {
        self.told
    }
}

/// Why a proxy is turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// It is not allowed what it asks for.
    #[error("{0}")]
    Denied(String),
    /// What it says about itself does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// Nobody can be served at this moment; it should come back.
    #[error("{0}")]
    Unavailable(String),
}

/// Who opens a stream.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The stream's own name, unique for the life of the process.
    pub connection: &'a str,
    /// What the proxy says of itself.
    pub node: &'a Node,
    /// Where it connects from.
    pub peer: Peer,
}

/// Where feeds come from: the control plane behind the server.
pub trait Supply: Send + Sync + 'static {
    /// Opens the feed of a proxy that has just connected and said who it is.
    ///
    /// # Errors
    /// The proxy is turned away; the stream ends with the reason.
    fn open(&self, caller: &Caller<'_>) -> Result<Box<dyn Feed>, Turned>;
}

/// What one proxy may have now.
///
/// Between two calls of [`refresh`](Feed::refresh) the answers must not change.
pub trait Feed: Send + 'static {
    /// Everything of a type, for wildcard subscriptions.
    fn all(&mut self, ty: TypeUrl) -> Vec<Arc<Served>>;

    /// One resource by name. `None` means that there is none, which is answered as removed: no name that a
    /// proxy asks for stays without an answer.
    fn named(&mut self, ty: TypeUrl, name: &str) -> Option<Arc<Served>>;

    /// Makes ready what the next [`refresh`](Feed::refresh) takes, where that is too much work for a thread that
    /// carries messages. Dropped half-way it has changed nothing.
    fn prepare(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(ready(()))
    }

    /// Takes the newest generation, as far as it is ready, and says which it is.
    fn refresh(&mut self) -> u64;

    /// The names of a type under which the last [`refresh`](Feed::refresh) may have changed anything; `None` where
    /// that is not known, and everything has to be compared.
    fn differing(&self, ty: TypeUrl) -> Option<Arc<[Arc<str>]>> {
        let _ = ty;
        None
    }

    /// The proxy accepted what it was last sent of a type.
    fn acked(&mut self, ty: TypeUrl) {
        let _ = ty;
    }

    /// The proxy refused what it was last sent of a type; `generation` is what that response was made of.
    fn nacked(&mut self, ty: TypeUrl, generation: u64, error: &str) {
        let _ = (ty, generation, error);
    }

    /// The proxy has listeners and clusters, and has answered everything that `generation` had for it.
    ///
    /// A refusal is an answer: it was told by [`nacked`](Feed::nacked) before.
    fn settled(&mut self, generation: u64) {
        let _ = generation;
    }

    /// Tells when a new generation exists.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// Discovery, served on as many listeners as there are.
///
/// Dropping it cuts every connection off; [`Server::close`] ends them in order.
pub struct Server {
    supply: Arc<dyn Supply>,
    connections: Connections,
    closing: watch::Sender<bool>,
    open: Mutex<JoinSet<()>>,
    library: Library,
    press: Press,
}

impl Server {
    /// A server without a listener; `connections` is kept up to date for whoever wants to show it.
    pub fn new(supply: Arc<dyn Supply>, connections: Connections) -> Server {
        Server {
            supply,
            connections,
            closing: watch::Sender::new(false),
            open: Mutex::default(),
            library: Library::default(),
            press: Press::default(),
        }
    }

    /// Accepts connections on a listener until `end` resolves; those accepted stay open.
    pub async fn listen(&self, listener: impl Into<Listener>, end: impl Future<Output = ()> + Send) {
        let listener = listener.into();
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                accepted = listener.accept() => match accepted {
                    Ok((io, peer)) => self.serve(io, peer),
                    Err(error) => {
                        tracing::warn!(%error, "accepting a discovery connection");
                        tokio::time::sleep(REST).await;
                    }
                },
            }
        }
    }

    /// Ends every stream, and waits a little for them to have ended.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut open = std::mem::take(&mut *self.lock());
        let farewell = async { while open.join_next().await.is_some() {} };
        // Those that take longer are cut off with the set.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    fn serve(&self, io: Box<dyn Io>, peer: Peer) {
        let (supply, connections) = (self.supply.clone(), self.connections.clone());
        let (library, press) = (self.library.clone(), self.press.clone());
        let ads = Ads { supply, connections, library, press, closed: self.closing.subscribe(), peer };
        let mut open = self.lock();
        while open.try_join_next().is_some() {}
        open.spawn(connection(io, ads));
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves discovery on one listener until `shutdown` resolves; open streams are then ended.
///
/// `connections` is kept up to date for whoever wants to show it.
pub async fn serve(
    listener: impl Into<Listener>,
    supply: Arc<dyn Supply>,
    connections: Connections,
    shutdown: impl Future<Output = ()> + Send,
) {
    let server = Server::new(supply, connections);
    server.listen(listener, shutdown).await;
    server.close().await;
}

/// Serves one connection until either side closes it.
async fn connection(io: Box<dyn Io>, ads: Ads) {
    let (peer, mut closed) = (ads.peer, ads.closed.clone());
    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_UNSENT);
    let mut serving = pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(ads)));
    let served = tokio::select! {
        served = &mut serving => served,
        () = stream::over(&mut closed) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "discovery connection broke");
    }
}

/// The service, as one connection sees it.
#[derive(Clone)]
struct Ads {
    supply: Arc<dyn Supply>,
    connections: Connections,
    library: Library,
    press: Press,
    closed: watch::Receiver<bool>,
    peer: Peer,
}

/// The methods of `AggregatedDiscoveryService`. The one tonic would generate owns what it sends.
impl Service<Request<Incoming>> for Ads {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let body = match Dialect::of(request.uri().path()) {
            Some(dialect) => {
                let requests = Requests::new(dialect, request.into_body());
                Body::new(dialect, self.press.clone(), stream::responses(self.stranger(requests)))
            }
            None => Body::refusal(Status::unimplemented("only aggregated discovery is served")),
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, GRPC);
        ready(Ok(response))
    }
}

impl Ads {
    fn stranger(&self, requests: Requests) -> stream::Stranger {
        stream::Stranger {
            peer: self.peer,
            supply: self.supply.clone(),
            connections: self.connections.clone(),
            library: self.library.clone(),
            closed: self.closed.clone(),
            requests,
        }
    }
}

impl From<Turned> for Status {
    fn from(turned: Turned) -> Status {
        let message = turned.to_string();
        match turned {
            Turned::Denied(_) => Status::permission_denied(message),
            Turned::Invalid(_) => Status::invalid_argument(message),
            Turned::Unavailable(_) => Status::unavailable(message),
        }
    }
}

#[cfg(test)]
mod tests;
