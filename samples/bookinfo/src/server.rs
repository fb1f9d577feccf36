//! The HTTP/1.1 server all four services run on.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Role;
use crate::reply::{self, Reply};

/// How long requests already begun may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The largest request body that is read.
const BODY_LIMIT: usize = 64 * 1024;

/// Resolves once the server should stop.
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Stops on SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signal() -> std::io::Result<Self> {
        let (tell, told) = watch::channel(false);
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            let _ = tell.send(true);
            // Held until the receivers are gone, lest a closed channel and a stop look different.
            tell.closed().await;
        });
        Ok(Self(told))
    }

    /// Stops when the sender says `true` or goes away.
    pub fn on(told: watch::Receiver<bool>) -> Self {
        Self(told)
    }

    async fn told(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Serves a role until told to stop, then lets requests already begun finish within a grace period.
pub async fn serve(listener: TcpListener, role: Arc<Role>, mut stop: Stop) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.told() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&role), Stop(stop.0.clone())));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of descriptors: the only thing that helps is that a connection ends.
                    connections.join_next().await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("stopping with requests still open");
    }
}

async fn connection(stream: TcpStream, role: Arc<Role>, mut stop: Stop) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let role = Arc::clone(&role);
        async move { Ok::<_, std::convert::Infallible>(answer(&role, request).await) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.told() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(role: &Role, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => role.answer(&Request::from_parts(head, body.to_bytes())).await,
        Err(_) => reply::refusal(StatusCode::BAD_REQUEST, "the request body cannot be read"),
    }
}

/// A request without a body, for tests of the services.
#[cfg(test)]
pub(crate) fn get(path: &str) -> Request<bytes::Bytes> {
    Request::builder().uri(path).body(bytes::Bytes::new()).expect("invariant: the test's path is a URI")
}
