//! An accepted connection: where it was going, which listener and filter chain take it, and what they do.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use net::hello::{self, Greeting, Hello};
use net::sniff::{Wire, recognise};
use net::{Connection, Stream};
use plan::{FilterChain, HttpManager, Listener, Terminal, Transport};
use telemetry::Format;
use tokio::net::TcpStream;

use crate::counters::{Active, HttpCounters};
use crate::worker::Worker;
use crate::{codec, tcp};

/// More of a connection's beginning than this is not looked at.
const LONGEST_LOOK: usize = 64 * 1024;

/// One client's connection, for as long as it lasts.
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    /// The client's end.
    pub(crate) remote: SocketAddr,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// Where it was going before any redirection.
    pub(crate) destination: SocketAddr,
    looked: Looked,
    chosen: RefCell<Rc<Chosen>>,
    leaving: Cell<bool>,
    unread: Cell<bool>,
    requests: Cell<u32>,
    seen: Cell<Instant>,
    forwarded_for: OnceCell<HeaderValue>,
}

/// Who takes a connection, by the generation that decided it.
pub(crate) struct Chosen {
    /// The generation.
    pub(crate) generation: u64,
    /// The listener.
    pub(crate) listener: Arc<Listener>,
    /// Its chain.
    pub(crate) chain: Arc<FilterChain>,
    /// Whether the newest generation has nobody for the connection any more.
    pub(crate) is_orphan: bool,
    /// The formats of its access logs, once compiled.
    pub(crate) formats: OnceCell<Vec<Rc<Format>>>,
    /// The statistics of its HTTP manager, once found.
    pub(crate) http: OnceCell<Rc<HttpCounters>>,
}

impl Chosen {
    /// The HTTP side of the chain.
    pub(crate) fn manager(&self) -> Option<&Arc<HttpManager>> {
        match &self.chain.terminal {
            Terminal::Http(manager) => Some(manager),
            Terminal::Tcp(_) => None,
        }
    }
}

/// Serves one accepted connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    address: SocketAddr,
    entered: Connection,
    accepted: (TcpStream, SocketAddr),
) {
    let (socket, remote) = accepted;
    let serving = worker.serving();
    let Some(listener) = serving.at(address).cloned() else { return };
    let Ok(local) = socket.local_addr() else { return };
    let counters = worker.ledger.counters.listener(&listener.name);
    counters.accepted.increment();
    let _active = Active::begin(&counters.active);
    let redirected = listener.use_original_dst || listener.restores_destination;
    let destination =
        redirected.then(|| net::socket::original_destination(&socket)).flatten().unwrap_or(local);
    let listener = match listener.use_original_dst {
        true => serving.captured(destination).cloned().unwrap_or(listener),
        false => listener,
    };
    let mut stream = Stream::new(socket);
    let Some(looked) = look(&listener, destination.port(), &mut stream).await else { return };
    match Client::new(Rc::clone(&worker), &listener, (remote, local, destination), looked) {
        Some(client) => go_on(client, stream, entered).await,
        None => {
            counters.without_chain.increment();
            tracing::debug!(listener = &*listener.name, %remote, "no filter chain takes the connection");
        }
    }
}

async fn go_on(client: Client, stream: Stream, entered: Connection) {
    let chosen = client.chosen();
    if chosen.chain.tls.is_some() {
        let name = &chosen.listener.name;
        client.worker.ledger.counters.listener(name).refuse_tls(name);
        return;
    }
    match &chosen.chain.terminal {
        Terminal::Http(manager) => codec::serve(Rc::new(client), Arc::clone(manager), stream, entered).await,
        Terminal::Tcp(proxy) => tcp::serve(&client, &chosen, proxy, (stream, entered)).await,
    }
}

