//! A response's body on its way to the client: counted, its connection given back when it has passed.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use balance::{ActiveRequest, Held};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use net::{Keep, Lease};
use tokio::sync::mpsc;

use crate::account::Entry;
use crate::counters::Active;
use crate::cut::Cut;
use crate::deadline::Deadline;
use crate::pace::Busy;
use crate::silence::Watch;
use crate::upgrade::Tunnel;
use crate::upload::{BoxError, RequestBody};

/// What is sent to a client.
pub(crate) struct ResponseBody {
    kind: Kind,
    entry: Option<Rc<Entry>>,
    busy: Option<Busy>,
    /// Whether the client's connection ends with it.
    closes: bool,
    /// Whether a stream of HTTP/2 ends without an answer.
    resets: bool,
    /// What the client's connection turns into after the head.
    tunnel: Option<Box<Tunnel>>,
    watch: Option<Watch>,
}

enum Kind {
    /// Through filters that look at each chunk; the pump keeps the upstream's side.
    Filtered(mpsc::Receiver<Result<Frame<Bytes>, Cut>>),
    Upstream(Download),
    Whole(Bytes),
}

/// An upstream's body, and what it keeps busy.
pub(crate) struct Download {
    /// The connection it comes by, until all of it has come.
    pub(crate) lease: Option<Lease<RequestBody>>,
    pub(crate) deadline: Option<Deadline>,
    /// How long the connection is kept.
    pub(crate) keep: Keep,
    pub(crate) _holds: Holds,
}

/// What counts an attempt as going on until it is dropped.
pub(crate) struct Holds {
    pub(crate) _host: ActiveRequest,
    pub(crate) _cluster: Active,
    pub(crate) _request: Held,
}

impl ResponseBody {
    fn new(kind: Kind, entry: Rc<Entry>) -> Self {
        Self { kind, entry: Some(entry), busy: None, closes: false, resets: false, tunnel: None, watch: None }
    }

    /// These bytes.
    pub(crate) fn whole(bytes: Bytes, entry: Rc<Entry>) -> Self {
        Self::new(Kind::Whole(bytes), entry)
    }

    /// What an upstream sends.
    pub(crate) fn upstream(download: Download, entry: Rc<Entry>) -> Self {
        Self::new(Kind::Upstream(download), entry)
    }

    /// What filters let through.
    pub(crate) fn filtered(frames: mpsc::Receiver<Result<Frame<Bytes>, Cut>>, entry: Rc<Entry>) -> Self {
        Self::new(Kind::Filtered(frames), entry)
    }

    /// Keeps the client's connection busy until the body is gone.
    pub(crate) fn keep(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    /// Whether it is none of an upstream's.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Whole(_))
    }

    /// Ends the client's connection with the body.
    pub(crate) fn close(&mut self) {
        self.closes = true;
    }

    /// Whether the client's connection ends with the body.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Ends a stream of HTTP/2 without an answer.
    pub(crate) fn reset(&mut self) {
        self.resets = true;
    }

    /// Whether a stream of HTTP/2 ends without an answer.
    pub(crate) fn resets(&self) -> bool {
        self.resets
    }

    /// Turns the client's connection into something else after the head.
    pub(crate) fn turn_into(&mut self, tunnel: Option<Box<Tunnel>>) {
        self.tunnel = tunnel;
    }

    /// Whether the client's connection turns into something else.
    pub(crate) fn turns(&self) -> bool {
        self.tunnel.is_some()
    }

    /// What the client's connection turns into.
    pub(crate) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// Notes that there is nothing to send, as in answer to a `HEAD` request.
    pub(crate) fn skip(&mut self) {
        self.note(None);
    }

    /// Sends nothing of a body of our own, as in answer to a `HEAD` request.
    pub(crate) fn leave_out(&mut self) {
        if let Kind::Whole(bytes) = &mut self.kind {
            *bytes = Bytes::new();
        }
    }

    /// Cuts the body off where nothing passes for too long.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    /// Whether nothing has passed for too long.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        self.watch.as_mut().is_some_and(|watch| watch.poll(cx).is_ready())
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
        let Some(lease) = &mut self.lease else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(&mut *lease).poll_frame(cx) {
            if frame.is_none() || lease.is_end_stream() {
                self.release();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|failure| Cut::of(&failure))));
        }
        if let Some(deadline) = &mut self.deadline {
            ready!(Pin::new(deadline).poll(cx));
            return Poll::Ready(Some(Err(Cut::TimedOut)));
        }
        Poll::Pending
    }

    /// Whether all of it has come.
    pub(crate) fn is_end(&self) -> bool {
        self.lease.as_ref().is_none_or(Body::is_end_stream)
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release(self.keep);
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A response without a body, or one whose last frame was read, leaves a connection that can serve on.
        if self.is_end() {
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
        let frame = match self.poll_kind(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if self.is_silent(cx) => Some(Err(Cut::Idle)),
            Poll::Pending => return Poll::Pending,
        };
        if let Some(watch) = &self.watch {
            watch.beat();
        }
        self.note(frame.as_ref());
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Filtered(_) => false,
            Kind::Upstream(download) => download.is_end(),
            Kind::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Filtered(_) => SizeHint::default(),
            Kind::Upstream(download) => {
                download.lease.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
            }
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
