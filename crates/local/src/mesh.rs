//! The supervisor: starts the control plane and every workload, tells what becomes of them, and stops them in order.

mod keeper;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use base::LocalNet;

use crate::claim::{Claim, ClaimError, claim};
use crate::layout::Layout;
use crate::process::{Death, Process, Start};
use crate::tools::Tools;
use crate::workload::Workload;

use keeper::{Keeper, Order};

/// The flag by which `weft control` is told that its ADS listener is its standard input.
pub const HANDED_OVER: &str = "--handed-over";

/// The most workloads one mesh has addresses for.
const WORKLOADS: usize = 250;

/// How long a process may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(6);

/// What a mesh is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its directory, which exists.
    pub layout: Layout,
    /// Its number; the first free one where absent.
    pub mesh: Option<u8>,
    /// Its executables.
    pub tools: Tools,
    /// Its workloads; the first has the loopback network `127.M.1.0/24`.
    pub workloads: Vec<Workload>,
    /// How long a process may take to be ready.
    pub patience: Duration,
}

/// What became of a part of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process ended by itself, and is not started again.
    Died(Death),
    /// A workload could not be started, or did not become ready in time.
    Failed {
        /// Its name.
        workload: String,
        /// Why.
        why: String,
    },
    /// A workload is ready and announced, for the first time or once more.
    Ready {
        /// Its name.
        workload: String,
        /// How long it took from the start of the mesh.
        after: Duration,
    },
    /// A process ended by itself, and is started again after so long.
    Restarting(Death, Duration),
    /// A workload runs and is not ready any more; nobody is sent to it until it is.
    Unready {
        /// Its name.
        workload: String,
    },
}

/// Why a mesh could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No network is free.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The control plane could not be executed.
    #[error("starting the control plane")]
    Control(#[source] io::Error),
    /// Its directory could not be prepared.
    #[error("preparing {}", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// There are more workloads than addresses, or two of one name.
    #[error("{0}")]
    Workloads(String),
}

/// A running mesh. Dropping it kills every process of it; [`Mesh::stop`] ends them in order.
pub struct Mesh {
    number: u8,
    events: mpsc::UnboundedReceiver<Event>,
    workloads: watch::Sender<Order>,
    control: watch::Sender<Order>,
    keepers: JoinSet<()>,
    control_keeper: JoinSet<()>,
}

impl Mesh {
    /// Starts everything at once; nobody waits for the control plane, whose listener exists from here on.
    ///
    /// Processes are tied to the thread that starts them: it has to live as long as the mesh, so a runtime of one
    /// thread is the right one.
    ///
    /// # Errors
    /// When there is no free network or the control plane cannot be executed. What happens to workloads is told
    /// by [`Mesh::next`].
    pub fn start(options: Options) -> Result<Self, StartError> {
        check(&options.workloads)?;
        prepare(&options.layout)?;
        let claim = claim(options.mesh)?;
        let number = claim.mesh;
        // How many events come is bounded by the pauses between restarts; nobody ever waits to send.
        let (tell, events) = mpsc::unbounded_channel();
        let (workloads, workload_orders) = watch::channel(Order::Run);
        let (control, control_orders) = watch::channel(Order::Run);
        let mut control_keeper = JoinSet::new();
        let process = start_control(&options, claim).map_err(StartError::Control)?;
        control_keeper.spawn(keeper::keep_control(process, control_orders, tell.clone()));
        let began = Instant::now();
        let mut keepers = JoinSet::new();
        for (slot, workload) in (1..).zip(&options.workloads) {
            let keeper = Keeper {
                workload: workload.clone(),
                net: LocalNet { mesh: number, workload: slot },
                layout: options.layout.clone(),
                tools: options.tools.clone(),
                began,
                patience: options.patience,
                orders: workload_orders.clone(),
                tell: tell.clone(),
            };
            keepers.spawn(keeper.run());
        }
        Ok(Self { number, events, workloads, control, keepers, control_keeper })
    }

    /// The mesh's number.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The next thing that happens; None once every process has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Stops every workload, its program before its sidecar, and then the control plane.
    pub async fn stop(&mut self) {
        self.end(Order::Drain).await;
    }

    /// Ends everything at once.
    pub async fn kill(&mut self) {
        self.end(Order::Kill).await;
    }

    async fn end(&mut self, order: Order) {
        self.workloads.send_replace(order);
        while self.keepers.join_next().await.is_some() {}
        self.control.send_replace(order);
        while self.control_keeper.join_next().await.is_some() {}
    }
}

fn check(workloads: &[Workload]) -> Result<(), StartError> {
    if workloads.len() > WORKLOADS {
        let count = workloads.len();
        return Err(StartError::Workloads(format!(
            "{count} workloads; one mesh has addresses for {WORKLOADS}"
        )));
    }
    let mut names = BTreeSet::new();
    match workloads.iter().find(|workload| !names.insert(&workload.name)) {
        Some(twice) => Err(StartError::Workloads(format!("two workloads are named {:?}", twice.name))),
        None => Ok(()),
    }
}

/// Makes the mesh's own directories, closed to others, and forgets workloads of an earlier run.
fn prepare(layout: &Layout) -> Result<(), StartError> {
    use std::os::unix::fs::PermissionsExt;

    let own = layout.own();
    let entries = layout.entries();
    let prepare = || -> io::Result<()> {
        std::fs::create_dir_all(&own)?;
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700))?;
        if entries.exists() {
            std::fs::remove_dir_all(&entries)?;
        }
        std::fs::create_dir_all(&entries)
    };
    prepare().map_err(|error| StartError::Directory(own.clone(), error))
}

fn start_control(options: &Options, claim: Claim) -> io::Result<Process> {
    let args = ["control".into(), "--dir".into(), options.layout.dir().into()];
    let number = ["--mesh".into(), claim.mesh.to_string().into(), HANDED_OVER.into()];
    Process::start(Start {
        name: "the control plane".into(),
        command: options.tools.weft.clone(),
        args: args.into_iter().chain(number).collect(),
        // The very socket that claimed the network: it is never closed in between, so nobody else can take it.
        stdin: Some(claim.listener.into()),
        log: options.layout.control_log(),
        tether: Some(options.tools.weft.clone()),
        ..Start::default()
    })
}

#[cfg(test)]
mod tests;
