//! The admin interface, readiness and metrics: small HTTP servers on the control thread.

mod clusters;
mod config_dump;
mod listeners;
mod server;
mod server_info;
mod stats;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use http::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::machine::Shared;
use crate::state::Stage;

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
const PATHS: [(&str, &str); 10] = [
    ("/", "this page"),
    ("/clusters", "every cluster and its endpoints; ?format=json"),
    ("/config_dump", "what the control plane said; ?include_eds, ?resource=FIELD, ?mask is not supported"),
    ("/healthcheck/ok", "not supported: a proxy is drained by SIGTERM"),
    ("/listeners", "the addresses listened on; ?format=json"),
    ("/quitquitquit", "drains and ends the process (POST)"),
    ("/ready", "LIVE once it serves, else 503"),
    ("/server_info", "version, state, node"),
    ("/stats", "Envoy's own statistics; ?filter=REGEX, ?format=json|prometheus, ?usedonly"),
    ("/stats/prometheus", "those and Istio's standard metrics"),
];

fn admin(shared: &Shared, asked: &Asked) -> Reply {
    let is_post = asked.path == "/quitquitquit";
    if !matches!((&asked.method, is_post), (&Method::POST, true) | (&Method::GET | &Method::HEAD, false)) {
        return Reply::text(StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed here\n");
    }
    match asked.path.as_str() {
        "/" | "/help" => Reply::text(StatusCode::OK, help()),
        "/clusters" => clusters::reply(shared, asked),
        "/config_dump" => config_dump::reply(shared, asked),
        "/listeners" => listeners::reply(shared, asked),
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

fn readiness(shared: &Shared, asked: &Asked) -> Reply {
    match asked.path.as_str() {
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
