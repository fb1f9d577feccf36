//! An accepted connection: where it was going, which listener and filter chain take it, and what they do.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::Address;
use net::hello::{self, Greeting};
use net::proxy_protocol::{self, Preamble, Version};
use net::sniff::{Wire, recognise};
use net::{Connection, Socket, Stream};
use plan::{AcceptsProxy, Listener, ServerTls, Terminal};

use crate::client::{Chosen, Client, Ends, Looked};
use crate::counters::Active;
use crate::secured::Secured;
use crate::worker::{Bound, Worker};
use crate::{codec, tcp};

/// More of a connection's beginning than this is not looked at.
const LONGEST_LOOK: usize = 64 * 1024;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// Begins to serve one accepted connection, beside all others.
pub(crate) fn begin(worker: Rc<Worker>, bound: Rc<Bound>, entered: Connection, accepted: (Socket, Address)) {
    tokio::task::spawn_local(serve(worker, bound, entered, accepted));
}

/// Serves one accepted connection to its end.
async fn serve(worker: Rc<Worker>, bound: Rc<Bound>, entered: Connection, accepted: (Socket, Address)) {
    let (socket, remote) = accepted;
    let serving = worker.serving();
    let Some(listener) = serving.at(&bound.address).cloned() else { return };
    let local = match &socket {
        Socket::Pipe(_) => bound.address.clone(),
        Socket::Tcp(stream) => match stream.local_addr() {
            Ok(local) => local.into(),
            Err(_) => return,
        },
    };
    let counters = worker.ledger.counters.listener(&listener.name);
    counters.accepted.increment();
    let _active = Active::begin(&counters.active);
    let redirected = listener.use_original_dst || listener.restores_destination;
    let original = redirected.then(|| socket.original_destination()).flatten();
    let destination = original.map_or_else(|| local.clone(), Address::Ip);
    let listener = match destination.socket().filter(|_| listener.use_original_dst) {
        Some(destination) => serving.captured(destination).cloned().unwrap_or(listener),
        None => listener,
    };
    let mut stream = Stream::new(socket);
    if let Some(keepalive) = listener.keepalive {
        let probes = net::socket::probes(keepalive.time, keepalive.interval, keepalive.probes);
        // A socket that is gone already fails on its first read.
        let _ = stream.socket().keepalive(&probes);
    }
    let is_restored = destination != local || listener.transparent;
    let mut ends = Ends { direct: remote.clone(), remote, destination, is_restored };
    if let Some(accepts) = listener.proxy_protocol {
        match preamble(&listener, accepts, &mut stream).await {
            Ok(Some((from, to))) => {
                (ends.remote, ends.destination, ends.is_restored) = (from.into(), to.into(), true);
            }
            Ok(None) => {}
            Err(()) => {
                counters.bad_preambles.increment();
                tracing::debug!(listener = &*listener.name, remote = %ends.remote, "no PROXY header where one is due");
                return;
            }
        }
    }
    let Some(looked) = look(&listener, plan::matched(&ends.destination).port(), &mut stream).await else {
        return;
    };
    let name = looked.hello.as_ref().and_then(|hello| hello.server_name.clone());
    match Client::new(Rc::clone(&worker), &listener, ends.clone(), looked) {
        Some(client) => go_on(client, stream, entered).await,
        None => {
            let remote = &ends.remote;
            counters.without_chain.increment();
            worker.ledger.unmatched(&listener, (remote, &ends.direct, &ends.destination), name.as_deref());
            tracing::debug!(listener = &*listener.name, %remote, "no filter chain takes the connection");
        }
    }
}

async fn go_on(client: Client, stream: Stream, entered: Connection) {
    let chosen = client.chosen();
    let stream = match &chosen.chain.tls {
        None => stream,
        Some(tls) => match shake_hands(&client, &chosen, tls, stream).await {
            Some(stream) => stream,
            None => return,
        },
    };
    match &chosen.chain.terminal {
        Terminal::Http(manager) => codec::serve(Rc::new(client), Arc::clone(manager), stream, entered).await,
        Terminal::Tcp(proxy) => tcp::serve(&client, &chosen, proxy, (stream, entered)).await,
    }
}

