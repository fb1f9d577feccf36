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
use crate::bootstrap::{bootstrap, discovery, envoy};
use crate::entry::Entry;
use crate::environment;
use crate::layout::Layout;
use crate::process::{Death, Process, Start};
use crate::proxy_config::{self, Run};
use crate::ready::{self, Pace, Question, Watch};
use crate::tools::Tools;
use crate::workload::{Program, Readiness, Restart, Role, Sidecar, Workload};

/// Who has run for so long starts anew without a longer pause.
const STEADY: Duration = Duration::from_secs(10);

/// How a sidecar goes on being asked: often, since it is what others are led to, and with patience, since a busy
/// machine is no reason to send nobody.
const SIDECAR: Pace = Pace {
    initial_delay: Duration::ZERO,
    period: Duration::from_secs(1),
    timeout: Duration::from_secs(5),
    failures: 3,
    successes: 1,
};

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
    pub(super) tell: mpsc::UnboundedSender<Event>,
}

/// The processes of one workload, as far as they run.
#[derive(Default)]
struct Running {
    sidecar: Option<Process>,
    /// How long the sidecar lets connections finish when it ends.
    drain: Duration,
    program: Option<Process>,
}

/// Why a workload is not up, or no longer.
enum Halt {
    /// A process has ended by itself.
    Died(Death, Part),
    /// The supervisor wants an end.
    Ordered,
    /// Something is wrong that another try would not mend.
    Wrong(String),
}

