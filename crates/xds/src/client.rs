//! The discovery client: keeps one delta ADS stream open, for ever, and hands over what arrives.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base::Discovery;
use hyper_util::rt::TokioIo;
use proto::Any;
use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::core::backoff::Backoff;
use crate::core::client::Client;
use crate::{Node, TypeUrl, unix};

/// How large one response may be: all clusters of a large mesh come in one.
const MAX_RESPONSE: usize = 256 << 20;

/// How long connecting may take, and how long an unanswered ping is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much the control plane may send ahead: what it says is wanted whole, and at once.
const WINDOW: u32 = 16 << 20;

/// How much of that may be one frame.
const FRAME: u32 = 64 << 10;

/// How often an idle connection is pinged.
const PING: Duration = Duration::from_secs(30);

/// How long a stream must last for its end not to count as a failure.
const STEADY: Duration = Duration::from_secs(5);

/// How many requests may wait to be written; more come only of a server that does not read.
const MAX_WAITING: usize = 1024;

/// One resource that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// The resource's name.
    pub name: String,
    /// The packed message, of the update's type.
    pub any: Any,
    /// The version the server gave it.
    pub version: String,
}

/// One response: resources of one type that appeared, changed or went.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The type.
    pub ty: TypeUrl,
    /// What appeared or changed.
    pub added: Vec<Added>,
    /// What went, or was asked for and does not exist.
    pub removed: Vec<String>,
}

/// A resource that cannot be accepted; what was in force under its name stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The resource's name.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
}

/// Whoever lives by what discovery says.
pub trait Accept: Send + 'static {
    /// Puts an update in force, except for what it returns; resolves when it *is* in force, since the
    /// acknowledgement leaves then.
    fn apply(&mut self, update: Update) -> impl Future<Output = Vec<Reject>> + Send;

    /// The names to subscribe to: for endpoints, routes and secrets those now referred to. Not asked for wildcard
    /// types. While they are the same names, the same set costs nothing.
    fn wanted(&self, ty: TypeUrl) -> Arc<BTreeSet<String>>;

    /// Resolves when [`wanted`](Accept::wanted) may say something new though nothing was applied: somebody needs a
    /// name now. Dropped unresolved, it must resolve the next time.
    fn stirred(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The stream to the control plane opened or broke.
    fn connected(&mut self, connected: bool);
}

/// Follows a control plane until `shutdown` resolves; never ends because of an error.
///
/// A broken stream is opened anew at once, then after random pauses that grow from 100 ms to 10 s; `seed` makes
/// proxies that lose the same control plane come back at different moments.
pub async fn follow<A: Accept>(
    discovery: impl Into<Discovery> + Send,
    node: Node,
    seed: u64,
    accept: A,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut follower = Follower { client: Client::new(node), accept, discovery: discovery.into() };
    let following = follower.follow(Backoff::new(seed));
    tokio::select! {
        () = shutdown => {}
        () = following => {}
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("connecting")]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane does not read what it is sent")]
    Deaf,
    #[error("the control plane ended the stream")]
    Ended,
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<tonic::Status>),
    #[error("the control plane does not answer")]
    Silent,
}

impl From<tonic::Status> for Broken {
    fn from(status: tonic::Status) -> Broken {
        Broken::Status(Box::new(status))
    }
}

struct Follower<A> {
    client: Client,
    accept: A,
    discovery: Discovery,
}

impl<A: Accept> Follower<A> {
    async fn follow(&mut self, mut backoff: Backoff) {
        loop {
            let start = Instant::now();
            let mut connected = false;
            let Err(broken) = self.stream(&mut connected).await;
            if connected {
                self.accept.connected(false);
            }
            if connected && start.elapsed() >= STEADY {
                backoff.reset();
            }
            let pause = backoff.pause();
            let reason = match &broken {
                Broken::Connect(cause) => format!("{broken}: {}", root(cause)),
                broken => broken.to_string(),
            };
            tracing::info!(control_plane = %self.discovery, reason, ?pause, "discovery stream broke");
            sleep(pause).await;
        }
    }

    /// Opens one stream and lives on it until it breaks.
    async fn stream(&mut self, connected: &mut bool) -> Result<std::convert::Infallible, Broken> {
        let channel = dial(&self.discovery).await?;
        let mut ads = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE);

        let accept = &self.accept;
        let mut waiting = VecDeque::from(self.client.open(|ty| accept.wanted(ty)));
        let (requests, outgoing) = mpsc::channel(1);
        let mut opening = pin!(ads.delta_aggregated_resources(ReceiverStream::new(outgoing)));
        // Some servers send no headers before they have read a request.
        let opened = async {
            loop {
                tokio::select! {
                    opened = &mut opening => return opened,
                    () = write(&requests, &mut waiting) => {}
                }
            }
        };
        let opened = tokio::time::timeout(PATIENCE, opened).await.map_err(|_| Broken::Silent)??;
        let mut responses = opened.into_inner();
        *connected = true;
        self.accept.connected(true);
        tracing::info!(control_plane = %self.discovery, "discovery stream opened");

        loop {
            tokio::select! {
                response = responses.message() => {
                    let response = response?.ok_or(Broken::Ended)?;
                    let rejects = match self.client.hear(response) {
                        Some(update) => self.accept.apply(update).await,
                        None => Vec::new(),
                    };
                    let accept = &self.accept;
                    let requests = self.client.answer(rejects, |ty| accept.wanted(ty));
                    for refusal in requests.iter().filter_map(|request| request.error_detail.as_ref()) {
                        tracing::warn!(reason = refusal.message, "discovery response refused");
                    }
                    waiting.extend(requests);
                }
                () = write(&requests, &mut waiting) => {}
                () = self.accept.stirred() => {
                    let accept = &self.accept;
                    waiting.extend(self.client.subscribe(|ty| accept.wanted(ty)));
                }
            }
            if waiting.len() > MAX_WAITING {
                return Err(Broken::Deaf);
            }
        }
    }
}

/// Connects to a control plane.
async fn dial(discovery: &Discovery) -> Result<Channel, tonic::transport::Error> {
    let origin = match discovery {
        Discovery::Tcp(address) => format!("http://{address}"),
        // Nobody looks the name up: the path says where it is.
        Discovery::Unix(_) => "http://ads".to_owned(),
    };
    let endpoint = Endpoint::from_shared(origin)?
        .connect_timeout(PATIENCE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PATIENCE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME);
    match discovery {
        Discovery::Tcp(_) => endpoint.connect().await,
        Discovery::Unix(path) => {
            let path = path.clone();
            let connector = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { unix::connect(&path).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await
        }
    }
}

/// Writes the next request when there is room for it; never resolves when there is none to write. Dropped half-way
/// it has taken nothing.
async fn write(
    requests: &mpsc::Sender<DeltaDiscoveryRequest>,
    waiting: &mut VecDeque<DeltaDiscoveryRequest>,
) {
    if waiting.is_empty() {
        return std::future::pending().await;
    }
    match requests.reserve().await {
        Ok(room) => {
            if let Some(request) = waiting.pop_front() {
                room.send(request);
            }
        }
        // The stream is gone; reading it says why.
        Err(_) => std::future::pending().await,
    }
}

/// The innermost cause, which names what the system said.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
