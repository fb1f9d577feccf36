//! Upstream connections of one worker, kept for reuse.
//!
//! One shelf per cluster, endpoint and protocol. HTTP/1.1 connections are taken last-in first-out, so that
//! surplus ones grow old and are swept; HTTP/2 connections are shared.

mod lease;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::TcpKeepalive;
use tokio::sync::{Mutex, Notify};

use crate::LocalExec;
use crate::dial::{DialError, Way, dial};
use crate::http1::{BoxError, Client};
use crate::io::Io;

pub use lease::{Lease, Raw, SendError, SendFailure};

/// Streams put on one HTTP/2 connection before another is opened.
const STREAMS: usize = 100;
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;

/// Where a connection leads, within its cluster, and what is spoken over it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// How it is reached.
    pub way: Way,
    /// The HTTP spoken.
    pub http: Http,
}

/// The HTTP spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Http {
    /// HTTP/1.1.
    V1,
    /// HTTP/2.
    V2,
    /// As TLS agrees: HTTP/2, else HTTP/1.1.
    Agreed,
}

/// What a new connection is given beside its target.
#[derive(Debug)]
pub struct Opening<F> {
    /// How long it may take to be made.
    pub limit: Duration,
    /// Makes what is dropped when the connection has ended; asked when one is about to be made.
    pub guard: F,
    /// How many streams an HTTP/2 connection carries at once.
    pub streams: Option<usize>,
    /// How often an HTTP/2 connection is pinged, and how long it may take to answer.
    pub ping: Option<(Duration, Duration)>,
    /// How the kernel probes it while idle.
    pub keepalive: Option<TcpKeepalive>,
}

impl<F> Opening<F> {
    /// A connection like any other.
    pub fn within(limit: Duration, guard: F) -> Self {
        Self { limit, guard, streams: None, ping: None, keepalive: None }
    }
}

/// How long a connection may be kept for another exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// After so many requests it is closed.
    pub requests: Option<u32>,
    /// At this age it is closed.
    pub age: Option<Duration>,
}

/// All upstream connections of one worker.
#[derive(Debug)]
pub struct Pool<B> {
    /// The time of the last sweep: near enough for the age of idle connections, and costs nothing to read.
    clock: Rc<Cell<Instant>>,
    clusters: RefCell<HashMap<String, Shelves<B>, foldhash::fast::RandomState>>,
}

type Shelves<B> = HashMap<Target, Rc<Shelf<B>>, foldhash::fast::RandomState>;

/// The connections of one target.
#[derive(Debug)]
pub struct Shelf<B> {
    target: Target,
    clock: Rc<Cell<Instant>>,
    idle: RefCell<Vec<Box<Kept<B>>>>,
    shared: RefCell<Vec<Shared<B>>>,
    opening: Mutex<()>,
    retired: Cell<bool>,
    crowd: Rc<Crowd>,
}

/// How many connections a shelf has, used ones and those being made among them.
#[derive(Debug, Default)]
struct Crowd {
    open: Cell<usize>,
    /// Told when one can take a request, or is gone.
    freed: Notify,
}

/// One connection of a crowd, with what is dropped when it ends.
struct Member<G> {
    _guard: G,
    crowd: Rc<Crowd>,
}

impl<G> Member<G> {
    fn enter(crowd: &Rc<Crowd>, guard: G) -> Self {
        crowd.open.set(crowd.open.get() + 1);
        Self { _guard: guard, crowd: Rc::clone(crowd) }
    }
}

impl<G> Drop for Member<G> {
    fn drop(&mut self) {
        self.crowd.open.set(self.crowd.open.get().saturating_sub(1));
        self.crowd.freed.notify_one();
    }
}

/// An HTTP/1.1 connection and what is remembered of it.
struct Kept<B> {
    client: Client<B>,
    local: Option<SocketAddr>,
    /// How many requests it has had.
    served: u32,
    born: Instant,
    /// Since when it is idle.
    since: Instant,
    /// Dropped with it.
    guard: Box<dyn Any>,
}