/// Which process of a workload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Program,
    Sidecar,
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl Keeper {
    /// Runs until told to end; what ends by itself in between is told, and started again if the workload says so.
    pub(super) async fn run(mut self) {
        let entry = Entry::of(&self.workload, self.net, &self.layout);
        let mut running = Running::default();
        let mut failures = 0;
        let mut is_given_up = false;
        loop {
            let began = Instant::now();
            let halt = self.live(&mut running, &entry, is_given_up).await;
            // Half a workload serves nobody; that it is gone is known before anyone is told.
            self.withdraw(&entry);
            match halt {
                Halt::Ordered => break,
                Halt::Died(death, part) if self.restarts(&death, part) && !is_given_up => {
                    failures = if began.elapsed() < STEADY { failures + 1 } else { 0 };
                    let pause = Restart::pause(failures);
                    self.say(Event::Restarting(death, pause));
                    let paused = tokio::time::timeout(pause, ordered(&mut self.orders, Order::Drain));
                    if paused.await.is_ok() {
                        break;
                    }
                }
                Halt::Died(death, _) => {
                    is_given_up = true;
                    self.say(Event::Died(death));
                }
                Halt::Wrong(why) => {
                    is_given_up = true;
                    self.say(Event::Failed { workload: self.workload.name.clone(), why });
                }
            }
        }
        self.end(running).await;
    }

    fn say(&self, event: Event) {
        // Nobody listens any more once the mesh is being dropped.
        let _ = self.tell.send(event);
    }

    fn restarts(&self, death: &Death, part: Part) -> bool {
        match self.workload.restart {
            Restart::Always => true,
            Restart::Never => false,
            Restart::OnFailure => part == Part::Sidecar || !death.is_success,
        }
    }

    /// Starts what does not run, and watches what does until something ends.
    async fn live(&mut self, running: &mut Running, entry: &Entry, is_given_up: bool) -> Halt {
        if !is_given_up {
            if let Err(halt) = self.start(running, entry).await {
                return halt;
            }
            self.say(Event::Ready { workload: self.workload.name.clone(), after: self.began.elapsed() });
        }
        let mut asking = Watch::new(if is_given_up { Vec::new() } else { self.questions() });
        loop {
            let is_ready = tokio::select! {
                () = ordered(&mut self.orders, Order::Drain) => return Halt::Ordered,
                death = died(&mut running.sidecar) => return Halt::Died(death, Part::Sidecar),
                death = died(&mut running.program) => return Halt::Died(death, Part::Program),
                is_ready = asking.turned() => is_ready,
            };
            let workload = self.workload.name.clone();
            if !is_ready {
                self.withdraw(entry);
                self.say(Event::Unready { workload });
            } else if let Err(error) = entry.write() {
                return error.into();
            } else {
                self.say(Event::Ready { workload, after: self.began.elapsed() });
            }
        }
    }

    /// What goes on being asked of what runs: the sidecar always, the program where its author said how.
    fn questions(&self) -> Vec<(Question, Pace)> {
        let sidecar = (self.workload.sidecar != Sidecar::None).then(|| (self.of_sidecar(), SIDECAR));
        let program = self.workload.readiness.as_ref().and_then(|readiness| self.of_program(readiness));
        sidecar.into_iter().chain(program.map(|question| (question, self.workload.pace))).collect()
    }

    fn of_sidecar(&self) -> Question {
        Question::Answer(SocketAddr::from((self.net.sidecar(), 15021)), "/healthz/ready".to_owned())
    }

    fn of_program(&self, readiness: &Readiness) -> Option<Question> {
        let at = |port: u16| SocketAddr::from((self.net.program(), self.workload.listens_on(port)));
        match readiness {
            Readiness::Http(port, path) => Some(Question::Answer(at(*port), path.clone())),
            Readiness::Tcp(port) => Some(Question::Connection(at(*port))),
            Readiness::Started => None,
        }
    }

    async fn start(&mut self, running: &mut Running, entry: &Entry) -> Result<(), Halt> {
        let deadline = Instant::now() + self.patience;
        if running.sidecar.is_none() && self.workload.sidecar != Sidecar::None {
            let run = proxy_config::run(&self.workload, &self.layout);
            running.drain = run.drain;
            running.sidecar = Some(self.start_sidecar(&run)?);
            let question = self.of_sidecar();
            self.wait(question.until(&SIDECAR, deadline), &mut running.sidecar, Part::Sidecar).await?;
        }
        if running.program.is_none()
            && let Role::Sidecar(program) = self.workload.role.clone()
        {
            running.program = Some(self.start_program(&program)?);
            if let Some(question) = self.of_program(&self.workload.readiness()) {
                let pace = self.workload.pace;
                let until = question.until(&pace, deadline + pace.initial_delay);
                self.wait(until, &mut running.program, Part::Program).await?;
            }
        }
        Ok(entry.write()?)
    }

    /// Waits for readiness, the process's death, or an order, whichever is first.
    async fn wait(
        &mut self,
        ready: impl Future<Output = Result<(), ready::NotReady>>,
        process: &mut Option<Process>,
        part: Part,
    ) -> Result<(), Halt> {
        tokio::select! {
            ready = ready => ready.map_err(|_| {
                let what = if part == Part::Program { "program" } else { "sidecar" };
                Halt::Wrong(format!("its {what} was not ready within {:?}", self.patience))
            }),
            // An order is never taken back, and a supervisor that is gone is one.
            () = ordered(&mut self.orders, Order::Drain) => Err(Halt::Ordered),
            death = died(process) => Err(Halt::Died(death, part)),
        }
    }

    fn start_sidecar(&self, run: &Run) -> Result<Process, Halt> {
        let files = self.layout.workload(&self.workload.name);
        std::fs::create_dir_all(files.dir())?;
        let mut start = Start {
            name: match self.workload.role {
                Role::Gateway(_) => format!("the gateway {}", self.workload.name),
                Role::Sidecar(_) => format!("the sidecar of {}", self.workload.name),
            },
            log: files.proxy_log(),
            env: run.variables.clone(),
            tether: Some(self.tools.weft.clone()),
            ..Start::default()
        };
        let discovery = discovery(&self.workload, self.net, &self.layout);
        let mut bootstrap = bootstrap(&self.workload, self.net, discovery, Some(files.access_log()));
        run.tell(&mut bootstrap);
        write_json(&files.bootstrap(), &bootstrap)?;
        match self.workload.sidecar {
            Sidecar::Weft => {
                let Some(command) = self.tools.proxy.clone() else {
                    return Err(Halt::Wrong("no weft-proxy was found".to_owned()));
                };
                start.command = command;
                let drain = run.drain.as_secs().to_string();
                start.args = vec!["-c".into(), files.bootstrap().into(), "--drain-time".into(), drain.into()];
            }
            Sidecar::Envoy => {
                let Some(command) = self.tools.envoy.clone() else {
                    return Err(Halt::Wrong("no Envoy was found".to_owned()));
                };
                write_json(&files.envoy_bootstrap(), &envoy(&bootstrap))?;
                start.command = command;
                start.args = envoy_args(files.envoy_bootstrap(), bootstrap.concurrency, run.listener_drain);
                start.stdout = Some(files.access_log());
            }
            Sidecar::None => return Err(Halt::Wrong("it has no sidecar".to_owned())),
        }
        Ok(Process::start(start)?)
    }

    fn start_program(&self, program: &Program) -> Result<Process, Halt> {
        let start = Start {
            name: format!("the program of {}", self.workload.name),
            command: program.command.clone(),
            args: program.args.iter().map(OsString::from).collect(),
            dir: program.dir.clone(),
            env: environment::variables(&self.workload, self.net, &self.layout),
            log: self.layout.workload(&self.workload.name).program_log(),
            tether: Some(self.tools.weft.clone()),
            ..Start::default()
        };
        Ok(Process::start(start)?)
    }

    fn withdraw(&self, entry: &Entry) {
        if let Err(error) = entry.remove() {
            tracing::warn!(workload = self.workload.name, %error, "withdrawing a workload");
        }
    }

    /// The program first, so that its last requests still find the sidecar; then the sidecar drains.
    async fn end(&mut self, mut running: Running) {
        let mut orders = self.orders.clone();
        if let Some(program) = &mut running.program {
            end(program, GRACE, &mut orders).await;
        }
        if let Some(sidecar) = &mut running.sidecar {
            end(sidecar, GRACE.max(running.drain + Duration::from_secs(1)), &mut orders).await;
        }
    }
}

