//! Runs a list of filters over one exchange without a socket.

mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::{Ask, Filter, LocalReply, Phases};

pub use run::ChainRun;

/// A route's filters in order, and the union of their phases.
///
/// A clone is one reference count; an empty chain is a null pointer and every run of it returns at once.
#[derive(Clone, Debug, Default)]
pub struct Chain(Option<Arc<Links>>);

#[derive(Debug)]
struct Links {
    filters: Box<[Link]>,
    phases: Phases,
}

#[derive(Debug)]
struct Link {
    filter: Arc<dyn Filter>,
    /// Asked once, since it may not change.
    phases: Phases,
}

impl Chain {
    /// A chain of filters in the order in which they see the request.
    pub fn new(filters: impl IntoIterator<Item = Arc<dyn Filter>>) -> Self {
        let filters: Box<[Link]> =
            filters.into_iter().map(|filter| Link { phases: filter.phases(), filter }).collect();
        if filters.is_empty() {
            return Self(None);
        }
        let phases = filters.iter().fold(Phases::none(), |all, link| all.and(link.phases));
        Self(Some(Arc::new(Links { filters, phases })))
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Every phase some filter wants to see.
    pub fn phases(&self) -> Phases {
        self.0.as_ref().map_or(Phases::none(), |links| links.phases)
    }

    /// The names of the filters, in the request's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.links().iter().map(|link| link.filter.name())
    }

    /// Starts a run for one exchange; allocates only where a filter opens a session.
    pub fn open(&self, limits: Limits) -> ChainRun {
        ChainRun::new(self.clone(), limits)
    }

    fn links(&self) -> &[Link] {
        self.0.as_ref().map_or(&[], |links| &links.filters)
    }
}

/// How many bytes the filters of one exchange may hold back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the request's body.
    pub request: usize,
    /// Of the response's body.
    pub response: usize,
}

impl Default for Limits {
    /// Envoy's default of a connection's buffer: 1 MiB each.
    fn default() -> Self {
        Self { request: 1 << 20, response: 1 << 20 }
    }
}

/// One of the two directions of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client to the upstream.
    Request,
    /// From the upstream, or from ourselves, to the client.
    Response,
}

/// What the owner of the sockets must do next.
#[derive(Debug)]
pub enum Step {
    /// Reset the stream: the response has begun, so that no reply can be made any more. Says why.
    Abort(&'static str),
    /// Ask the world, then call [`ChainRun::answered`] for the same side; give that side nothing meanwhile.
    Ask(Ask),
    /// Send these bytes on, which may be none; before them the head, if it was held back.
    Body(Bytes),
    /// The phase is over: go on with the head, or with the attempt.
    Continue,
    /// Send nothing yet; give the next chunk (an exchange without a body has one empty last chunk).
    Hold,
    /// Answer the client now; the flag has been raised already.
    Reply(LocalReply),
    /// Send these trailers on.
    Trailers(HeaderMap),
}
