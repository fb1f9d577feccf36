//! Which endpoint takes an attempt.

use std::net::SocketAddr;
use std::sync::Arc;

use balance::{Avoid, HostState};
use http::HeaderValue;
use plan::ClusterKind;
use smallvec::SmallVec;
use telemetry::Workload;

use crate::reply::Failure;
use crate::view::View;
use crate::worker::Worker;

/// An endpoint that takes an attempt.
#[derive(Debug)]
pub(crate) struct Picked {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// What all workers know of it.
    pub(crate) state: Arc<HostState>,
    /// Its place in the cluster's list, where it has one.
    pub(crate) place: Option<usize>,
    /// Its name in `auto_host_rewrite`.
    pub(crate) hostname: Option<Arc<str>>,
    /// The workload behind it.
    pub(crate) workload: Option<Arc<Workload>>,
}

/// The endpoints an exchange has tried.
pub(crate) type Tried = SmallVec<[usize; 4]>;

/// What a choice may depend on beside the cluster.
pub(crate) struct Wish<'a> {
    /// The host the request is for, where a dynamic cluster needs it.
    pub(crate) host: Option<&'a HeaderValue>,
    /// Where the client's connection was going, where something else redirected it here.
    pub(crate) destination: Option<SocketAddr>,
    /// The endpoints to avoid.
    pub(crate) tried: &'a Tried,
    /// How often another one is looked for.
    pub(crate) attempts: u32,
}

/// Chooses an endpoint.
pub(crate) async fn pick(worker: &Worker, view: &View, wish: Wish<'_>) -> Result<Picked, Failure> {
    match &view.cluster.kind {
        ClusterKind::DynamicForward => {
            let (name, port) = wish.host.and_then(split).ok_or(Failure::NoHost)?;
            let addresses = worker
                .names
                .resolve(name)
                .await
                .map_err(|why| Failure::Connect(format!("dns resolution failure: {why}").into()))?;
            let ip = addresses.first().ok_or(Failure::NoHost)?;
            Ok(found(view, SocketAddr::new(*ip, port)))
        }
        ClusterKind::OriginalDst(port) => {
            let mut address = wish.destination.ok_or(Failure::NoHost)?;
            address.set_port(port.unwrap_or(address.port()));
            Ok(found(view, address))
        }
        _ => {
            let avoid = Avoid { hosts: wish.tried, attempts: wish.attempts };
            listed(worker, view, avoid)
        }
    }
}

/// Chooses among the cluster's own endpoints.
pub(crate) fn listed(worker: &Worker, view: &View, avoid: Avoid<'_>) -> Result<Picked, Failure> {
    let endpoints = &view.cluster.endpoints;
    let place = endpoints.table.pick(&mut view.cursor.borrow_mut(), &mut || worker.random(), avoid);
    let chosen = place.and_then(|place| {
        Some((place, endpoints.endpoints.get(place)?, endpoints.table.hosts().get(place)?))
    });
    let Some((place, endpoint, host)) = chosen else {
        view.counters.no_host.increment();
        return Err(Failure::NoHost);
    };
    if endpoint.tls.is_some() {
        // Never in the clear instead.
        return Err(Failure::Connect("the endpoint demands TLS, which this version does not speak".into()));
    }
    if is_full(view) {
        view.counters.overflows.increment();
        return Err(Failure::Overflow);
    }
    Ok(Picked {
        address: host.address,
        state: Arc::clone(&host.state),
        place: Some(place),
        hostname: endpoint.hostname.clone(),
        workload: view.workload(place),
    })
}

/// Whether the cluster has as many requests under way as it may.
fn is_full(view: &View) -> bool {
    let Some(limit) = view.cluster.breakers.requests else { return false };
    let active =
        view.cluster.endpoints.table.hosts().iter().map(|host| u64::from(host.state.active_requests()));
    active.sum::<u64>() >= u64::from(limit)
}

fn found(view: &View, address: SocketAddr) -> Picked {
    Picked { address, state: view.found(address), place: None, hostname: None, workload: None }
}

/// The name and port a request is for.
fn split(host: &HeaderValue) -> Option<(&str, u16)> {
    let host = host.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !port.ends_with(']') => Some((name, port.parse().ok()?)),
        _ => Some((host, 80)),
    }
}
