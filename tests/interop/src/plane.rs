//! Weft's own control plane over a directory, in the test's own process.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use base::Discovery;
use control::Control;
use control::client::Client;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A running control plane; dropping it ends it.
#[derive(Debug)]
pub struct Plane {
    /// Where it is discovered over TCP.
    pub ads: SocketAddr,
    /// The mesh's own socket, over which Secrets travel too.
    pub socket: Discovery,
    /// What verbs speak to it by.
    pub client: Client,
    runtime: Runtime,
    _stop: oneshot::Sender<()>,
}

impl Plane {
    /// Starts one that is discovered at a listener, beside which it serves its pages.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path, listener: TcpListener) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let ads = listener.local_addr().expect("its address");
        let options = control::Options {
            registry: dir.join(".registry"),
            ..control::Options::new(dir, ads, SocketAddr::new(ads.ip(), 0))
        };
        let control = runtime.block_on(Control::start_on(listener, options)).expect("a control plane");
        let (client, socket) = (control.client(), Discovery::Unix(control.ads_socket()));
        let (stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(control.serve(async move { drop(stopped.await) }));
        Self { ads, socket, client, runtime, _stop: stop }
    }

    /// Waits for what needs a runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
