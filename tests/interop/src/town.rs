//! The backends that generated configurations lead to.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use testkit::Echo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::keys::Keys;

/// Backends over HTTP.
const ECHOES: [&str; 8] = ["one", "two", "many-1", "many-2", "many-3", "calls", "sealed", "strict"];

/// Backends that speak first, one line, their name.
const GREETERS: [&str; 2] = ["bytes-1", "bytes-2"];

/// Backends over TLS: in front of the echo of the name, and whether it asks for certificates.
const SEALED: [(&str, bool); 2] = [("sealed", false), ("strict", true)];

/// The names that the certificates of servers are for.
const SERVERS: [(&str, &[&str]); 3] = [
    ("edge", &["a.test", "b.test", "x.b.test", "other.test"]),
    (
        "sealed",
        &[
            "sealed.test",
            "one.pass.test",
            "two.pass.test",
            "*.one.pass.test",
            "outbound_.8000_._.sealed.test",
        ],
    ),
    ("strict", &["strict.test", "sealed.test", "one.pass.test", "two.pass.test", "*.one.pass.test"]),
];

/// Every backend, running, and the keys of whoever speaks TLS; its end ends them.
#[derive(Debug)]
pub struct Town {
    /// The keys.
    pub keys: Keys,
    addresses: BTreeMap<&'static str, SocketAddr>,
    _echoes: Vec<Echo>,
    _runtime: Runtime,
}

impl Town {
    /// Starts every backend.
    ///
    /// # Panics
    /// When one cannot be started.
    pub fn start() -> Self {
        let keys = Keys::new(&SERVERS);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the backends");
        let (mut addresses, mut echoes) = (BTreeMap::new(), Vec::new());
        for name in ECHOES {
            let echo = Echo::start(name).expect("a backend");
            addresses.insert(name, echo.address());
            echoes.push(echo);
        }
        for name in GREETERS {
            let (listener, address) = runtime.block_on(listen());
            runtime.spawn(greet(listener, name));
            addresses.insert(name, address);
        }
        for (name, asks) in SEALED {
            let (listener, address) = runtime.block_on(listen());
            let to = addresses.insert(name, address).expect("invariant: an echo of the name");
            runtime.spawn(open(listener, TlsAcceptor::from(keys.server(name, asks)), to));
        }
        Self { keys, addresses, _echoes: echoes, _runtime: runtime }
    }

    /// Where a backend listens.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn at(&self, name: &str) -> SocketAddr {
        *self.addresses.get(name).unwrap_or_else(|| panic!("no backend {name}"))
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port of 127.0.0.1");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// Tells whoever comes its name, and waits for them to go.
async fn greet(listener: TcpListener, name: &'static str) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A client that goes away is no concern of a backend.
            let _ = stream.write_all(format!("{name}\n").as_bytes()).await;
            let _ = stream.read(&mut [0; 64]).await;
        });
    }
}

/// Ends TLS before a backend.
async fn open(listener: TcpListener, tls: TlsAcceptor, to: SocketAddr) {
    let tls = Arc::new(tls);
    while let Ok((stream, _)) = listener.accept().await {
        let tls = Arc::clone(&tls);
        tokio::spawn(async move {
            let Ok(mut from) = tls.accept(stream).await else { return };
            let Ok(mut to) = TcpStream::connect(to).await else { return };
            let _ = copy_bidirectional(&mut from, &mut to).await;
        });
    }
}
