//! The right to one exchange over one connection.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::{Keep, Kept, Shared, Shelf};
use crate::Stream;
use crate::http1::{self, BoxError, Client};

/// The right to one exchange over one connection; read, it is the body of the response.
#[derive(Debug)]
pub struct Lease<B: Body<Data = Bytes, Error: Into<BoxError>> + 'static> {
    shelf: Rc<Shelf<B>>,
    held: Held<B>,
}

#[derive(Debug)]
enum Held<B> {
    Http1(Option<Box<Kept<B>>>),
    // Boxed: it is the larger and the rarer.
    Http2(Box<Stream2<B>>),
}

/// One stream of an HTTP/2 connection.
#[derive(Debug)]
struct Stream2<B> {
    shared: Shared<B>,
    served: u32,
    incoming: Option<Incoming>,
}

/// Why an exchange over a connection failed.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct SendError {
    /// Whether any of the request may have been sent.
    pub sent: bool,
    /// What happened.
    #[source]
    pub failure: SendFailure,
}

/// What happened to an exchange.
#[derive(Debug, thiserror::Error)]
pub enum SendFailure {
    /// Over HTTP/1.1.
    #[error("{0}")]
    Http1(#[from] http1::Error),
    /// Over HTTP/2.
    #[error("{0}")]
    Http2(#[from] hyper::Error),
}

/// The upstream's side of an upgrade.
pub enum Raw {
    /// A connection, with what was dropped when it ended.
    Connection(Stream, Box<dyn Any>),
    /// A stream of HTTP/2.
    Stream(OnUpgrade),
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection(..) => "Connection",
            Self::Stream(_) => "Stream",
        })
    }
}

impl<B> Lease<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static,
{
    pub(super) fn of_http1(shelf: &Rc<Shelf<B>>, kept: Box<Kept<B>>) -> Self {
        Self { shelf: Rc::clone(shelf), held: Held::Http1(Some(kept)) }
    }

    pub(super) fn of_http2(shelf: &Rc<Shelf<B>>, shared: Shared<B>, served: u32) -> Self {
        Self {
            shelf: Rc::clone(shelf),
            held: Held::Http2(Box::new(Stream2 { shared, served, incoming: None })),
        }
    }

    /// Our end of the connection.
    pub fn local(&self) -> Option<SocketAddr> {
        match &self.held {
            Held::Http1(kept) => kept.as_ref()?.local,
            Held::Http2(stream) => stream.shared.local,
        }
    }

    /// Whether the connection speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.held, Held::Http2(_))
    }

    /// Whether the connection has served before, so that it may have died unnoticed.
    pub fn is_reused(&self) -> bool {
        match &self.held {
            Held::Http1(kept) => kept.as_ref().is_some_and(|kept| kept.served > 0),
            Held::Http2(stream) => stream.served > 0,
        }
    }

    /// The connection itself, where it speaks HTTP/1.1: for requests whose head is only lent.
    pub fn http1(&mut self) -> Option<&mut Client<B>> {
        match &mut self.held {
            Held::Http1(kept) => kept.as_mut().map(|kept| &mut kept.client),
            Held::Http2(_) => None,
        }
    }

    /// Sends one request; the body of the response is read from the lease.
    ///
    /// # Errors
    /// The connection broke, or what it carries.
    pub async fn send(&mut self, request: Request<B>) -> Result<response::Parts, SendError> {
        match &mut self.held {
            Held::Http1(Some(kept)) => {
                let (head, body) = request.into_parts();
                kept.client.start(&head, &[], body);
                let result = poll_fn(|cx| kept.client.poll_head(cx)).await;
                result.map_err(|error| SendError { sent: kept.client.has_sent(), failure: error.into() })
            }
            Held::Http1(None) => Err(SendError { sent: false, failure: http1::Error::Closed.into() }),
            Held::Http2(stream) => match stream.shared.sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    stream.incoming = Some(body);
                    Ok(head)
                }
                Err(mut failed) => {
                    let sent = failed.take_message().is_none();
                    Err(SendError { sent, failure: failed.into_error().into() })
                }
            },
        }
    }

    /// The bytes themselves, after the server has agreed to another protocol.
    pub fn into_raw(mut self, head: &mut response::Parts) -> Option<Raw> {
        match &mut self.held {
            Held::Http1(kept) => {
                let Kept { client, guard, .. } = *kept.take()?;
                Some(Raw::Connection(client.into_stream(), guard))
            }
            Held::Http2(_) => head.extensions.remove().map(Raw::Stream),
        }
    }

    /// Gives the connection back after a whole response, unless it is not to be kept;
    /// dropping a lease instead closes an HTTP/1.1 connection.
    pub fn release(mut self, keep: Keep) {
        let is_done = |served: u32, born: std::time::Instant| {
            keep.requests.is_some_and(|most| served >= most)
                || keep.age.is_some_and(|age| born.elapsed() >= age)
        };
        match &mut self.held {
            Held::Http1(kept) => {
                let Some(mut kept) = kept.take() else { return };
                kept.served = kept.served.saturating_add(1);
                if !is_done(kept.served, kept.born) && kept.client.finish() {
                    self.shelf.put(kept);
                }
            }
            Held::Http2(stream) if is_done(stream.served.saturating_add(1), stream.shared.born) => {
                stream.shared.closing.set(true);
            }
            Held::Http2(_) => {}
        }
    }
}

impl<B> Body for Lease<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static,
{
    type Data = Bytes;
    type Error = SendFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendFailure>>> {
        match &mut self.held {
            Held::Http1(Some(kept)) => kept.client.poll_frame(cx).map_err(Into::into),
            Held::Http2(stream) => match &mut stream.incoming {
                Some(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Into::into),
                None => Poll::Ready(None),
            },
            Held::Http1(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.held {
            Held::Http1(kept) => kept.as_ref().is_none_or(|kept| kept.client.is_end_stream()),
            Held::Http2(stream) => stream.incoming.as_ref().is_none_or(Incoming::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.held {
            Held::Http1(Some(kept)) => kept.client.size_hint(),
            Held::Http2(stream) => {
                stream.incoming.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
            }
            Held::Http1(None) => SizeHint::with_exact(0),
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + 'static> Drop for Lease<B> {
    fn drop(&mut self) {
        if let Held::Http2(stream) = &self.held {
            let shared = &stream.shared;
            shared.streams.set(shared.streams.get().saturating_sub(1));
            shared.since.set(self.shelf.clock.get());
            self.shelf.crowd.freed.notify_one();
            if shared.closing.get() && shared.streams.get() == 0 {
                // The last handle closes the connection.
                let closing = &shared.closing;
                self.shelf.shared.borrow_mut().retain(|other| !Rc::ptr_eq(&other.closing, closing));
            }
        }
    }
}
