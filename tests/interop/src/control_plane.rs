//! A discovery server that can be killed.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use testkit::wait_until;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use xds::{Connections, Supply};

use crate::PATIENCE;

/// Delta ADS on a runtime of its own; dropping it cuts every stream without a farewell.
#[derive(Debug)]
pub struct ControlPlane {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl ControlPlane {
    /// Serves at an address as soon as nobody holds it.
    ///
    /// # Panics
    /// When the address stays taken.
    pub fn start(address: SocketAddr, supply: impl Supply) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the control plane");
        let listener = wait_until("an address for the control plane", PATIENCE, || {
            runtime.block_on(TcpListener::bind(address)).map_err(|error| format!("{address}: {error}"))
        });
        let address = listener.local_addr().unwrap_or(address);
        runtime.spawn(xds::serve(listener, Arc::new(supply), Connections::default(), pending()));
        Self { address, runtime: Some(runtime) }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}
