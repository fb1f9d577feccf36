//! Assembling the machine, and taking it apart.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh::Snapshot;
use source::Directory;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use xds::Connections;

use crate::addresses::Ledger;
use crate::builder::{Builder, Built, State};
use crate::client::Client;
use crate::desk::Desk;
use crate::home::{self, Home, Sockets};
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::plane::Plane;
use crate::proxies::Proxies;
use crate::running::{self, Registration, Running};
use crate::server::{self, Listener};
use crate::settings;
use crate::socket;
use crate::supply::Supplier;

/// What a control plane is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that holds the mesh's configuration.
    pub dir: PathBuf,
    /// Further directories, written by machines.
    pub extra_dirs: Vec<PathBuf>,
    /// Where discovery is served, plaintext gRPC (15010).
    pub ads: SocketAddr,
    /// Where readiness, metrics and debug pages are served (15014).
    pub http: SocketAddr,
    /// A file that holds the mesh's settings, in place of the directory's ConfigMap.
    pub mesh_config: Option<PathBuf>,
    /// The file of the authorities that every program of a proxy's machine trusts, where it is not the usual one.
    pub system_roots: Option<PathBuf>,
    /// Where running meshes are listed; [`running::registry`] unless a test has its own.
    pub registry: PathBuf,
}

impl Options {
    /// The control plane of a directory, with what a local supervisor writes to `DIR/.weft/workloads`.
    pub fn new(dir: impl Into<PathBuf>, ads: SocketAddr, http: SocketAddr) -> Self {
        let dir = dir.into();
        Self {
            extra_dirs: vec![dir.join(".weft/workloads")],
            dir,
            ads,
            http,
            mesh_config: None,
            system_roots: None,
            registry: running::registry(),
        }
    }
}

/// Why a control plane does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("listening on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory cannot be used.
    #[error("opening {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another control plane owns the directory.
    #[error("another control plane is running for {}", dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
    },
    /// The file of the mesh's settings cannot be read.
    #[error("reading {}", path.display())]
    MeshConfig {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The thread that reads the directory has ended.
    #[error("{} is not read any more", dir.display())]
    Unread {
        /// The directory.
        dir: PathBuf,
    },
}

/// A control plane that has read its directory and listens; [`Control::serve`] lets it answer.
pub struct Control {
    // Dropped in this order: off the list first, the lock last.
    _registration: Option<Registration>,
    builder: Builder,
    desk: Arc<Desk>,
    supplier: Supplier,
    ads: TcpListener,
    http: TcpListener,
    sockets: Sockets,
    home: Home,
    ads_address: SocketAddr,
    http_address: SocketAddr,
}

