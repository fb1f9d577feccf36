//! A response's body on its way to the client: counted, its connection given back when it has passed.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use balance::ActiveRequest;
use bytes::Bytes;
use filter::ReasonFlag;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use net::Lease;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::account::Entry;
use crate::codec::Busy;
use crate::counters::Active;
use crate::upload::{BoxError, RequestBody};

/// What is sent to a client.
pub(crate) struct ResponseBody {
    kind: Kind,
    entry: Option<Rc<Entry>>,
    busy: Option<Busy>,
}

enum Kind {
    /// Through filters that look at each chunk; the pump keeps the upstream's side.
    Filtered(mpsc::Receiver<Result<Frame<Bytes>, Cut>>),
    Upstream(Download),
    Whole(Bytes),
}

/// An upstream's body, and what it keeps busy.
pub(crate) struct Download {
    pub(crate) incoming: Incoming,
    pub(crate) lease: Option<Lease<RequestBody>>,
    pub(crate) deadline: Option<Pin<Box<Sleep>>>,
    /// How many requests the connection may carry.
    pub(crate) most: Option<u32>,
    pub(crate) _holds: Holds,
}

/// What counts an attempt as going on until it is dropped.
pub(crate) struct Holds {
    pub(crate) _host: ActiveRequest,
    pub(crate) _cluster: Active,
}

/// Why a body was cut off; the client's connection or stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    /// The client broke off.
    #[error("the client broke the request off")]
    Client,
    /// A filter would not let the rest pass.
    #[error("a filter cut the response off")]
    Filter,
    /// It took too long.
    #[error("the response took longer than its route allows")]
    TimedOut,
    /// The upstream broke off.
    #[error("the upstream broke the response off")]
    Upstream,
}

impl ResponseBody {
    /// These bytes.
    pub(crate) fn whole(bytes: Bytes, entry: Rc<Entry>) -> Self {
        Self { kind: Kind::Whole(bytes), entry: Some(entry), busy: None }
    }

    /// What an upstream sends.
    pub(crate) fn upstream(download: Download, entry: Rc<Entry>) -> Self {
        Self { kind: Kind::Upstream(download), entry: Some(entry), busy: None }
    }

    /// What filters let through.
    pub(crate) fn filtered(frames: mpsc::Receiver<Result<Frame<Bytes>, Cut>>, entry: Rc<Entry>) -> Self {
        Self { kind: Kind::Filtered(frames), entry: Some(entry), busy: None }
    }

    /// Keeps the client's connection busy until the body is gone.
    pub(crate) fn keep(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.kind {
            Kind::Filtered(frames) => frames.poll_recv(cx),
            Kind::Upstream(download) => download.poll(cx),
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, Cut>>) {
        let Some(entry) = &self.entry else { return };
        match frame {
            Some(Ok(frame)) => entry.record.borrow_mut().passed(frame),
            Some(Err(cut)) => entry.record.borrow_mut().cut(*cut),
            None => entry.record.borrow_mut().complete = true,
        }
    }
}

impl Download {
    /// The next frame; the connection is given back with the last.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            if frame.is_none() || self.incoming.is_end_stream() {
                self.release();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut::Upstream)));
        }
        if let Some(deadline) = &mut self.deadline {
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Cut::TimedOut)));
        }
        Poll::Pending
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release(self.most);
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A response without a body, or one whose last frame was read, leaves a connection that can serve on.
        if self.incoming.is_end_stream() {
            self.release();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.poll_kind(cx));
        self.note(frame.as_ref());
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Filtered(_) => false,
            Kind::Upstream(download) => download.incoming.is_end_stream(),
            Kind::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Filtered(_) => SizeHint::default(),
            Kind::Upstream(download) => download.incoming.size_hint(),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.note(None);
        }
    }
}

impl Cut {
    /// The flag that tells it.
    pub(crate) fn flag(self) -> ReasonFlag {
        match self {
            Self::Client | Self::Filter => ReasonFlag::DownstreamConnectionTermination,
            Self::TimedOut => ReasonFlag::UpstreamRequestTimeout,
            Self::Upstream => ReasonFlag::UpstreamConnectionTermination,
        }
    }
}
