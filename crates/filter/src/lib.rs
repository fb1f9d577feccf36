//! What a filter is: a value that looks at one exchange and says what should happen next.
//!
//! Start at [`Filter`]; [`Chain`] runs a list of them without a socket, and whoever owns the sockets
//! (the proxy's engine, the simulation) does what the chain tells it.
//!
//! Never: opens a socket, reads a clock, or spawns a task. A filter that needs the world returns an
//! [`Ask`] and is answered later, so native, APISIX and scripted filters look alike.

mod chain;
mod exchange;
mod matcher;
mod registry;

pub use chain::{Chain, ChainRun, Limits, Side, Step};
pub use exchange::{Exchange, Facts, LocalReply, Moment, Peer, ReasonFlag, Wanted};
pub use matcher::{HeaderMatch, Share, StringMatch, full_regex, scheme};
pub use registry::{Built, FilterConfig, Make, Registry, kind};

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

/// The phases a filter takes part in; an undeclared phase costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Phases(u16);

impl Phases {
    /// The request's head has arrived; nothing has been sent upstream.
    pub const REQUEST_HEAD: Self = Self(1);
    /// One chunk of the request's body.
    pub const REQUEST_BODY: Self = Self(1 << 1);
    /// The request's trailers.
    pub const REQUEST_TRAILERS: Self = Self(1 << 2);
    /// An endpoint is about to be chosen; runs again on each retry.
    pub const BEFORE_UPSTREAM: Self = Self(1 << 3);
    /// The response's head, be it an upstream's or our own.
    pub const RESPONSE_HEAD: Self = Self(1 << 4);
    /// One chunk of the response's body.
    pub const RESPONSE_BODY: Self = Self(1 << 5);
    /// The response's trailers.
    pub const RESPONSE_TRAILERS: Self = Self(1 << 6);
    /// The exchange is over.
    pub const LOG: Self = Self(1 << 7);

    /// No phase at all.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any phase of `other` is among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A filter: immutable, shared by every request that takes the same route.
///
/// What one request needs to remember lives in the [`Session`] that [`Filter::open`] returns. A filter that
/// returns none is stateless and answers through its own hooks, without an allocation.
pub trait Filter: Send + Sync + Debug {
    /// The filter's name as configured, e.g. `envoy.filters.http.fault`; the reason a local reply names.
    fn name(&self) -> &str;

    /// The phases this filter wants to see.
    fn phases(&self) -> Phases;

    /// What this filter remembers for one exchange; none where it is stateless.
    fn open(&self) -> Option<Box<dyn Session>> {
        None
    }

    /// Stateless only: the request's head.
    fn request_head(&self, _x: &mut Exchange) -> Verdict {
        Verdict::Continue
    }

    /// Stateless only: before each upstream attempt.
    fn before_upstream(&self, _x: &mut Exchange) -> Verdict {
        Verdict::Continue
    }

    /// Stateless only: the response's head.
    fn response_head(&self, _x: &mut Exchange) -> Verdict {
        Verdict::Continue
    }

    /// Stateless only: the end.
    fn log(&self, _x: &Exchange) {}
}

/// What a filter remembers for one exchange, and all its hooks.
pub trait Session: Send {
    /// The request's head.
    fn request_head(&mut self, _x: &mut Exchange) -> Verdict {
        Verdict::Continue
    }

    /// One chunk of the request's body; `end` is true for the last, which may be empty.
    fn request_body(&mut self, _x: &mut Exchange, _chunk: &Bytes, _end: bool) -> BodyVerdict {
        BodyVerdict::Pass
    }

    /// The request's trailers.
    fn request_trailers(&mut self, _x: &mut Exchange, _trailers: &mut HeaderMap) -> Verdict {
        Verdict::Continue
    }

    /// Before each upstream attempt, the first included.
    fn before_upstream(&mut self, _x: &mut Exchange) -> Verdict {
        Verdict::Continue
    }

    /// The response's head.
    fn response_head(&mut self, _x: &mut Exchange) -> Verdict {
        Verdict::Continue
    }

    /// One chunk of the response's body; `end` is true for the last, which may be empty.
    fn response_body(&mut self, _x: &mut Exchange, _chunk: &Bytes, _end: bool) -> BodyVerdict {
        BodyVerdict::Pass
    }

    /// The response's trailers.
    fn response_trailers(&mut self, _x: &mut Exchange, _trailers: &mut HeaderMap) -> Verdict {
        Verdict::Continue
    }

    /// The answer to the ask this session made last, in the phase it made it in.
    fn answered(&mut self, _x: &mut Exchange, _answer: Answer) -> Verdict {
        Verdict::Continue
    }

    /// The answer to an ask made in a body hook; the chunk it was made about is held.
    /// A session that has nothing to say about bodies in particular is asked through [`Session::answered`].
    fn body_answered(&mut self, x: &mut Exchange, answer: Answer) -> BodyVerdict {
        match self.answered(x, answer) {
            Verdict::Ask(ask) => BodyVerdict::Ask(ask),
            Verdict::Continue => BodyVerdict::Pass,
            Verdict::Hold => BodyVerdict::Hold,
            Verdict::Reply(reply) => BodyVerdict::Reply(reply),
        }
    }

    /// The end.
    fn log(&mut self, _x: &Exchange) {}
}

/// What a hook wants to happen next.
#[derive(Debug)]
pub enum Verdict {
    /// Ask the world; [`Session::answered`] gets the reply. One ask at a time per session.
    Ask(Ask),
    /// Go on to the next filter.
    Continue,
    /// Keep the head back until a body hook of this session has let a chunk pass or replaced it.
    Hold,
    /// Answer the client now; nothing (more) goes upstream.
    Reply(LocalReply),
}

/// What a body hook wants to happen to the chunk it saw.
#[derive(Debug)]
pub enum BodyVerdict {
    /// Ask the world; the chunk waits with the rest.
    Ask(Ask),
    /// Keep the chunk back; it counts against the buffer limit, over which the exchange ends (413, 500).
    /// The filter gets no second look: a later [`BodyVerdict::Pass`] sends all that was held as it came, a
    /// [`BodyVerdict::Replace`] sends something else. On the last chunk it is the same as to pass.
    Hold,
    /// Send the chunk on, after all that was held.
    Pass,
    /// Send this in place of the chunk and of all that was held.
    Replace(Bytes),
    /// Answer the client now.
    Reply(LocalReply),
}

/// What a filter may ask of the world.
#[derive(Debug)]
pub enum Ask {
    /// Send one HTTP request to a cluster and return its whole answer.
    Call {
        /// The cluster, by name.
        cluster: String,
        /// The request's head; `:authority` from its URI or `host` header.
        head: Box<http::request::Parts>,
        /// The request's body.
        body: Bytes,
        /// How long to wait.
        timeout: Duration,
    },
    /// Go on after this long.
    Sleep(Duration),
}

/// The world's answer to an [`Ask`].
#[derive(Debug)]
pub enum Answer {
    /// The call failed; the text says how.
    Failed(String),
    /// The cluster's answer, whole.
    Response(Box<http::response::Parts>, Bytes),
    /// The time is over.
    Slept,
}