impl Control {
    /// Takes the directory's lock, listens, reads what there is and makes the first snapshot. Bad files are
    /// reported; the good ones are in force.
    ///
    /// # Errors
    /// The directory is missing or owned by another, or an address is taken.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let ads = TcpListener::bind(options.ads).await;
        let ads = ads.map_err(|source| StartError::Bind { address: options.ads, source })?;
        Self::assemble(options, ads).await
    }

    /// The same as [`Control::start`], with discovery on a listener the caller has bound.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub async fn start_on(listener: std::net::TcpListener, options: Options) -> Result<Self, StartError> {
        let ads = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        let ads = ads.map_err(|source| StartError::Bind { address: options.ads, source })?;
        Self::assemble(options, ads).await
    }

    async fn assemble(options: Options, ads: TcpListener) -> Result<Self, StartError> {
        let in_dir = |source| StartError::Directory { path: options.dir.clone(), source };
        let dir = std::fs::canonicalize(&options.dir).map_err(in_dir)?;
        let home = Home::open(&dir).map_err(in_dir)?.ok_or_else(|| StartError::Held { dir: dir.clone() })?;
        let bound = |address| move |source| StartError::Bind { address, source };
        let ads_address = ads.local_addr().map_err(bound(options.ads))?;
        let http = TcpListener::bind(options.http).await.map_err(bound(options.http))?;
        let http_address = http.local_addr().map_err(bound(options.http))?;
        let ledger = Ledger::open(home.addresses());
        let plane = Arc::new(Plane::new(Snapshot::with_addresses(ledger.addresses().clone())));
        let mut source = source::Options::new(&options.dir);
        source.extra.clone_from(&options.extra_dirs);
        let (directory, changes) = Directory::open(source).map_err(in_dir)?;
        let metrics = Arc::new(Metrics::default());
        let settings = open_settings(options.mesh_config.clone())?;
        let settings = Arc::new(settings.with_system_roots(options.system_roots.clone()));
        let built = Built::new();
        let mut builder = Builder {
            changes,
            plane: plane.clone(),
            built: built.clone(),
            metrics: metrics.clone(),
            settings: settings.clone(),
            ledger,
            state: State::default(),
        };
        if !builder.begin().await {
            return Err(StartError::Unread { dir });
        }
        let proxies = Proxies::default();
        let desk = Arc::new(Desk {
            dir: dir.clone(),
            discovery: ads_address.to_string(),
            http: http_address.to_string(),
            directory,
            built,
            plane: plane.clone(),
            proxies: proxies.clone(),
            connections: Connections::default(),
            settings,
        });
        let sockets = home.listen().map_err(in_dir)?;
        let supplier = Supplier { plane, proxies, metrics };
        Ok(Self {
            _registration: register(&options.registry, &dir),
            builder,
            desk,
            supplier,
            ads,
            http,
            sockets,
            home,
            ads_address,
            http_address,
        })
    }

    /// Where discovery is served on the network.
    pub fn ads(&self) -> SocketAddr {
        self.ads_address
    }

    /// Where discovery is served to processes of this user, secrets included.
    pub fn ads_socket(&self) -> PathBuf {
        home::ads(&self.desk.dir)
    }

    /// Where pages are served.
    pub fn http(&self) -> SocketAddr {
        self.http_address
    }

    /// A client of this control plane.
    pub fn client(&self) -> Client {
        Client::new(home::socket(&self.desk.dir))
    }

    #[cfg(test)]
    pub(crate) fn built(&self) -> Arc<Built> {
        self.desk.built.clone()
    }

    #[cfg(test)]
    pub(crate) fn plane(&self) -> Arc<Plane> {
        self.desk.plane.clone()
    }

    /// Answers proxies and users until `shutdown` resolves.
    ///
    /// # Errors
    /// The directory is not watched any more, which nothing but a fault of our own can cause.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let Control { builder, desk, supplier, ads, http, sockets, home, _registration, .. } = self;
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = watch::channel(true);
        let metrics = supplier.metrics.clone();
        let connections = desk.connections.clone();
        let settings = desk.settings.clone();
        let dir = desk.dir.clone();
        tracing::info!(dir = %dir.display(), discovery = desk.discovery, http = desk.http, "the control plane is up");

        let mut tasks = JoinSet::new();
        let pages = Arc::new(Pages { desk: desk.clone(), metrics, is_ready });
        tasks.spawn(server::serve(Listener::Tcp(http), pages, stopped.clone()));
        let discovery = Arc::new(xds::Server::new(Arc::new(supplier), connections));
        let keeping = socket::keep(home, sockets, desk, discovery.clone(), stopped.clone());
        let keeping = tokio::spawn(keeping);
        let mut until = stopped.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = settings.follow() => {}
                () = server::stopped(&mut until) => {}
            }
        });
        let mut until = stopped;
        tasks.spawn(async move {
            discovery.listen(ads, server::stopped(&mut until)).await;
            discovery.close().await;
            ready.send_replace(false);
        });
        // It ends when the desk is gone, and with it the directory.
        let mut building = tokio::spawn(builder.run());

        let (ended, built) = tokio::select! {
            () = shutdown => (Ok(()), None),
            built = &mut building => (Err(StartError::Unread { dir }), Some(built)),
        };
        tracing::info!("the control plane stops");
        stop.send_replace(true);
        while let Some(task) = tasks.join_next().await {
            report(task);
        }
        let home = keeping.await;
        report(match built {
            Some(built) => built,
            None => building.await,
        });
        drop((_registration, home));
        ended
    }
}

/// Starts a control plane and serves until `shutdown` resolves.
///
/// # Errors
/// It does not start, or its directory is not watched any more.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    Control::start(options).await?.serve(shutdown).await
}

fn open_settings(file: Option<PathBuf>) -> Result<settings::Source, StartError> {
    settings::Source::open(file.clone())
        .map_err(|source| StartError::MeshConfig { path: file.unwrap_or_default(), source })
}

fn report(task: Result<(), JoinError>) {
    if let Err(error) = task {
        tracing::error!(%error, "a task of the control plane ended badly");
    }
}

/// A mesh that cannot be listed runs all the same; its verbs need its directory then.
fn register(registry: &Path, dir: &Path) -> Option<Registration> {
    let running = Running { dir: dir.to_owned(), pid: std::process::id(), socket: home::socket(dir) };
    Registration::new(registry, &running)
        .inspect_err(|error| {
            tracing::warn!(%error, registry = %registry.display(), "listing the mesh among those that run");
        })
        .ok()
}