/// What the first bytes of a connection told.
#[derive(Clone, Debug, Default)]
struct Looked {
    hello: Option<Hello>,
    protocol: Option<&'static str>,
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

impl Client {
    fn new(
        worker: Rc<Worker>,
        listener: &Arc<Listener>,
        ends: (SocketAddr, SocketAddr, SocketAddr),
        looked: Looked,
    ) -> Option<Self> {
        let (remote, local, destination) = ends;
        let generation = worker.serving().generation;
        let chain = Arc::clone(select(listener, destination, &looked)?);
        let listener = Arc::clone(listener);
        let chosen = RefCell::new(Rc::new(Chosen {
            generation,
            listener,
            chain,
            is_orphan: false,
            formats: OnceCell::new(),
            http: OnceCell::new(),
        }));
        Some(Self {
            worker,
            remote,
            local,
            destination,
            looked,
            chosen,
            leaving: Cell::new(false),
            unread: Cell::new(false),
            requests: Cell::new(0),
            seen: Cell::new(Instant::now()),
            forwarded_for: OnceCell::new(),
        })
    }

    /// Who takes the connection now.
    ///
    /// A connection follows the newest generation from request to request. Where that has nobody for it any
    /// more, whoever took it before serves one last request.
    pub(crate) fn chosen(&self) -> Rc<Chosen> {
        let before = Rc::clone(&self.chosen.borrow());
        if self.worker.is_current(before.generation) {
            return before;
        }
        let serving = self.worker.serving();
        let generation = serving.generation;
        let listener = serving.listener(&before.listener.name);
        let found = listener.and_then(|l| select(l, self.destination, &self.looked).map(|chain| (l, chain)));
        let chosen = Rc::new(match found.filter(|(_, chain)| is_alike(&before.chain, chain)) {
            Some((listener, chain)) => Chosen {
                generation,
                listener: Arc::clone(listener),
                chain: Arc::clone(chain),
                is_orphan: false,
                formats: OnceCell::new(),
                http: OnceCell::new(),
            },
            None => {
                let (listener, chain) = (Arc::clone(&before.listener), Arc::clone(&before.chain));
                Chosen {
                    generation,
                    listener,
                    chain,
                    is_orphan: true,
                    formats: OnceCell::new(),
                    http: OnceCell::new(),
                }
            }
        });
        *self.chosen.borrow_mut() = Rc::clone(&chosen);
        if chosen.is_orphan {
            self.leaving.set(true);
        }
        chosen
    }

    /// Counts a request; whether the connection may carry another.
    pub(crate) fn count(&self, most: Option<u32>) -> bool {
        self.requests.set(self.requests.get().saturating_add(1));
        let another = most.is_none_or(|most| self.requests.get() < most);
        if !another {
            self.leaving.set(true);
        }
        another
    }

    /// Notes when the last exchange ended.
    pub(crate) fn seen_at(&self, now: Instant) {
        self.seen.set(now);
    }

    /// For how long the connection has been without an exchange, if it is in none.
    pub(crate) fn idle(&self) -> Duration {
        self.seen.get().elapsed()
    }

    /// The client's address as a header's value.
    pub(crate) fn forwarded_for(&self) -> &HeaderValue {
        let text = || HeaderValue::try_from(self.remote.ip().to_string());
        self.forwarded_for.get_or_init(|| text().unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// Notes that the client may go on sending a body that nobody reads.
    pub(crate) fn leave_unread(&self) {
        self.unread.set(true);
    }

    /// Whether the client may have sent something that nobody has read.
    pub(crate) fn has_unread(&self) -> bool {
        self.unread.get()
    }

    /// Whether the connection should end with the exchanges it is in.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }
}

/// Whether requests of a connection taken by one chain can be served by the other.
fn is_alike(before: &FilterChain, after: &FilterChain) -> bool {
    after.tls.is_none()
        && matches!((&before.terminal, &after.terminal), (Terminal::Http(_), Terminal::Http(_)))
}

fn select<'l>(
    listener: &'l Listener,
    destination: SocketAddr,
    looked: &Looked,
) -> Option<&'l Arc<FilterChain>> {
    match &looked.hello {
        Some(hello) => {
            let protocols: Vec<&str> = hello.protocols.iter().map(String::as_str).collect();
            listener.select(&plan::Connection {
                destination,
                server_name: hello.server_name.as_deref(),
                transport: Transport::Tls,
                protocols: &protocols,
            })
        }
        None => listener.select(&plan::Connection {
            destination,
            server_name: None,
            transport: Transport::RawBuffer,
            protocols: looked.protocol.as_slice(),
        }),
    }
}