impl<B> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("local", &self.local)
            .field("served", &self.served)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared<B> {
    sender: http2::SendRequest<B>,
    local: Option<SocketAddr>,
    most: usize,
    served: Rc<Cell<u32>>,
    born: Instant,
    /// Takes no more requests: it is too old, or has served enough.
    closing: Rc<Cell<bool>>,
    streams: Rc<Cell<usize>>,
    since: Rc<Cell<Instant>>,
}

impl<B> Clone for Shared<B> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            local: self.local,
            most: self.most,
            served: Rc::clone(&self.served),
            born: self.born,
            closing: Rc::clone(&self.closing),
            streams: Rc::clone(&self.streams),
            since: Rc::clone(&self.since),
        }
    }
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint cannot be reached, or speaks no TLS.
    #[error("{0}")]
    Failed(#[from] DialError),
    /// The other end did not speak the protocol.
    #[error("{0}")]
    Handshake(#[source] hyper::Error),
    /// It took longer than the cluster allows.
    #[error("connection timeout")]
    TimedOut,
}

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Self { clock: Rc::new(Cell::new(Instant::now())), clusters: RefCell::default() }
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static,
{
    /// The shelf of one target, made at its first use.
    pub fn shelf(&self, cluster: &str, target: &Target) -> Rc<Shelf<B>> {
        let mut clusters = self.clusters.borrow_mut();
        if let Some(shelf) = clusters.get(cluster).and_then(|shelves| shelves.get(target)) {
            return Rc::clone(shelf);
        }
        let shelf = Rc::new(Shelf::new(target.clone(), &self.clock));
        clusters.entry(cluster.to_owned()).or_default().insert(target.clone(), Rc::clone(&shelf));
        shelf
    }

    /// Gives up what nobody wants: connections idle for longer than `keep` allows, all of a target where it
    /// allows nothing.
    pub fn sweep(&self, keep: impl Fn(&str, &Target) -> Option<Duration>) {
        self.clock.set(Instant::now());
        self.clusters.borrow_mut().retain(|cluster, shelves| {
            shelves.retain(|target, shelf| {
                let limit = keep(cluster, target);
                shelf.sweep(limit);
                !shelf.is_empty() || Rc::strong_count(shelf) > 1
            });
            !shelves.is_empty()
        });
    }

    /// How many connections are idle or shared, of all clusters.
    pub fn held(&self) -> usize {
        let clusters = self.clusters.borrow();
        clusters
            .values()
            .flat_map(HashMap::values)
            .map(|s| s.idle.borrow().len() + s.shared.borrow().len())
            .sum()
    }
}

impl<B> Shelf<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static,
{
    fn new(target: Target, clock: &Rc<Cell<Instant>>) -> Self {
        Self {
            target,
            clock: Rc::clone(clock),
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: Mutex::default(),
            retired: Cell::new(false),
            crowd: Rc::default(),
        }
    }

    /// Where the connections lead.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How many connections there are, used ones and those being made among them.
    pub fn connections(&self) -> usize {
        self.crowd.open.get()
    }

    /// Waits until a connection can take a request, or is gone; the first to wait is the first to be told.
    pub async fn freed(&self) {
        self.crowd.freed.notified().await;
    }

    fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.shared.borrow().is_empty()
    }

    /// A connection that is open already, if there is one.
    pub fn take(self: &Rc<Self>) -> Option<Lease<B>> {
        if self.target.http != Http::V1 {
            let shared = self.shared.borrow();
            let usable =
                |s: &&Shared<B>| s.streams.get() < s.most && !s.closing.get() && !s.sender.is_closed();
            if let Some(shared) = shared.iter().find(usable) {
                return Some(self.lease_shared(shared.clone()));
            }
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(mut kept) = idle.pop() {
            if kept.client.is_alive() {
                return Some(Lease::of_http1(self, kept));
            }
        }
        None
    }

    /// Opens a connection of its own, in the time it is given.
    ///
    /// # Errors
    /// The connection was not made in time, or not at all.
    pub async fn open<F, G>(self: &Rc<Self>, opening: Opening<F>) -> Result<Lease<B>, ConnectError>
    where
        F: FnOnce() -> G,
        G: 'static,
    {
        match tokio::time::timeout(opening.limit, self.connect(opening)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    async fn connect<F, G>(self: &Rc<Self>, opening: Opening<F>) -> Result<Lease<B>, ConnectError>
    where
        F: FnOnce() -> G,
        G: 'static,
    {
        let Opening { guard, streams, ping, keepalive, .. } = opening;
        if self.target.http == Http::V1 {
            let guard = Member::enter(&self.crowd, guard());
            let io = dial(&self.target.way, keepalive.as_ref()).await?;
            return Ok(self.connect_http1(io, guard));
        }
        // One at a time: whoever waited finds the connection the other opened.
        let _opening = self.opening.lock().await;
        if let Some(lease) = self.take() {
            return Ok(lease);
        }
        let guard = Member::enter(&self.crowd, guard());
        let io = dial(&self.target.way, keepalive.as_ref()).await?;
        match self.target.http {
            Http::Agreed if io.alpn() != Some(b"h2") => Ok(self.connect_http1(io, guard)),
            _ => self.connect_http2(io, guard, (streams, ping)).await,
        }
    }

    fn connect_http1(self: &Rc<Self>, io: Io, guard: impl Any) -> Lease<B> {
        let now = self.clock.get();
        let local = io.socket().local();
        let (client, guard) = (Client::new(io), Box::new(guard));
        Lease::of_http1(self, Box::new(Kept { client, local, served: 0, born: now, since: now, guard }))
    }

    async fn connect_http2(
        self: &Rc<Self>,
        io: Io,
        guard: impl Any,
        (streams, ping): (Option<usize>, Option<(Duration, Duration)>),
    ) -> Result<Lease<B>, ConnectError> {
        let local = io.socket().local();
        let mut builder = http2::Builder::new(LocalExec);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW);
        if let Some((interval, patience)) = ping {
            builder.keep_alive_interval(interval).keep_alive_timeout(patience).keep_alive_while_idle(true);
        }
        let (sender, driver) = builder.handshake(TokioIo::new(io)).await.map_err(ConnectError::Handshake)?;
        tokio::task::spawn_local(async move {
            let _guard = guard;
            let _ = driver.await;
        });
        let shared = Shared {
            sender,
            local,
            most: streams.unwrap_or(STREAMS).max(1),
            served: Rc::default(),
            born: self.clock.get(),
            closing: Rc::default(),
            streams: Rc::default(),
            since: Rc::new(Cell::new(Instant::now())),
        };
        let mut all = self.shared.borrow_mut();
        all.retain(|s| !s.sender.is_closed());
        all.push(shared.clone());
        Ok(self.lease_shared(shared))
    }

    fn lease_shared(self: &Rc<Self>, shared: Shared<B>) -> Lease<B> {
        shared.streams.set(shared.streams.get() + 1);
        let served = shared.served.get();
        shared.served.set(served.saturating_add(1));
        Lease::of_http2(self, shared, served)
    }

    fn sweep(&self, limit: Option<Duration>) {
        self.retired.set(limit.is_none());
        let limit = limit.unwrap_or_default();
        self.idle.borrow_mut().retain_mut(|idle| idle.since.elapsed() < limit && idle.client.is_alive());
        self.shared.borrow_mut().retain(|shared| {
            let young = !shared.closing.get() && shared.since.get().elapsed() < limit;
            !shared.sender.is_closed() && (young || shared.streams.get() > 0)
        });
    }

    fn put(&self, mut kept: Box<Kept<B>>) {
        if !self.retired.get() {
            kept.since = self.clock.get();
            self.idle.borrow_mut().push(kept);
            self.crowd.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
