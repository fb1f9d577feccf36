//! The life of one workload: sidecar, then program, then announced; at the end the other way round.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use base::LocalNet;

use super::{Event, GRACE};
use crate::bootstrap::{bootstrap, envoy};
use crate::entry::Entry;
use crate::environment;
use crate::layout::Layout;
use crate::process::{Process, Start};
use crate::ready;
use crate::tools::Tools;
use crate::workload::{Program, Role, Sidecar, Workload};

/// What the supervisor wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// End in order.
    Drain,
    /// End now.
    Kill,
}

/// Keeps one workload.
pub(super) struct Keeper {
    pub(super) workload: Workload,
    pub(super) net: LocalNet,
    pub(super) layout: Layout,
    pub(super) tools: Tools,
    pub(super) began: Instant,
    pub(super) patience: Duration,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) tell: mpsc::Sender<Event>,
}

/// The processes of one workload, as far as they run.
#[derive(Default)]
struct Running {
    sidecar: Option<Process>,
    program: Option<Process>,
}

/// Why starting went no further.
enum Halt {
    /// The supervisor wants an end.
    Ordered,
    /// Something is wrong, and it has been told.
    Told,
    /// Something is wrong.
    Wrong(String),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl Keeper {
    /// Runs until told to end; a death in between is told and changes nothing else.
    pub(super) async fn run(mut self) {
        let entry = Entry::of(&self.workload, self.net, &self.layout);
        let mut running = Running::default();
        match self.start(&mut running, &entry).await {
            Ok(()) => {
                let workload = self.workload.name.clone();
                let _ = self.tell.send(Event::Ready { workload, after: self.began.elapsed() }).await;
            }
            Err(Halt::Ordered | Halt::Told) => {}
            Err(Halt::Wrong(why)) => {
                let workload = self.workload.name.clone();
                let _ = self.tell.send(Event::Failed { workload, why }).await;
            }
        }
        while !self.is_ordered_to_end() {
            let died = tokio::select! {
                _ = self.orders.changed() => continue,
                death = died(&mut running.sidecar) => death,
                death = died(&mut running.program) => death,
            };
            // Half a workload serves nobody; that it is gone is known before anyone is told.
            self.withdraw(&entry);
            let _ = self.tell.send(died).await;
        }
        self.withdraw(&entry);
        self.end(running).await;
    }

    async fn start(&mut self, running: &mut Running, entry: &Entry) -> Result<(), Halt> {
        let deadline = Instant::now() + self.patience;
        running.sidecar = Some(self.start_sidecar()?);
        let readiness = SocketAddr::from((self.net.sidecar(), 15021));
        let ready = ready::answers(readiness, "/healthz/ready", deadline);
        self.wait(ready, &mut running.sidecar, "sidecar").await?;
        if let Role::Sidecar(program) = self.workload.role.clone() {
            running.program = Some(self.start_program(&program)?);
            if let Some(port) = self.workload.ports.first() {
                let accepts = ready::accepts(SocketAddr::from((self.net.program(), *port)), deadline);
                self.wait(accepts, &mut running.program, "program").await?;
            }
        }
        Ok(entry.write()?)
    }

    /// Waits for readiness, the process's death, or an order, whichever is first.
    async fn wait(
        &mut self,
        ready: impl Future<Output = Result<(), ready::NotReady>>,
        process: &mut Option<Process>,
        what: &str,
    ) -> Result<(), Halt> {
        let death = tokio::select! {
            ready = ready => {
                return ready.map_err(|_| {
                    Halt::Wrong(format!("its {what} was not ready within {:?}", self.patience))
                });
            }
            // An order is never taken back, and a supervisor that is gone is one.
            () = ordered(&mut self.orders, Order::Drain) => return Err(Halt::Ordered),
            death = died(process) => death,
        };
        let _ = self.tell.send(death).await;
        Err(Halt::Told)
    }

    fn start_sidecar(&self) -> Result<Process, Halt> {
        let files = self.layout.workload(&self.workload.name);
        std::fs::create_dir_all(files.dir())?;
        let mut start = Start {
            name: match self.workload.role {
                Role::Gateway(_) => format!("the gateway {}", self.workload.name),
                Role::Sidecar(_) => format!("the sidecar of {}", self.workload.name),
            },
            log: files.proxy_log(),
            tether: Some(self.tools.weft.clone()),
            ..Start::default()
        };
        let bootstrap = bootstrap(&self.workload, self.net, Some(files.access_log()));
        write_json(&files.bootstrap(), &bootstrap)?;
        match self.workload.sidecar {
            Sidecar::Weft => {
                let Some(command) = self.tools.proxy.clone() else {
                    return Err(Halt::Wrong("no weft-proxy was found".to_owned()));
                };
                start.command = command;
                start.args = vec!["-c".into(), files.bootstrap().into()];
            }
            Sidecar::Envoy => {
                let Some(command) = self.tools.envoy.clone() else {
                    return Err(Halt::Wrong("no Envoy was found".to_owned()));
                };
                write_json(&files.envoy_bootstrap(), &envoy(&bootstrap))?;
                start.command = command;
                start.args = envoy_args(files.envoy_bootstrap(), self.workload.concurrency);
                start.stdout = Some(files.access_log());
            }
        }
        Ok(Process::start(start)?)
    }

    fn start_program(&self, program: &Program) -> Result<Process, Halt> {
        let start = Start {
            name: format!("the program of {}", self.workload.name),
            command: program.command.clone(),
            args: program.args.iter().map(OsString::from).collect(),
            env: environment::variables(&self.workload, self.net, &self.layout),
            log: self.layout.workload(&self.workload.name).program_log(),
            tether: Some(self.tools.weft.clone()),
            ..Start::default()
        };
        Ok(Process::start(start)?)
    }

    /// Whether the supervisor wants an end, or is gone.
    fn is_ordered_to_end(&self) -> bool {
        *self.orders.borrow() != Order::Run || self.orders.has_changed().is_err()
    }

    fn withdraw(&self, entry: &Entry) {
        if let Err(error) = entry.remove() {
            tracing::warn!(workload = self.workload.name, %error, "withdrawing a workload");
        }
    }

    /// The program first, so that its last requests still find the sidecar; then the sidecar drains.
    async fn end(&mut self, mut running: Running) {
        let mut orders = self.orders.clone();
        for process in [running.program.as_mut(), running.sidecar.as_mut()].into_iter().flatten() {
            end(process, &mut orders).await;
        }
    }
}

/// Keeps the control plane.
pub(super) async fn keep_control(
    process: Process,
    mut orders: watch::Receiver<Order>,
    tell: mpsc::Sender<Event>,
) {
    let mut control = Some(process);
    let ordered = tokio::select! {
        () = ordered(&mut orders, Order::Drain) => true,
        death = died(&mut control) => {
            let _ = tell.send(death).await;
            false
        }
    };
    if let Some(process) = control.as_mut().filter(|_| ordered) {
        end(process, &mut orders).await;
    }
}

/// Ends a process in order, or at once when that is ordered, be it in the middle of the first.
async fn end(process: &mut Process, orders: &mut watch::Receiver<Order>) {
    let drained = tokio::select! {
        () = process.stop(GRACE) => true,
        () = ordered(orders, Order::Kill) => false,
    };
    if !drained {
        process.kill().await;
    }
}

/// Resolves once so much is ordered; a supervisor that is gone orders everything. Cancel-safe.
async fn ordered(orders: &mut watch::Receiver<Order>, least: Order) {
    let _ = orders.wait_for(|order| *order >= least).await;
}

/// The death of a process, after which it is no more; never, where there is none. Cancel-safe.
async fn died(process: &mut Option<Process>) -> Event {
    let death = match process.as_mut() {
        Some(process) => process.died().await,
        None => std::future::pending().await,
    };
    *process = None;
    Event::Died(death)
}

fn write_json(path: &PathBuf, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    std::fs::write(path, text)
}

fn envoy_args(config: PathBuf, concurrency: Option<usize>) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-c".into(), config.into(), "--disable-hot-restart".into()];
    // Every Envoy of one user shares the names hot restart uses; none is ever restarted hot here.
    if let Some(threads) = concurrency {
        args.extend(["--concurrency".into(), threads.to_string().into()]);
    }
    args
}
