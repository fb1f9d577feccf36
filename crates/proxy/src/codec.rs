//! A client's HTTP connection: which version it is, and each of its requests handed on.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use net::sniff::is_preface;
use net::{Connection, LocalExec, Stream};
use plan::{Codec, HttpManager};
use tokio::time::Sleep;

use crate::body::ResponseBody;
use crate::counters::Active;
use crate::downstream::Client;
use crate::exchange::{self, Hop};

const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;
const H2_STREAMS: u32 = 1024;
/// How long a client that was refused may go on sending what nobody reads.
const LINGER: Duration = Duration::from_secs(1);
/// hyper's own limit on headers, for which it needs no allocation.
const USUAL_HEADERS: u32 = 100;

/// Serves HTTP on one connection until it ends.
pub(crate) async fn serve(
    client: Rc<Client>,
    manager: Arc<HttpManager>,
    mut stream: Stream,
    entered: Connection,
) {
    let counters = client.worker.ledger.counters.manager(&manager.stat_prefix);
    counters.connections.increment();
    let _active = Active::begin(&counters.connections_active);
    let Some(is_http2) = version(&mut stream, &manager).await else { return };
    let result = if is_http2 {
        counters.http2.increment();
        serve_http2(&client, &manager, stream, &entered).await
    } else {
        counters.http1.increment();
        serve_http1(&client, &manager, stream, &entered).await
    };
    if let Err(error) = result
        && (error.is_parse() || error.is_parse_too_large())
    {
        // Answered with 400 or 431 by the codec; no request was seen.
        counters.protocol_errors.increment();
        client.worker.ledger.refused(&client, &error);
    }
}

/// Whether the client speaks HTTP/2; none where it went away, or speaks what is not allowed.
async fn version(stream: &mut Stream, manager: &HttpManager) -> Option<bool> {
    let looking = async {
        loop {
            match is_preface(stream.seen()) {
                Some(is_http2) => return Some(is_http2),
                None if !stream.look().await.unwrap_or(false) => return None,
                None => {}
            }
        }
    };
    let is_http2 = match manager.idle_timeout {
        Some(limit) => tokio::time::timeout(limit, looking).await.ok()??,
        None => looking.await?,
    };
    match (manager.codec, is_http2) {
        (Codec::Http1, true) | (Codec::Http2, false) => None,
        _ => Some(is_http2),
    }
}

async fn serve_http1(
    client: &Rc<Client>,
    manager: &HttpManager,
    stream: Stream,
    entered: &Connection,
) -> hyper::Result<()> {
    let (stream, opaque) = stream.guard_http1();
    let pace = Pace::default();
    let service = service_fn(|request: Request<Incoming>| {
        let hop = Hop { opaque: Some(opaque.clone()), is_last: entered.is_draining() };
        answer(Rc::clone(client), request, hop, pace.begin())
    });
    let mut builder = http1::Builder::new();
    builder.max_header_size(usize::try_from(manager.max_head_bytes).unwrap_or(usize::MAX));
    if manager.max_headers != USUAL_HEADERS {
        builder.max_headers(usize::try_from(manager.max_headers).unwrap_or(usize::MAX));
    }
    if let Some(limit) = manager.head_timeout {
        builder.timer(TokioTimer::new()).header_read_timeout(limit);
    }
    let mut connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let result = drive(Pin::new(&mut connection), client, entered, (&pace, manager)).await;
    if (result.is_err() || client.has_unread())
        && let Some(parts) = connection.into_parts()
    {
        parts.io.into_inner().linger(LINGER).await;
    }
    result
}

