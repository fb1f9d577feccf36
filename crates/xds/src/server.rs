//! The discovery server: one session of `core::server` per stream, in a gRPC service.

mod stream;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proto::Any;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use crate::{Connections, Node, TypeUrl};

/// How large one request may be: a reconnecting proxy lists every resource it holds.
const MAX_REQUEST: usize = 64 << 20;

/// How often an idle connection is pinged, and how long an answer is waited for.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);

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
}

impl Served {
    /// Makes a resource of a packed message; the type URL is implied by where it is served.
    pub fn new(name: &str, version: &str, any: Any) -> Served {
        Served { name: name.into(), version: version.into(), value: any.value.into() }
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

/// Where feeds come from: the control plane behind the server.
pub trait Supply: Send + Sync + 'static {
    /// Opens the feed of a proxy that has just connected and said who it is.
    ///
    /// # Errors
    /// The proxy is turned away; the stream ends with the reason.
    fn open(&self, connection: &str, node: &Node) -> Result<Box<dyn Feed>, Turned>;
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

    /// Takes the newest generation and says which it is.
    fn refresh(&mut self) -> u64;

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

/// Serves delta ADS on a bound listener until `shutdown` resolves; open streams are then ended.
///
/// `connections` is kept up to date for whoever wants to show it.
pub async fn serve(
    listener: TcpListener,
    supply: Arc<dyn Supply>,
    connections: Connections,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (closing, closed) = watch::channel(false);
    let next = Arc::new(AtomicU64::new(1));
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (supply, connections) = (supply.clone(), connections.clone());
                    let ads = Ads { supply, connections, closed: closed.clone(), next: next.clone(), peer };
                    open.spawn(connection(stream, ads));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a discovery connection");
                    tokio::time::sleep(REST).await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
    // Dropping the sender would close the channel before anyone has seen the word.
    closing.send_replace(true);
    let farewell = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Serves one connection until either side closes it.
async fn connection(stream: TcpStream, ads: Ads) {
    // Small messages must not wait for others to travel with.
    let _ = stream.set_nodelay(true);
    let (peer, mut closed) = (ads.peer, ads.closed.clone());
    let service = AggregatedDiscoveryServiceServer::new(ads).max_decoding_message_size(MAX_REQUEST);
    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(MAX_STREAMS);
    let service = TowerToHyperService::new(service);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
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
struct Ads {
    supply: Arc<dyn Supply>,
    connections: Connections,
    closed: watch::Receiver<bool>,
    next: Arc<AtomicU64>,
    peer: SocketAddr,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream =
        Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
    type DeltaAggregatedResourcesStream =
        Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only delta discovery is served: set api_type DELTA_GRPC"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stranger = stream::Stranger {
            id: format!("{}#{number}", self.peer),
            peer: self.peer,
            supply: self.supply.clone(),
            connections: self.connections.clone(),
            closed: self.closed.clone(),
            requests: request.into_inner(),
        };
        Ok(Response::new(Box::pin(stream::responses(stranger))))
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
