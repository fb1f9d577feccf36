//! A client's connection as its exchanges know it: its ends, what it told, and who takes it.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Address;
use http::HeaderValue;
use net::hello::Hello;
use net::interface::is_loopback;
use plan::{FilterChain, HttpManager, Listener, Terminal, Transport, matched};
use telemetry::{Format, Workload};
use tokio::time::Sleep;

use crate::counters::HttpCounters;
use crate::secured::Secured;
use crate::worker::Worker;

/// One client's connection, for as long as it lasts.
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    /// The other end of the socket.
    pub(crate) direct: Address,
    /// The client's end, as a PROXY header or the socket says.
    pub(crate) remote: Address,
    /// Our end: where it was going before any redirection, or as a PROXY header says.
    pub(crate) destination: Address,
    is_restored: bool,
    /// What its TLS told, where it speaks TLS.
    secured: OnceCell<Secured>,
    peer: OnceCell<Option<Arc<Workload>>>,
    looked: Looked,
    chosen: RefCell<Rc<Chosen>>,
    leaving: Cell<bool>,
    requests: Cell<u32>,
    seen: Cell<Instant>,
    address: OnceCell<HeaderValue>,
    /// The timer of its exchanges' deadlines, while none of them has it.
    timer: Cell<Option<Pin<Box<Sleep>>>>,
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

/// The addresses of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) direct: Address,
    pub(crate) remote: Address,
    pub(crate) destination: Address,
    pub(crate) is_restored: bool,
}

/// What the first bytes of a connection told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looked {
    pub(crate) hello: Option<Hello>,
    pub(crate) protocol: Option<&'static str>,
}

impl Client {
    /// A connection that has told this of itself; none where no filter chain takes it.
    pub(crate) fn new(
        worker: Rc<Worker>,
        listener: &Arc<Listener>,
        ends: Ends,
        looked: Looked,
    ) -> Option<Self> {
        let Ends { direct, remote, destination, is_restored } = ends;
        let generation = worker.serving().generation;
        let chain = Arc::clone(select(listener, (&destination, &remote, &direct), &looked)?);
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
            direct,
            remote,
            destination,
            is_restored,
            secured: OnceCell::new(),
            peer: OnceCell::new(),
            looked,
            chosen,
            leaving: Cell::new(false),
            requests: Cell::new(0),
            seen: Cell::new(Instant::now()),
            address: OnceCell::new(),
            timer: Cell::new(None),
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
        let found = listener.and_then(|l| {
            select(l, (&self.destination, &self.remote, &self.direct), &self.looked).map(|chain| (l, chain))
        });
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

    /// Notes what its TLS told.
    pub(crate) fn secure(&self, secured: Secured) {
        // Nobody else sets it.
        let _ = self.secured.set(secured);
    }

    /// What its TLS told, where it speaks TLS.
    pub(crate) fn secured(&self) -> Option<&Secured> {
        self.secured.get()
    }

    /// Where it was going, if that is known to be another place than here.
    pub(crate) fn original(&self) -> Option<SocketAddr> {
        self.destination.socket().filter(|_| self.is_restored)
    }

    /// Who it is, where it has shown a certificate that was checked.
    pub(crate) fn peer(&self) -> Option<&Arc<Workload>> {
        self.peer.get_or_init(|| self.secured()?.workload()).as_ref()
    }

    /// The server it asked for by TLS, whoever ends that.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.looked.hello.as_ref()?.server_name.as_deref()
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

    /// Takes the timer of deadlines, which may be armed already.
    pub(crate) fn take_timer(&self) -> Option<Pin<Box<Sleep>>> {
        self.timer.take()
    }

    /// Keeps the timer for the next exchange.
    pub(crate) fn keep_timer(&self, timer: Pin<Box<Sleep>>) {
        self.timer.set(Some(timer));
    }

    /// The client's address as a header's value; a Unix socket has none.
    pub(crate) fn address(&self) -> Option<&HeaderValue> {
        self.remote.ip().map(|ip| self.address.get_or_init(|| written(ip)))
    }

    /// The address it is told by upstream: to others, a client on loopback is this machine.
    pub(crate) fn forwarded_for(&self) -> Option<&HeaderValue> {
        match is_loopback(self.remote.ip()?) {
            true => Some(&self.worker.address),
            false => self.address(),
        }
    }

    /// Whether the connection should end with the exchanges it is in.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }
}

/// An address as a header's value.
pub(crate) fn written(ip: IpAddr) -> HeaderValue {
    HeaderValue::try_from(ip.to_string()).expect("invariant: an address is written in ASCII")
}

/// Whether requests of a connection taken by one chain can be served by the other.
fn is_alike(before: &FilterChain, after: &FilterChain) -> bool {
    // A new certificate changes nothing here; another idea of who may connect does.
    let tls = |chain: &FilterChain| chain.tls.as_ref().map(|tls| tls.common.digest);
    tls(before) == tls(after)
        && matches!((&before.terminal, &after.terminal), (Terminal::Http(_), Terminal::Http(_)))
}

fn select<'l>(
    listener: &'l Listener,
    (destination, source, direct_source): (&Address, &Address, &Address),
    looked: &Looked,
) -> Option<&'l Arc<FilterChain>> {
    let (destination, source, direct_source) =
        (matched(destination), matched(source), matched(direct_source));
    match &looked.hello {
        Some(hello) => {
            let protocols: Vec<&str> = hello.protocols.iter().map(String::as_str).collect();
            listener.select(&plan::Connection {
                destination,
                source,
                direct_source,
                server_name: hello.server_name.as_deref(),
                transport: Transport::Tls,
                protocols: &protocols,
            })
        }
        None => listener.select(&plan::Connection {
            destination,
            source,
            direct_source,
            server_name: None,
            transport: Transport::RawBuffer,
            protocols: looked.protocol.as_slice(),
        }),
    }
}
