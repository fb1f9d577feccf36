//! One stream: waits for whatever happens next, lets the session decide, hands out its responses.
//!
//! The stream drives itself while it is polled, so nothing is read while the proxy does not take what it is sent.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::Stream;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};
use tonic::Status;

use super::requests::Requests;
use super::{Caller, Peer};
use crate::core::ledger::Library;
use crate::core::talk::Talk;
use crate::core::{Request, Response};
use crate::{Connection, Connections, Feed, Supply, TypeUrl};

/// How long a proxy may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// How long routes wait for the clusters they name: Envoy acknowledges these once they are warm.
const HOLD: Duration = Duration::from_secs(3);

/// A stream whose proxy has not said who it is.
pub(super) struct Stranger {
    pub(super) peer: Peer,
    pub(super) supply: Arc<dyn Supply>,
    pub(super) connections: Connections,
    pub(super) library: Library,
    pub(super) closed: watch::Receiver<bool>,
    pub(super) requests: Requests,
}

/// The responses to one stream of requests, until either side ends it.
pub(super) fn responses(stranger: Stranger) -> impl Stream<Item = Result<Response, Status>> + Send {
    stream::unfold(State::Strange(Box::new(stranger)), |state| async {
        let mut served = match state {
            State::Over => return None,
            State::Known(served) => served,
            State::Strange(stranger) => match stranger.meet().await {
                Ok(Some(served)) => Box::new(served),
                Ok(None) => return None,
                Err(status) => return Some((Err(status), State::Over)),
            },
        };
        match served.next().await {
            Ok(Some(response)) => Some((Ok(response), State::Known(served))),
            Ok(None) => None,
            Err(status) => Some((Err(status), State::Over)),
        }
    })
}

enum State {
    Known(Box<Served>),
    Over,
    Strange(Box<Stranger>),
}

impl Stranger {
    /// Waits for the first request, which says who the proxy is, and opens its feed.
    async fn meet(mut self) -> Result<Option<Served>, Status> {
        let first = tokio::select! {
            () = over(&mut self.closed) => return Err(closing()),
            first = timeout(INTRODUCTION, self.requests.next()) => first,
        };
        let first = first.map_err(|_| Status::deadline_exceeded("no request came"))?;
        let Some(first) = first? else { return Ok(None) };
        let Some(node) = first.node() else {
            return Err(Status::invalid_argument("the first request does not say which node it is from"));
        };
        let id = self.connections.name(node);
        let caller = Caller { connection: &id, node, peer: self.peer };
        let mut feed = self.supply.open(&caller).inspect_err(|reason| {
            tracing::warn!(node = node.id, peer = %self.peer, %reason, "proxy turned away");
        })?;

        let entry = Connection {
            node: Arc::new(node.clone()),
            peer: self.peer,
            since: SystemTime::now(),
            settled: 0,
            types: BTreeMap::new(),
            id,
        };
        tracing::info!(node = node.id, peer = %entry.peer, connection = entry.id, "proxy connected");
        let mut changes = feed.changed();
        changes.mark_unchanged();
        feed.prepare().await;
        let mut served = Served {
            talk: Talk::new(feed.refresh(), self.library),
            requests: self.requests,
            feed,
            changes,
            ready: VecDeque::new(),
            hold: None,
            sent_at: BTreeMap::new(),
            entry,
            connections: self.connections,
            closed: self.closed,
        };
        served.take(&first)?;
        Ok(Some(served))
    }
}

/// A stream whose proxy is known.
struct Served {
    requests: Requests,
    feed: Box<dyn Feed>,
    talk: Talk,
    changes: watch::Receiver<u64>,
    ready: VecDeque<Response>,
    /// Runs while something waits for other types.
    hold: Option<Pin<Box<Sleep>>>,
    sent_at: BTreeMap<TypeUrl, SystemTime>,
    entry: Connection,
    connections: Connections,
    closed: watch::Receiver<bool>,
}

impl Served {
    /// The next response; `None` when the proxy has ended the stream.
    async fn next(&mut self) -> Result<Option<Response>, Status> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Ok(Some(response));
            }
            let hold = async {
                match &mut self.hold {
                    Some(hold) => hold.await,
                    None => std::future::pending().await,
                }
            };
            // Every branch is cancel-safe: what is not taken stays where it is.
            tokio::select! {
                () = over(&mut self.closed) => return Err(closing()),
                request = self.requests.next() => match request? {
                    Some(request) => self.take(&request)?,
                    None => return Ok(None),
                },
                changed = self.changes.changed() => {
                    changed.map_err(|_| closing())?;
                    self.feed.prepare().await;
                    let generation = self.feed.refresh();
                    self.talk.refreshed(generation, self.feed.as_ref());
                    self.advance();
                }
                () = hold => {
                    self.hold = None;
                    self.talk.release();
                    self.advance();
                }
            }
        }
    }

    fn take(&mut self, request: &Request) -> Result<(), Status> {
        if let Some(error) = request.refusal() {
            let (node, types) = (&self.entry.node.id, proto::any::type_name(request.type_url()));
            tracing::warn!(node, types, error = error.message, "proxy refused what it was sent");
        }
        let taken = self.talk.request(request, self.feed.as_mut());
        taken.map_err(|unfit| Status::resource_exhausted(unfit.to_string()))?;
        self.advance();
        Ok(())
    }

    /// Lets the session say what follows from what has just happened.
    fn advance(&mut self) {
        let responses = self.talk.responses(self.feed.as_mut());
        if !responses.is_empty() {
            let now = SystemTime::now();
            self.sent_at.extend(responses.iter().filter_map(Response::ty).map(|ty| (ty, now)));
            self.ready.extend(responses);
        }
        if !self.talk.is_held() {
            self.hold = None;
        } else if self.hold.is_none() {
            self.hold = Some(Box::pin(sleep(HOLD)));
        }
        if let Some(generation) = self.talk.settle() {
            self.entry.settled = generation;
            self.feed.settled(generation);
        }
        self.entry.types = self.talk.status();
        for (ty, status) in &mut self.entry.types {
            status.sent_at = self.sent_at.get(ty).copied();
        }
        self.connections.put(self.entry.clone());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.connections.remove(&self.entry.id);
        tracing::info!(node = self.entry.node.id, connection = self.entry.id, "proxy disconnected");
    }
}

/// Resolves when serving is over.
pub(super) async fn over(closed: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = closed.wait_for(|closed| *closed).await;
}

fn closing() -> Status {
    Status::unavailable("the control plane is closing")
}
