//! A client's HTTP connection: which version it is, and when it is to end.

mod http1;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use net::sniff::is_preface;
use net::{Connection, LocalExec, Stream};
use plan::{Codec, HttpManager};
use tokio::time::Sleep;

use crate::body::ResponseBody;
use crate::client::Client;
use crate::counters::Active;
use crate::exchange::{self, Hop};
use crate::pace::{Busy, Ending, Pace};

const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;
const H2_STREAMS: u32 = 1024;

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
    if is_http2 {
        counters.http2.increment();
        serve_http2(&client, &manager, stream, &entered).await;
    } else {
        counters.http1.increment();
        if serve_http1(&client, &manager, stream, &entered).await {
            counters.protocol_errors.increment();
        }
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

/// Whether the client broke the protocol.
async fn serve_http1(
    client: &Rc<Client>,
    manager: &HttpManager,
    stream: Stream,
    entered: &Connection,
) -> bool {
    let (pace, ending) = (Pace::default(), Cell::new(Ending::Not));
    let connection = pin!(http1::serve(client, manager, stream, (&pace, &ending)));
    drive(connection, |_, how| ending.set(how), (client, entered), (&pace, manager)).await
}

async fn serve_http2(client: &Rc<Client>, manager: &HttpManager, stream: Stream, entered: &Connection) {
    let pace = Pace::default();
    let service = {
        let (client, pace) = (Rc::clone(client), pace.clone());
        service_fn(move |request| answer(Rc::clone(&client), request, pace.begin()))
    };
    let mut builder = http2::Builder::new(LocalExec);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(manager.max_head_bytes)
        .initial_stream_window_size(manager.stream_window.unwrap_or(H2_STREAM_WINDOW))
        .initial_connection_window_size(manager.connection_window.unwrap_or(H2_CONNECTION_WINDOW))
        .max_concurrent_streams(manager.max_streams.unwrap_or(H2_STREAMS))
        .enable_connect_protocol();
    if let Some(ping) = manager.ping {
        builder.keep_alive_interval(ping.interval).keep_alive_timeout(ping.timeout);
    }
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // A connection that broke has no more requests, and those it was in are told by their own.
    let _ = drive(
        pin!(connection),
        |connection, _| connection.graceful_shutdown(),
        (client, entered),
        (&pace, manager),
    )
    .await;
}

/// Answers one request and keeps its connection busy until the response has been sent.
async fn answer(
    client: Rc<Client>,
    request: Request<hyper::body::Incoming>,
    busy: Busy,
) -> Result<Response<ResponseBody>, Reset> {
    let (head, incoming) = request.into_parts();
    let is_head = head.method == Method::HEAD;
    let mut response = exchange::serve(client, head, incoming.into(), Hop { is_http1: false }).await;
    if is_head {
        response.body_mut().leave_out();
    }
    if response.body().resets() {
        response.body_mut().skip();
        return Err(Reset);
    }
    response.body_mut().keep(busy);
    Ok(response)
}

/// A request that is answered by the end of its stream.
#[derive(Debug, thiserror::Error)]
#[error("the stream is reset")]
struct Reset;

/// Polls a connection to its end; draining, a lost listener and long idleness make it finish.
async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>, Ending),
    (client, entered): (&Client, &Connection),
    (pace, manager): (&Pace, &HttpManager),
) -> C::Output {
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
                finish(connection.as_mut(), if is_idle { Ending::Now } else { Ending::Soon });
            }
        }
        connection.as_mut().poll(cx)
    })
    .await
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
        let idle = if pace.is_busy() { Duration::ZERO } else { client.idle() };
        if idle >= limit {
            return true;
        }
        timer.reset(limit - idle);
    }
    false
}