async fn serve_http2(
    client: &Rc<Client>,
    manager: &HttpManager,
    stream: Stream,
    entered: &Connection,
) -> hyper::Result<()> {
    let pace = Pace::default();
    let service = {
        let (client, pace) = (Rc::clone(client), pace.clone());
        service_fn(move |request: Request<Incoming>| {
            let hop = Hop { opaque: None, is_last: false };
            answer(Rc::clone(&client), request, hop, pace.begin())
        })
    };
    let connection = http2::Builder::new(LocalExec)
        .timer(TokioTimer::new())
        .max_header_list_size(manager.max_head_bytes)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_concurrent_streams(H2_STREAMS)
        .serve_connection(TokioIo::new(stream), service);
    drive(pin!(connection), client, entered, (&pace, manager)).await
}

/// Answers one request and keeps its connection busy until the response has been sent.
async fn answer(
    client: Rc<Client>,
    request: Request<Incoming>,
    hop: Hop,
    busy: Busy,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut response = exchange::serve(client, request, hop).await;
    response.body_mut().keep(busy);
    Ok(response)
}

/// What hyper's two kinds of connections have in common.
trait Served: Future<Output = hyper::Result<()>> {
    /// Ends the connection with the exchanges it is in.
    fn finish(self: Pin<&mut Self>);
}

impl<S> Served for http1::UpgradeableConnection<TokioIo<Stream>, S>
where
    S: HttpService<Incoming, ResBody = ResponseBody, Error = Infallible>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Served for http2::Connection<TokioIo<Stream>, S, LocalExec>
where
    S: HttpService<Incoming, ResBody = ResponseBody, Error = Infallible>,
    S::Future: 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls a connection to its end; draining, a lost listener and long idleness make it finish.
async fn drive(
    mut connection: Pin<&mut impl Served>,
    client: &Client,
    entered: &Connection,
    (pace, manager): (&Pace, &HttpManager),
) -> hyper::Result<()> {
    let mut idle = manager.idle_timeout.map(|limit| (Timer::new(limit), limit));
    let mut age = manager.max_connection_duration.map(Timer::new);
    let mut finishing = false;
    poll_fn(|cx| {
        if !finishing {
            entered.wake_with(cx.waker());
            let is_idle =
                idle.as_mut().is_some_and(|(timer, limit)| is_idle(timer, *limit, (pace, client), cx));
            let is_old = age.as_mut().is_some_and(|age| age.is_over(cx));
            if is_idle || is_old || entered.is_draining() || client.is_leaving() {
                finishing = true;
                connection.as_mut().finish();
            }
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// How many exchanges a connection is in.
#[derive(Clone, Debug, Default)]
struct Pace(Rc<Cell<u32>>);

impl Pace {
    fn begin(&self) -> Busy {
        self.0.set(self.0.get() + 1);
        Busy(self.clone())
    }
}

/// One exchange under way.
#[derive(Debug)]
pub(crate) struct Busy(Pace);

impl Drop for Busy {
    fn drop(&mut self) {
        let active = &*self.0.0;
        active.set(active.get() - 1);
    }
}

/// A timer that is looked at only when it rings.
struct Timer(Pin<Box<Sleep>>, bool);

impl Timer {
    fn new(limit: Duration) -> Self {
        Self(Box::pin(tokio::time::sleep(limit)), false)
    }

    /// Whether the time is over; else the task is woken when it is.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let asks = !std::mem::replace(&mut self.1, true) || self.0.is_elapsed();
        asks && self.0.as_mut().poll(cx).is_ready()
    }

    /// Rings again after so long.
    fn reset(&mut self, limit: Duration) {
        self.0.as_mut().reset(tokio::time::Instant::now() + limit);
        self.1 = false;
    }
}

/// Whether a connection has been idle for the limit; else the timer rings again when it could be.
fn is_idle(
    timer: &mut Timer,
    limit: Duration,
    (pace, client): (&Pace, &Client),
    cx: &mut Context<'_>,
) -> bool {
    while timer.is_over(cx) {
        let idle = if pace.0.get() > 0 { Duration::ZERO } else { client.idle() };
        if idle >= limit {
            return true;
        }
        timer.reset(limit - idle);
    }
    false
}