/// Keeps the control plane.
pub(super) async fn keep_control(
    process: Process,
    mut orders: watch::Receiver<Order>,
    tell: mpsc::UnboundedSender<Event>,
) {
    let mut control = Some(process);
    let ordered = tokio::select! {
        () = ordered(&mut orders, Order::Drain) => true,
        death = died(&mut control) => {
            let _ = tell.send(Event::Died(death));
            false
        }
    };
    if let Some(process) = control.as_mut().filter(|_| ordered) {
        end(process, GRACE, &mut orders).await;
    }
}

/// Ends a process in order, or at once when that is ordered, be it in the middle of the first.
async fn end(process: &mut Process, grace: Duration, orders: &mut watch::Receiver<Order>) {
    let drained = tokio::select! {
        () = process.stop(grace) => true,
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
async fn died(process: &mut Option<Process>) -> Death {
    let death = match process.as_mut() {
        Some(process) => process.died().await,
        None => std::future::pending().await,
    };
    *process = None;
    death
}

fn write_json(path: &PathBuf, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    std::fs::write(path, text)
}

fn envoy_args(config: PathBuf, concurrency: Option<usize>, drain: Duration) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-c".into(), config.into(), "--disable-hot-restart".into()];
    // Every Envoy of one user shares the names hot restart uses; none is ever restarted hot here.
    args.extend(["--drain-time-s".into(), drain.as_secs().max(1).to_string().into()]);
    if let Some(threads) = concurrency {
        args.extend(["--concurrency".into(), threads.to_string().into()]);
    }
    args
}