/// Speaks TLS from here on; none where that fails, which is counted.
async fn shake_hands(
    client: &Client,
    chosen: &Chosen,
    tls: &Arc<ServerTls>,
    stream: Stream,
) -> Option<Stream> {
    let listener = &chosen.listener.name;
    let counters = client.worker.ledger.counters.listener(listener);
    let server = match client.worker.serving().contexts.server(tls) {
        Ok(server) => server,
        Err(why) => {
            counters.tls_not_ready.increment();
            tracing::debug!(listener = &**listener, %why, "a connection is closed: its chain has no TLS context");
            return None;
        }
    };
    match server.accept(stream, chosen.chain.tls_timeout.unwrap_or(HANDSHAKE)).await {
        Ok(stream) => {
            counters.tls_handshakes.increment();
            client.secure(Secured::of(stream.io(), &server));
            Some(stream)
        }
        Err(why) => {
            counters.tls_errors.increment();
            tracing::debug!(listener = &**listener, remote = %client.remote, %why, "no TLS with a client");
            None
        }
    }
}

/// Reads the PROXY header; the ends it tells, if any.
async fn preamble(
    listener: &Listener,
    accepts: AcceptsProxy,
    stream: &mut Stream,
) -> Result<Option<(SocketAddr, SocketAddr)>, ()> {
    let looking = async {
        loop {
            match proxy_protocol::read(stream.seen()) {
                Preamble::None if accepts.allows_without => return Ok(None),
                Preamble::None | Preamble::Malformed => return Err(()),
                Preamble::Header { version, length, ends } => {
                    let is_known = match version {
                        Version::V1 => accepts.v1,
                        Version::V2 => accepts.v2,
                    };
                    if is_known {
                        stream.skip(length);
                        return Ok(ends);
                    }
                    return if accepts.allows_without { Ok(None) } else { Err(()) };
                }
                Preamble::More => {}
            }
            if !stream.look().await.unwrap_or(false) {
                return Err(());
            }
        }
    };
    match listener.inspect_timeout {
        None => looking.await,
        Some(limit) => tokio::time::timeout(limit, looking).await.unwrap_or(Err(())),
    }
}

/// Looks at the first bytes where the choice of a chain depends on them; none where the connection is over.
async fn look(listener: &Listener, port: u16, stream: &mut Stream) -> Option<Looked> {
    let asks = (listener.looks_for_tls(port), listener.looks_for_http(port));
    if asks == (false, false) {
        return Some(Looked::default());
    }
    let looking = async {
        loop {
            if let Some(looked) = tell(stream.seen(), asks) {
                return Some(looked);
            }
            match stream.look().await {
                Ok(true) => {}
                // The client has said all it will; it may still want an answer.
                Ok(false) if !stream.seen().is_empty() => return Some(Looked::default()),
                Ok(false) | Err(_) => return None,
            }
        }
    };
    match listener.inspect_timeout {
        None => looking.await,
        Some(limit) => match tokio::time::timeout(limit, looking).await {
            Ok(looked) => looked,
            Err(_) if listener.continue_on_timeout => Some(Looked::default()),
            Err(_) => None,
        },
    }
}

/// What bytes tell, if they are enough.
fn tell(seen: &[u8], (tls, http): (bool, bool)) -> Option<Looked> {
    if tls {
        match hello::read(seen) {
            Greeting::Hello(hello) => return Some(Looked { hello: Some(hello), protocol: None }),
            Greeting::More if seen.len() < LONGEST_LOOK => return None,
            Greeting::More | Greeting::Other => {}
        }
    }
    match recognise(seen) {
        Wire::More if http && seen.len() < LONGEST_LOOK => None,
        wire => Some(Looked { hello: None, protocol: wire.application_protocol().filter(|_| http) }),
    }
}
