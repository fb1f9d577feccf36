//! A body on its way through the filters of its route, in either direction.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use filter::{LocalReply, Side, Step};
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;

use super::asks;
use crate::account::Entry;
use crate::body::Download;
use crate::cut::Cut;
use crate::upload::Incoming;

/// Where the frames come from.
pub(crate) enum Frames {
    /// The client.
    Client(Incoming),
    /// An upstream.
    Upstream(Download),
    /// Ourselves.
    Whole(Bytes),
}

/// What comes out of the filters.
pub(crate) enum Passed {
    /// Nothing more will pass, and what has passed is not all.
    Cut(Cut),
    /// This may be sent on.
    Frame(Frame<Bytes>),
    /// The client is to be answered with this.
    Reply(LocalReply),
}

/// One body under way.
pub(crate) struct Filtering {
    entry: Rc<Entry>,
    side: Side,
    frames: Frames,
    ready: VecDeque<Passed>,
    /// The filters have seen the last chunk.
    ended: bool,
    done: bool,
}

impl Filtering {
    /// Sends a body through the filters of one side.
    pub(crate) fn new(entry: &Rc<Entry>, side: Side, frames: Frames) -> Self {
        Self { entry: Rc::clone(entry), side, frames, ready: VecDeque::new(), ended: false, done: false }
    }

    /// What passes next; none after the end.
    pub(crate) async fn next(&mut self) -> Option<Passed> {
        loop {
            if let Some(passed) = self.ready.pop_front() {
                if !matches!(passed, Passed::Frame(_)) {
                    self.done = true;
                    self.ready.clear();
                }
                return Some(passed);
            }
            if self.done {
                return None;
            }
            match self.frames.next().await {
                None => {
                    self.chunk(Bytes::new(), true).await;
                    self.done = true;
                }
                Some(Err(cut)) => self.ready.push_back(Passed::Cut(cut)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let last = self.frames.is_end();
                        self.chunk(data, last).await;
                        self.done = last;
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.chunk(Bytes::new(), true).await;
                            self.trailers(trailers).await;
                        }
                        self.done = true;
                    }
                },
            }
        }
    }

    async fn chunk(&mut self, bytes: Bytes, end: bool) {
        if std::mem::replace(&mut self.ended, end) {
            return;
        }
        let step = self.entry.step(|run, x| match self.side {
            Side::Request => run.request_body(x, bytes, end),
            Side::Response => run.response_body(x, bytes, end),
        });
        self.take(step).await;
    }

    async fn trailers(&mut self, trailers: HeaderMap) {
        let step = self.entry.step(|run, x| match self.side {
            Side::Request => run.request_trailers(x, trailers),
            Side::Response => run.response_trailers(x, trailers),
        });
        self.take(step).await;
    }

    async fn take(&mut self, step: Step) {
        match asks::settle(&self.entry, self.side, step).await {
            Step::Abort(_) => self.ready.push_back(Passed::Cut(Cut::Filter)),
            Step::Ask(_) | Step::Continue | Step::Hold => {}
            Step::Body(bytes) => self.ready.push_back(Passed::Frame(Frame::data(bytes))),
            Step::Reply(reply) => self.ready.push_back(Passed::Reply(reply)),
            Step::Trailers(trailers) => self.ready.push_back(Passed::Frame(Frame::trailers(trailers))),
        }
    }

    /// Goes on by itself until the end, or until nobody listens any more.
    pub(crate) async fn pump<E>(
        mut self,
        sender: mpsc::Sender<Result<Frame<Bytes>, E>>,
        broken: impl Fn(Passed) -> E,
    ) {
        while let Some(passed) = self.next().await {
            let sent = match passed {
                Passed::Frame(frame) if frame.data_ref().is_some_and(Bytes::is_empty) => continue,
                Passed::Frame(frame) => sender.send(Ok(frame)).await,
                other => sender.send(Err(broken(other))).await,
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

impl Frames {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, Cut>> {
        match self {
            Self::Client(incoming) => {
                let frame = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await;
                frame.map(|frame| frame.map_err(|_| Cut::Client))
            }
            Self::Upstream(download) => poll_fn(|cx| download.poll(cx)).await,
            Self::Whole(bytes) if bytes.is_empty() => None,
            Self::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Client(incoming) => incoming.is_end_stream(),
            Self::Upstream(download) => download.is_end(),
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }
}
