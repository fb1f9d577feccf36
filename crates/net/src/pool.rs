//! Upstream connections of one worker, kept for reuse.
//!
//! One shelf per cluster, endpoint and protocol. HTTP/1.1 connections are taken last-in first-out, so that
//! surplus ones grow old and are swept; HTTP/2 connections are shared.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Mutex;

use crate::{LocalExec, socket};

/// Streams put on one HTTP/2 connection before another is opened.
const STREAMS: usize = 100;
/// How long a connection that ended an exchange may take to become ready for the next.
const SETTLE: Duration = Duration::from_secs(1);
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;

/// Where a connection leads, within its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The endpoint.
    pub address: SocketAddr,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// The address to connect from.
    pub source: Option<IpAddr>,
}

/// What makes a boxed error of a body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    idle: RefCell<Vec<Idle<B>>>,
    shared: RefCell<Vec<Shared<B>>>,
    opening: Mutex<()>,
    retired: Cell<bool>,
}

#[derive(Debug)]
struct Idle<B> {
    sender: http1::SendRequest<B>,
    local: Option<SocketAddr>,
    served: u32,
    since: Instant,
}

#[derive(Debug)]
struct Shared<B> {
    sender: http2::SendRequest<B>,
    local: Option<SocketAddr>,
    streams: Rc<Cell<usize>>,
    since: Rc<Cell<Instant>>,
}

impl<B> Clone for Shared<B> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            local: self.local,
            streams: Rc::clone(&self.streams),
            since: Rc::clone(&self.since),
        }
    }
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kernel refused.
    #[error("{0}")]
    Failed(#[from] io::Error),
    /// The other end did not speak the protocol.
    #[error("{0}")]
    Handshake(#[source] hyper::Error),
    /// It took longer than the cluster allows.
    #[error("connection timeout")]
    TimedOut,
}

/// Why an exchange over a connection failed.
#[derive(Debug)]
pub struct SendError<B> {
    /// The request, if not a byte of it was sent.
    pub unsent: Option<Request<B>>,
    /// What happened.
    pub error: hyper::Error,
}

/// The right to one exchange over one connection.
#[derive(Debug)]
pub struct Lease<B: Body<Data = Bytes, Error: Into<BoxError>> + 'static> {
    shelf: Rc<Shelf<B>>,
    held: Held<B>,
    local: Option<SocketAddr>,
    /// How many requests the connection has had before.
    served: u32,
}

