//! The admin interface, readiness and metrics: small HTTP servers on the control thread.

mod certs;
mod clusters;
mod config_dump;
mod listeners;
mod logging;
mod server;
mod server_info;
mod stats;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use base::Address;
use http::{Method, StatusCode};
use plan::Direction;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::shared::Shared;
use crate::state::Stage;
use crate::worker::Command;

use server::{Asked, Face, Reply};

/// Starts the three servers; their addresses, as really bound.
pub(crate) async fn start(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> anyhow::Result<[SocketAddr; 3]> {
    let mut bound = [shared.bootstrap.admin, shared.bootstrap.readiness, shared.bootstrap.metrics];
    let faces: [Face; 3] = [admin, readiness, metrics];
    for (address, (name, face)) in
        bound.iter_mut().zip(["admin", "readiness", "metrics"].into_iter().zip(faces))
    {
        let listener =
            TcpListener::bind(*address).await.with_context(|| format!("{name}: cannot bind {address}"))?;
        *address = listener.local_addr().with_context(|| format!("{name}: {address}"))?;
        tasks.spawn(server::serve(listener, Arc::clone(shared), face));
    }
    Ok(bound)
}

/// The paths of the admin interface and what they tell.
const PATHS: [(&str, &str); 13] = [
    ("/", "this page"),
    ("/certs", "the certificates in use and how long they last"),
    ("/clusters", "every cluster and its endpoints; ?format=json"),
    ("/config_dump", "what the control plane said; ?include_eds, ?resource=FIELD, ?mask is not supported"),
    ("/drain_listeners", "accepts no more connections and lets those there are finish; ?inboundonly (POST)"),
    ("/healthcheck/ok", "not supported: a proxy is drained by SIGTERM"),
    ("/listeners", "the addresses listened on; ?format=json"),
    ("/logging", "what is logged; ?level=LEVEL, ?NAME=LEVEL, ?paths=NAME:LEVEL,… change it (POST)"),
    ("/quitquitquit", "drains and ends the process (POST)"),
    ("/ready", "LIVE once it serves, else 503"),
    ("/server_info", "version, state, node"),
    ("/stats", "Envoy's own statistics; ?filter=REGEX, ?format=json|prometheus, ?usedonly"),
    ("/stats/prometheus", "those and Istio's standard metrics"),
];

fn admin(shared: &Shared, asked: &Asked) -> Reply {
    let is_post = matches!(asked.path.as_str(), "/drain_listeners" | "/logging" | "/quitquitquit");
    if !matches!((&asked.method, is_post), (&Method::POST, true) | (&Method::GET | &Method::HEAD, false)) {
        return Reply::text(StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed here\n");
    }
    match asked.path.as_str() {
        "/" | "/help" => Reply::text(StatusCode::OK, help()),
        "/certs" => certs::reply(shared),
        "/clusters" => clusters::reply(shared, asked),
        "/config_dump" => config_dump::reply(shared, asked),
        "/drain_listeners" => {
            drain_listeners(shared, asked.parameter("inboundonly").is_some());
            Reply::text(StatusCode::OK, "OK\n")
        }
        "/listeners" => listeners::reply(shared, asked),
        "/logging" => logging::reply(asked),
        "/quitquitquit" => {
            shared.quit.notify_one();
            Reply::text(StatusCode::OK, "OK\n")
        }
        "/ready" => ready(shared),
        "/server_info" => server_info::reply(shared),
        "/stats" => stats::reply(shared, asked),
        "/stats/prometheus" => stats::prometheus(shared),
        other => Reply::text(StatusCode::NOT_FOUND, format!("{other} is not known\n\n{}", help())),
    }
}

/// Closes listening sockets on every worker.
fn drain_listeners(shared: &Shared, inbound_only: bool) {
    let serving = shared.serving.load();
    let listeners = serving.listeners().filter(|l| !inbound_only || l.direction == Direction::Inbound);
    let addresses: Arc<[Address]> = listeners.flat_map(|l| l.addresses.iter().cloned()).collect();
    if !inbound_only {
        shared.state.close();
    }
    for worker in &shared.workers {
        if worker.try_send(Command::Close(Arc::clone(&addresses))).is_err() {
            tracing::warn!("a worker does not hear that its listeners are to be drained");
        }
    }
}

fn readiness(shared: &Shared, asked: &Asked) -> Reply {
    match asked.path.as_str() {
        // An Envoy closes the listener of these with all others.
        "/healthz/ready" | "/ready" if shared.state.is_closed() => {
            Reply::text(StatusCode::SERVICE_UNAVAILABLE, "its listeners are drained\n")
        }
        "/healthz/ready" | "/ready" => ready(shared),
        _ => Reply::text(StatusCode::NOT_FOUND, "only /healthz/ready is here\n"),
    }
}

fn metrics(shared: &Shared, asked: &Asked) -> Reply {
    match asked.path.as_str() {
        "/stats/prometheus" | "/metrics" => stats::prometheus(shared),
        _ => Reply::text(StatusCode::NOT_FOUND, "only /stats/prometheus is here\n"),
    }
}

fn ready(shared: &Shared) -> Reply {
    let stage = shared.state.stage();
    let status = if stage == Stage::Live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Reply::text(status, format!("{}\n", stage.name()))
}

fn help() -> String {
    PATHS.iter().map(|(path, what)| format!("  {path}: {what}\n")).collect::<String>()
}
