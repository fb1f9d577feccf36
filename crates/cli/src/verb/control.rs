//! `weft control`: a control plane.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use local::{Claim, Layout};
use telemetry::log::Style;

use crate::exit::Exit;

/// The port of readiness, metrics and debug pages.
const HTTP_PORT: u16 = 15014;

/// Run a control plane from a directory of YAML, hot-reloaded.
#[derive(Args, Debug)]
pub struct Control {
    /// The directory.
    #[arg(long, value_name = "DIR", env = "WEFT_MESH")]
    pub(crate) dir: PathBuf,
    /// The number of the local mesh: its loopback network is 127.NUMBER.0.0/16; the one it had
    /// last, or the first free one, where absent.
    #[arg(long, value_name = "NUMBER", conflicts_with = "listen")]
    pub(crate) mesh: Option<u8>,
    /// Serve discovery here instead of on a local mesh's 127.NUMBER.0.1:15010.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Serve readiness, metrics and debug pages here; beside discovery, on port 15014, where absent.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// The mesh's settings (Istio's MeshConfig), instead of the directory's ConfigMap `istio`.
    #[arg(long, value_name = "FILE")]
    pub(crate) mesh_config: Option<PathBuf>,
    /// The file of the authorities that proxies trust where nothing else is said; the system's usual one where absent.
    #[arg(long, value_name = "FILE", env = "SSL_CERT_FILE")]
    pub(crate) system_roots: Option<PathBuf>,
    /// What is logged: a level, or levels by part, as in info,xds=debug.
    #[arg(long, value_name = "LEVELS", default_value = "info", env = "WEFT_LOG")]
    pub(crate) log: String,
    /// How it is logged.
    #[arg(long, value_enum, default_value_t = LogStyle::Plain)]
    pub(crate) log_as: LogStyle,
    /// The listener of discovery is standard input: a supervisor has claimed the mesh.
    #[arg(long, hide = true, requires = "mesh")]
    pub(crate) handed_over: bool,
}

/// How a log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogStyle {
    /// One JSON object per line.
    Json,
    /// One line for people.
    Plain,
}

impl From<LogStyle> for Style {
    fn from(style: LogStyle) -> Self {
        match style {
            LogStyle::Json => Self::Json,
            LogStyle::Plain => Self::Plain,
        }
    }
}

impl Control {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        telemetry::log::start(&self.log, self.log_as.into())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<Exit> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let claim = self.claim()?;
        let discovery = match (&claim, self.listen) {
            (Some(claim), _) => Claim::discovery(claim.mesh),
            (None, Some(address)) => address,
            (None, None) => anyhow::bail!("there is neither a mesh nor an address to serve"),
        };
        let http = self.http.unwrap_or(SocketAddr::new(discovery.ip(), HTTP_PORT));
        let mesh = claim.as_ref().map(|claim| claim.mesh);
        let mut options = control::Options::new(&self.dir, discovery, http);
        options.mesh_config.clone_from(&self.mesh_config);
        options.system_roots.clone_from(&self.system_roots);
        let control = match claim {
            // The very listener that holds the network: whoever connected before it is answered gets its answer.
            Some(claim) => control::Control::start_on(claim.listener, options).await?,
            None => control::Control::start(options).await?,
        };
        if let Some(mesh) = mesh {
            let layout = Layout::new(&self.dir);
            local::claim::note(&layout, mesh)
                .with_context(|| format!("writing {}", layout.mesh().display()))?;
        }
        control
            .serve(async move {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            })
            .await?;
        Ok(Exit::Done)
    }

    /// The network of a local mesh; None where an address was given instead.
    fn claim(&self) -> anyhow::Result<Option<Claim>> {
        match (self.mesh, self.handed_over) {
            _ if self.listen.is_some() => Ok(None),
            (Some(mesh), true) => {
                let inherited =
                    std::io::stdin().as_fd().try_clone_to_owned().context("taking over the listener")?;
                let listener = TcpListener::from(inherited);
                let at = listener.local_addr().context("standard input is no listener")?;
                anyhow::ensure!(at == Claim::discovery(mesh), "standard input listens on {at}");
                Ok(Some(Claim { mesh, listener }))
            }
            (None, _) => Ok(Some(local::claim::claim_again(&Layout::new(&self.dir))?)),
            (mesh, false) => Ok(Some(local::claim(mesh)?)),
        }
    }
}