#[derive(Debug)]
enum Held<B> {
    Http1(Option<http1::SendRequest<B>>),
    Http2(Shared<B>),
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
    pub fn shelf(&self, cluster: &str, target: Target) -> Rc<Shelf<B>> {
        let mut clusters = self.clusters.borrow_mut();
        if let Some(shelves) = clusters.get_mut(cluster) {
            return Rc::clone(
                shelves.entry(target).or_insert_with(|| Rc::new(Shelf::new(target, &self.clock))),
            );
        }
        let shelf = Rc::new(Shelf::new(target, &self.clock));
        clusters.entry(cluster.to_owned()).or_default().insert(target, Rc::clone(&shelf));
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
                limit.is_some() || Rc::strong_count(shelf) > 1
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
        }
    }

    /// Where the connections lead.
    pub fn target(&self) -> Target {
        self.target
    }

    /// A connection that is open already, if there is one.
    pub fn take(self: &Rc<Self>) -> Option<Lease<B>> {
        if self.target.http2 {
            let shared = self.shared.borrow();
            let usable = |s: &&Shared<B>| s.streams.get() < STREAMS && !s.sender.is_closed();
            return shared.iter().find(usable).map(|s| self.lease_shared(s.clone(), 1));
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, local, served, .. }) = idle.pop() {
            if !sender.is_closed() {
                let held = Held::Http1(Some(sender));
                return Some(Lease { shelf: Rc::clone(self), held, local, served });
            }
        }
        None
    }

    /// Opens a connection of its own, within `limit`.
    ///
    /// # Errors
    /// The connection was not made in time, or not at all.
    pub async fn open(self: &Rc<Self>, limit: Duration) -> Result<Lease<B>, ConnectError> {
        match tokio::time::timeout(limit, self.connect()).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    async fn connect(self: &Rc<Self>) -> Result<Lease<B>, ConnectError> {
        if !self.target.http2 {
            return self.connect_http1().await;
        }
        // One at a time: whoever waited finds the connection the other opened.
        let _opening = self.opening.lock().await;
        match self.take() {
            Some(lease) => Ok(lease),
            None => self.connect_http2().await,
        }
    }

    async fn connect_http1(self: &Rc<Self>) -> Result<Lease<B>, ConnectError> {
        let stream = socket::connect(self.target.address, self.target.source).await?;
        let local = stream.local_addr().ok();
        let (sender, driver) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(ConnectError::Handshake)?;
        tokio::task::spawn_local(async move {
            // The exchange on the connection is told of an error too.
            let _ = driver.with_upgrades().await;
        });
        Ok(Lease { shelf: Rc::clone(self), held: Held::Http1(Some(sender)), local, served: 0 })
    }

    async fn connect_http2(self: &Rc<Self>) -> Result<Lease<B>, ConnectError> {
        let stream = socket::connect(self.target.address, self.target.source).await?;
        let local = stream.local_addr().ok();
        let (sender, driver) = http2::Builder::new(LocalExec)
            .timer(TokioTimer::new())
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ConnectError::Handshake)?;
        tokio::task::spawn_local(async move {
            let _ = driver.await;
        });
        let shared =
            Shared { sender, local, streams: Rc::default(), since: Rc::new(Cell::new(Instant::now())) };
        let mut all = self.shared.borrow_mut();
        all.retain(|s| !s.sender.is_closed());
        all.push(shared.clone());
        Ok(self.lease_shared(shared, 0))
    }

    fn lease_shared(self: &Rc<Self>, shared: Shared<B>, served: u32) -> Lease<B> {
        shared.streams.set(shared.streams.get() + 1);
        Lease { shelf: Rc::clone(self), local: shared.local, held: Held::Http2(shared), served }
    }

    fn sweep(&self, limit: Option<Duration>) {
        self.retired.set(limit.is_none());
        let limit = limit.unwrap_or_default();
        self.idle.borrow_mut().retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < limit);
        self.shared.borrow_mut().retain(|shared| {
            let old = shared.streams.get() == 0 && shared.since.get().elapsed() >= limit;
            !shared.sender.is_closed() && !old
        });
    }

    fn put(&self, sender: http1::SendRequest<B>, local: Option<SocketAddr>, served: u32) {
        if !self.retired.get() && !sender.is_closed() {
            self.idle.borrow_mut().push(Idle { sender, local, served, since: self.clock.get() });
        }
    }
}

impl<B> Lease<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static,
{
    /// Our end of the connection.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Whether the connection has served before, so that it may have died unnoticed.
    pub fn is_reused(&self) -> bool {
        self.served > 0
    }

    /// Sends one request.
    ///
    /// # Errors
    /// The connection broke; the request comes back if not a byte of it was sent.
    pub async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, SendError<B>> {
        let result = match &mut self.held {
            Held::Http1(Some(sender)) => sender.try_send_request(request).await,
            Held::Http1(None) => unreachable!("a lease is released by value"),
            Held::Http2(shared) => shared.sender.try_send_request(request).await,
        };
        result.map_err(|mut failed| SendError { unsent: failed.take_message(), error: failed.into_error() })
    }

    /// Gives the connection back after a whole response, unless it has served as many requests as `most` allows;
    /// dropping a lease instead closes an HTTP/1.1 connection.
    pub fn release(mut self, most: Option<u32>) {
        let served = self.served.saturating_add(1);
        if most.is_some_and(|most| served >= most) {
            return;
        }
        let Held::Http1(held) = &mut self.held else { return };
        let Some(sender) = held.take() else { return };
        let (shelf, local) = (Rc::clone(&self.shelf), self.local);
        if sender.is_ready() {
            shelf.put(sender, local, served);
        } else if !sender.is_closed() {
            // The connection's own task has still to read the end of the message, or to send the rest of a
            // request that was answered early.
            tokio::task::spawn_local(settle(shelf, sender, local, served));
        }
    }
}

async fn settle<B>(
    shelf: Rc<Shelf<B>>,
    mut sender: http1::SendRequest<B>,
    local: Option<SocketAddr>,
    served: u32,
) where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static,
{
    if let Ok(Ok(())) = tokio::time::timeout(SETTLE, sender.ready()).await {
        shelf.put(sender, local, served);
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + 'static> Drop for Lease<B> {
    fn drop(&mut self) {
        if let Held::Http2(shared) = &self.held {
            shared.streams.set(shared.streams.get().saturating_sub(1));
            shared.since.set(self.shelf.clock.get());
        }
    }
}

#[cfg(test)]
mod tests;
