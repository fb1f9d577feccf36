//! Which endpoint takes an attempt, and how it is reached.

use std::net::SocketAddr;
use std::sync::Arc;

use balance::{Choice, HostState, Outcome};
use base::Address;
use filter::Wanted;
use net::proxy_protocol::{Header, Version};
use net::{Http, Secure, Way};
use plan::{ClientTls, ClusterKind, ProxyHeader, UpstreamSocket};
use smallvec::SmallVec;
use telemetry::Workload;

use crate::judge::Suspect;
use crate::names;
use crate::reply::Failure;
use crate::view::View;
use crate::worker::Worker;

/// An endpoint that takes an attempt.
#[derive(Debug)]
pub(crate) struct Picked {
    /// Where it is.
    pub(crate) address: Address,
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
#[derive(Debug, Default)]
pub(crate) struct Wish<'a> {
    /// The host the request is for, where a dynamic cluster needs it.
    pub(crate) host: Option<Arc<str>>,
    /// Where the client's connection was going, where something else redirected it here.
    pub(crate) destination: Option<SocketAddr>,
    /// The endpoint a session belongs to.
    pub(crate) session: Option<Wanted>,
    /// What decides among listed endpoints.
    pub(crate) choice: Choice<'a>,
}

/// Chooses an endpoint.
pub(crate) async fn pick(worker: &Worker, view: &View, wish: Wish<'_>) -> Result<Picked, Failure> {
    match &view.cluster.kind {
        ClusterKind::DynamicForward(dns) => {
            let port = if view.is_tls() { 443 } else { 80 };
            let Some((name, port)) = wish.host.as_deref().and_then(|host| split(host, port)) else {
                view.counters.no_host.increment();
                return Err(Failure::NoHost);
            };
            let addresses = Box::pin(worker.names.resolve(name)).await.map_err(Failure::Resolve)?;
            let Some(ip) = names::fit(&addresses, dns.family).first().copied() else {
                return Err(Failure::Resolve(format!("{name} has no address of the family wanted").into()));
            };
            let hostname = Some(Arc::from(name));
            Ok(Picked { hostname, ..found(view, SocketAddr::new(ip, port)) })
        }
        ClusterKind::OriginalDst(rules) => {
            let mut address = wish.destination.ok_or(Failure::NoHost)?;
            address.set_port(rules.port.unwrap_or(address.port()));
            Ok(found(view, address))
        }
        _ => listed(worker, view, &wish),
    }
}

/// Chooses among the cluster's own endpoints.
pub(crate) fn listed(worker: &Worker, view: &View, wish: &Wish<'_>) -> Result<Picked, Failure> {
    let table = view.table(|| worker.clock());
    let wanted = wish.session.as_ref().map(|wanted| (table.named(&wanted.address), wanted.otherwise));
    if let Some((None, Some(status))) = wanted {
        view.counters.no_host.increment();
        return Err(Failure::Gone(status));
    }
    let place = wanted
        .and_then(|(place, _)| place)
        .or_else(|| table.choose(&mut view.cursor.borrow_mut(), &mut || worker.random(), wish.choice));
    let chosen = place.and_then(|place| {
        Some((place, view.cluster.endpoints.endpoints.get(place)?, table.hosts().get(place)?))
    });
    let Some((place, endpoint, host)) = chosen else {
        view.counters.no_host.increment();
        return Err(Failure::NoHost);
    };
    if table.is_in_panic() {
        view.counters.panics.increment();
    }
    Ok(Picked {
        address: host.address.clone(),
        state: Arc::clone(&host.state),
        place: Some(place),
        hostname: endpoint.hostname.clone(),
        workload: view.workload(place),
    })
}

fn found(view: &View, address: SocketAddr) -> Picked {
    Picked {
        address: address.into(),
        state: view.found(address),
        place: None,
        hostname: None,
        workload: None,
    }
}

/// The PROXY header of a version that tells the ends of a connection.
pub(crate) fn header(version: ProxyHeader, (from, to): (&Address, &Address)) -> Header {
    let version = match version {
        ProxyHeader::V1 => Version::V1,
        ProxyHeader::V2 => Version::V2,
    };
    Header { version, ends: from.socket().zip(to.socket()) }
}

/// The server name of a request's host: without its port.
pub(crate) fn server_name(host: &str) -> Arc<str> {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name.into(),
        _ => host.into(),
    }
}

/// The name and port a request is for.
fn split(host: &str, port: u16) -> Option<(&str, u16)> {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !port.ends_with(']') => Some((name, port.parse().ok()?)),
        _ => Some((host, port)),
    }
}

impl Picked {
    /// How it is spoken to below HTTP.
    fn socket<'v>(&self, view: &'v View) -> &'v UpstreamSocket {
        let listed = self.place.and_then(|place| view.cluster.endpoints.endpoints.get(place));
        listed.map_or_else(|| view.cluster.sockets.of(None), |endpoint| &endpoint.socket)
    }

    /// The way to the endpoint, for this kind of HTTP; `host` is whom the request is for, `client` the ends of the
    /// connection it came by.
    ///
    /// # Errors
    /// It must be spoken to by TLS, for which there is no context.
    pub(crate) fn way(
        &self,
        worker: &Worker,
        view: &View,
        http: Option<Http>,
        (host, client): (Option<&Arc<str>>, Option<(&Address, &Address)>),
    ) -> Result<Way, Failure> {
        let mut way =
            Way { source: view.cluster.bind.map(|bind| bind.ip()), ..Way::to(self.address.clone()) };
        let socket = self.socket(view);
        if let (Some(version), Some(ends)) = (socket.proxy_header, client) {
            way.from = Some(header(version, ends));
        }
        if let Some(tls) = &socket.tls {
            way.secure = Some(self.secure(worker, view, tls, (host, http))?);
        }
        Ok(way)
    }

    /// Tells how an attempt at it ended, where somebody judges by it.
    pub(crate) fn report(&self, worker: &Worker, view: &View, outcome: Outcome) {
        let Some(rules) = &view.cluster.outlier else { return };
        for suspicion in self.state.report(outcome, &rules.streaks) {
            let cluster = Arc::clone(&view.cluster.name);
            worker.suspect(Suspect { cluster, address: self.address.clone(), suspicion });
        }
    }

    fn secure(
        &self,
        worker: &Worker,
        view: &View,
        tls: &Arc<ClientTls>,
        (host, http): (Option<&Arc<str>>, Option<Http>),
    ) -> Result<Secure, Failure> {
        let auto = &view.cluster.auto_sni;
        let built = worker.serving().contexts.client(tls, auto.checks_host);
        let client = built.map_err(|why| {
            view.counters.tls_not_ready.increment();
            Failure::Connect(why.to_string().into())
        })?;
        let name = match (auto.sends_host, tls.sends_hostname) {
            (true, _) => host.cloned(),
            (false, true) => self.hostname.clone(),
            (false, false) => None,
        };
        let alpn = http.filter(|_| tls.common.alpn.is_empty()).map(|http| worker.alpn.of(http));
        Ok(Secure { client, name: name.or_else(|| tls.server_name.clone()), alpn })
    }
}
