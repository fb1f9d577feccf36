//! A request's body on its way upstream: counted, and kept for a retry as far as the limit allows.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use net::http1;
use tokio::sync::mpsc;

use crate::silence::Pulse;

/// Any error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// Another attempt has taken the body over.
    #[error("the attempt was given up")]
    GivenUp,
    /// The client broke off or broke the protocol.
    #[error("the client's request body ended early")]
    Client,
    /// Filters will not let the rest pass.
    #[error("a filter ended the exchange")]
    Filter,
}

/// What is sent to an upstream.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// Nothing.
    Empty,
    /// Nothing, of which no length is told.
    Ended,
    /// One reading of an [`Upload`].
    Reading(Reading),
    /// These bytes.
    Whole(Bytes),
}

/// A request's body as its client sends it.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// There is none.
    Empty,
    /// By HTTP/1.
    Http1(http1::Body),
    /// By HTTP/2.
    Http2(hyper::body::Incoming),
}

impl From<hyper::body::Incoming> for Incoming {
    fn from(incoming: hyper::body::Incoming) -> Self {
        if incoming.is_end_stream() { Self::Empty } else { Self::Http2(incoming) }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(|_| Broken::Client),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(|_| Broken::Client),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// Where a request's body comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Straight from the client.
    Client(Incoming),
    /// From the filters that looked at it.
    Filters(mpsc::Receiver<Result<Frame<Bytes>, Broken>>),
}

/// One request's body; each attempt reads it from the start.
#[derive(Clone, Debug)]
pub(crate) struct Upload(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    source: Source,
    length: Option<u64>,
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// How many more bytes may be kept; none once the limit was passed or nothing is to be kept.
    room: Option<usize>,
    reading: u32,
    received: u64,
    ended: Option<Instant>,
    broken: Option<Broken>,
    pulse: Option<Pulse>,
}

/// One attempt's reading of an [`Upload`].
#[derive(Debug)]
pub(crate) struct Reading {
    upload: Upload,
    number: u32,
    next: usize,
    yielded: u64,
    finished: bool,
}

impl Upload {
    /// Takes a body; `keep` bytes of it are kept for a retry, none without a retry.
    pub(crate) fn new(source: Source, keep: Option<usize>) -> Self {
        let length = match &source {
            Source::Client(incoming) => incoming.size_hint().exact(),
            Source::Filters(_) => None,
        };
        Self(Rc::new(RefCell::new(State {
            source,
            length,
            kept: Vec::new(),
            trailers: None,
            room: keep,
            reading: 0,
            received: 0,
            ended: None,
            broken: None,
            pulse: None,
        })))
    }

    /// Starts a reading; the one before it reads no more.
    pub(crate) fn read(&self) -> Reading {
        let mut state = self.0.borrow_mut();
        state.reading += 1;
        Reading { upload: self.clone(), number: state.reading, next: 0, yielded: 0, finished: false }
    }

    /// Tells from now on when something comes.
    pub(crate) fn watch(&self, pulse: Pulse) {
        self.0.borrow_mut().pulse = Some(pulse);
    }

    /// Whether another reading would get all of it.
    pub(crate) fn is_whole(&self) -> bool {
        let state = self.0.borrow();
        state.broken.is_none() && (state.room.is_some() || state.received == 0)
    }

    /// The body, where all of it has come and was kept.
    pub(crate) fn kept(&self) -> Option<Bytes> {
        let state = self.0.borrow();
        let whole = state.ended.is_some() && state.broken.is_none() && state.room.is_some();
        whole.then(|| state.kept.concat().into())
    }

    /// How many bytes came from the client.
    pub(crate) fn received(&self) -> u64 {
        self.0.borrow().received
    }

    /// When the last byte came.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.0.borrow().ended
    }

    /// Why the client's side broke, if it did.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.0.borrow().broken
    }
}

