//! A web server that ends TLS itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use programs::{Httpbin, Settings, acceptor, serve};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A running server; its end ends it.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Site {
    /// Serves on a free port of 127.0.0.1 with this certificate.
    ///
    /// # Panics
    /// When a file is not what it should be.
    pub fn start(certificate: &Path, key: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the site");
        let told = |name: &str| match name {
            "BIND" => Some(Ipv4Addr::LOCALHOST.to_string()),
            "TLS_CERT" => Some(certificate.display().to_string()),
            "TLS_KEY" => Some(key.display().to_string()),
            _ => None,
        };
        let settings = Settings::read(told).expect("settings that make sense");
        let tls = acceptor(&settings).expect("a certificate and its key");
        let listener =
            runtime.block_on(TcpListener::bind((settings.bind, 0))).expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("its address");
        runtime.spawn(serve(listener, Arc::new(Httpbin::default()), tls));
        Self { address, _runtime: runtime }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
