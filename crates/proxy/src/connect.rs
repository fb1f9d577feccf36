//! Connections for requests, within what the cluster's breakers allow.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use balance::{Held, HostState, Outcome, Resource};
use net::{ConnectError, DialError, Io, Lease, Opening, Shelf, Way, dial};

use crate::counters::Active;
use crate::pick::Picked;
use crate::reply::{Failure, TIMED_OUT};
use crate::upload::RequestBody;
use crate::view::View;
use crate::worker::Worker;

/// Counts a connection until it has ended.
#[derive(Debug)]
pub(crate) struct Counted {
    host: Arc<HostState>,
    _active: Active,
    _held: Held,
}

impl Counted {
    /// Counts a connection that is being made.
    pub(crate) fn new(view: &View, picked: &Picked, held: Held) -> Self {
        picked.state.connected();
        Self {
            host: Arc::clone(&picked.state),
            _active: Active::begin(&view.counters.connections_active),
            _held: held,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.host.disconnected();
    }
}

/// A connection for one request, and the right to have that request under way: one that is open, or a new one, or,
/// where the cluster may have no more, the first that becomes free.
pub(crate) async fn lease(
    worker: &Worker,
    view: &View,
    picked: &Picked,
    shelf: &Rc<Shelf<RequestBody>>,
) -> Result<(Lease<RequestBody>, Held), Failure> {
    let lease = match shelf.take() {
        Some(lease) => lease,
        // Boxed: most requests find a connection, and should not carry room for making one.
        None => Box::pin(wait(worker, view, picked, shelf)).await?,
    };
    match view.cluster.state.take(Resource::Request, &view.cluster.breakers, || worker.clock()) {
        Some(held) => Ok((lease, held)),
        None => {
            lease.release(view.keep());
            Err(overflow(view))
        }
    }
}

/// Another connection in place of one that had died unnoticed.
pub(crate) async fn again(
    worker: &Worker,
    view: &View,
    picked: &Picked,
    shelf: &Rc<Shelf<RequestBody>>,
) -> Result<Lease<RequestBody>, Failure> {
    let held = view.cluster.state.take_regardless(Resource::Connection);
    open(worker, view, picked, (shelf, held)).await
}

async fn wait(
    worker: &Worker,
    view: &View,
    picked: &Picked,
    shelf: &Rc<Shelf<RequestBody>>,
) -> Result<Lease<RequestBody>, Failure> {
    let (state, limits) = (&view.cluster.state, &view.cluster.breakers);
    let now = || worker.clock();
    let _pending = state.take(Resource::Pending, limits, now).ok_or_else(|| overflow(view))?;
    let mut is_told = false;
    loop {
        let held = match state.take(Resource::Connection, limits, now) {
            // Without any connection nobody would ever be told of a free one.
            None if shelf.connections() == 0 => Some(state.take_regardless(Resource::Connection)),
            held => held,
        };
        if let Some(held) = held {
            return open(worker, view, picked, (shelf, held)).await;
        }
        if !std::mem::replace(&mut is_told, true) {
            view.counters.connection_overflows.increment();
        }
        shelf.freed().await;
        if let Some(lease) = shelf.take() {
            return Ok(lease);
        }
    }
}

fn overflow(view: &View) -> Failure {
    view.counters.overflows.increment();
    Failure::Overflow
}

async fn open(
    worker: &Worker,
    view: &View,
    picked: &Picked,
    (shelf, held): (&Rc<Shelf<RequestBody>>, Held),
) -> Result<Lease<RequestBody>, Failure> {
    let cluster = &view.cluster;
    let opening = Opening {
        limit: cluster.connect_timeout,
        guard: || {
            view.counters.connections.increment();
            Counted::new(view, picked, held)
        },
        streams: cluster.max_streams.and_then(|most| usize::try_from(most).ok()),
        ping: cluster.ping.map(|ping| (ping.interval, ping.timeout)),
        keepalive: view.keepalive(),
    };
    match shelf.open(opening).await {
        Ok(lease) => {
            picked.report(worker, view, Outcome::Connected);
            Ok(lease)
        }
        Err(error) => Err(failed(worker, view, picked, error)),
    }
}

fn failed(worker: &Worker, view: &View, picked: &Picked, error: ConnectError) -> Failure {
    let counters = &view.counters;
    counters.connect_failures.increment();
    picked.state.connect_failed();
    let outcome = match error {
        ConnectError::TimedOut => Outcome::TimedOut,
        ConnectError::Failed(_) | ConnectError::Handshake(_) => Outcome::ConnectFailed,
    };
    picked.report(worker, view, outcome);
    Failure::Connect(match error {
        ConnectError::TimedOut => {
            counters.connect_timeouts.increment();
            Cow::Borrowed(TIMED_OUT)
        }
        ConnectError::Failed(error) => why(view, &error),
        ConnectError::Handshake(error) => Cow::Owned(format!("handshake: {error}")),
    })
}

/// A connection for bytes, within what the cluster's breakers allow.
pub(crate) async fn bytes(
    worker: &Worker,
    view: &View,
    (picked, way): (&Picked, &Way),
) -> Result<(Io, Counted), Failure> {
    let (cluster, counters) = (&view.cluster, &view.counters);
    let held = cluster.state.take(Resource::Connection, &cluster.breakers, || worker.clock());
    let Some(held) = held else {
        counters.connection_overflows.increment();
        return Err(Failure::Overflow);
    };
    counters.connections.increment();
    let keepalive = view.keepalive();
    let connecting = dial(way, keepalive.as_ref());
    let error = match tokio::time::timeout(cluster.connect_timeout, connecting).await {
        Ok(Ok(io)) => {
            picked.report(worker, view, Outcome::ConnectedFinally);
            return Ok((io, Counted::new(view, picked, held)));
        }
        Ok(Err(error)) => ConnectError::Failed(error),
        Err(_) => ConnectError::TimedOut,
    };
    Err(failed(worker, view, picked, error))
}

/// Why no connection was made, in Envoy's words.
fn why(view: &View, error: &DialError) -> Cow<'static, str> {
    match error {
        DialError::Failed(error) => Cow::Owned(format!("delayed connect error: {}", plain(error))),
        DialError::Tls(error) => {
            view.counters.tls_errors.increment();
            Cow::Owned(error.to_string())
        }
    }
}

/// The kernel's words without the number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