impl State {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.ended.is_some() {
            return Poll::Ready(None);
        }
        if let Some(broken) = self.broken {
            return Poll::Ready(Some(Err(broken)));
        }
        let frame = match &mut self.source {
            Source::Client(incoming) => {
                ready!(Pin::new(incoming).poll_frame(cx))
            }
            Source::Filters(frames) => ready!(frames.poll_recv(cx)),
        };
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
        match &frame {
            None => self.ended = Some(Instant::now()),
            Some(Err(broken)) => self.broken = Some(*broken),
            Some(Ok(frame)) => self.keep(frame),
        }
        if matches!(&self.source, Source::Client(incoming) if incoming.is_end_stream()) {
            self.ended.get_or_insert_with(Instant::now);
        }
        Poll::Ready(frame)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.received += data.len() as u64;
            self.room = self.room.and_then(|room| room.checked_sub(data.len()));
            match self.room {
                Some(_) => self.kept.push(data.clone()),
                None => self.kept.clear(),
            }
        } else if let Some(trailers) = frame.trailers_ref().filter(|_| self.room.is_some()) {
            self.trailers = Some(trailers.clone());
        }
    }
}

impl Reading {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.upload.0.borrow_mut();
        if state.reading != self.number {
            return Poll::Ready(Some(Err(Broken::GivenUp.into())));
        }
        if self.finished {
            return Poll::Ready(None);
        }
        if let Some(kept) = state.kept.get(self.next).cloned() {
            self.next += 1;
            self.yielded += kept.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        if state.ended.is_some() && state.trailers.is_some() {
            self.finished = true;
            return Poll::Ready(state.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(state.poll_source(cx));
        self.next = state.kept.len();
        match &frame {
            Some(Ok(frame)) if frame.is_data() => {
                self.yielded += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            _ => self.finished = true,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end(&self) -> bool {
        let state = self.upload.0.borrow();
        let all = self.next >= state.kept.len() && state.trailers.is_none();
        self.finished || (state.reading == self.number && state.ended.is_some() && all)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty | Self::Ended => Poll::Ready(None),
            Self::Reading(reading) => reading.poll(cx),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Ended => true,
            Self::Reading(reading) => reading.is_end(),
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Ended => SizeHint::default(),
            Self::Reading(reading) => match reading.upload.0.borrow().length {
                Some(length) => SizeHint::with_exact(length.saturating_sub(reading.yielded)),
                None => SizeHint::default(),
            },
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http_body_util::BodyExt;

    use super::*;

    async fn upload(chunks: &[&'static str], keep: Option<usize>) -> Upload {
        let (sender, frames) = mpsc::channel(8);
        for chunk in chunks {
            sender.send(Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))).await.unwrap();
        }
        Upload::new(Source::Filters(frames), keep)
    }

    async fn read(upload: &Upload) -> Result<Bytes, BoxError> {
        RequestBody::Reading(upload.read()).collect().await.map(|body| body.to_bytes())
    }

    #[tokio::test]
    async fn a_second_attempt_reads_the_same_body() {
        let upload = upload(&["ab", "cd"], Some(4)).await;

        let (first, second) = (read(&upload).await.unwrap(), read(&upload).await.unwrap());

        assert_eq!((&*first, &*second), (&b"abcd"[..], &b"abcd"[..]));
        assert!(upload.is_whole() && upload.received() == 4);
    }

    #[tokio::test]
    async fn a_second_attempt_goes_on_where_the_first_had_got_to() {
        let upload = upload(&["ab", "cd"], Some(4)).await;
        let mut first = RequestBody::Reading(upload.read());
        let chunk = first.frame().await.unwrap().unwrap().into_data().unwrap();

        let second = read(&upload).await.unwrap();

        assert_eq!((&*chunk, &*second), (&b"ab"[..], &b"abcd"[..]));
        assert!(first.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_sent_but_once() {
        let upload = upload(&["ab", "cd"], Some(3)).await;

        let first = read(&upload).await.unwrap();

        assert_eq!(&*first, b"abcd");
        assert!(!upload.is_whole());
    }
}
