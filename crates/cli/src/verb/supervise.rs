//! What verbs share that run a mesh of processes until they are told to stop.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use base::{Issue, Severity};
use control::client::Client;
use control::wire::{ProxyStatus, Status};
use local::{Death, Event, Mesh, Options, Sidecar, Workload};

use crate::exit::{Exit, UsageError};
use crate::report::{self, Sources};
use crate::terminal::{self, Progress};

/// How often is looked whether proxies know of everybody, and how long that may take.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked what is wrong with the mesh's objects.
const GLANCE: Duration = Duration::from_millis(500);

/// Runs a mesh until Ctrl-C: starts it, waits until it is ready, announces it, tells what dies, and stops it.
///
/// # Errors
/// When it does not become ready. Nothing of it is left behind then, either.
pub(super) async fn run(
    options: Options,
    announce: impl AsyncFnOnce(u8) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let count = options.workloads.len();
    let findings = Findings { client: Client::new(options.layout.socket()), told: Vec::new() };
    let mut signals = Signals::new().context("listening to signals")?;
    let mut mesh = Mesh::start(options)?;
    let outcome = tokio::select! {
        outcome = live(&mut mesh, (count, findings), announce) => outcome,
        () = signals.next() => Ok(Exit::Done),
    };
    let is_stopped = tokio::select! {
        () = mesh.stop() => true,
        // Whoever asks twice does not want to wait.
        () = signals.next() => false,
    };
    if !is_stopped {
        mesh.kill().await;
    }
    outcome
}

async fn live(
    mesh: &mut Mesh,
    (count, mut findings): (usize, Findings),
    announce: impl AsyncFnOnce(u8) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    until_ready(mesh, count).await?;
    let mut announced = pin!(announce(mesh.number()));
    let mut is_announced = false;
    let mut unready = BTreeSet::new();
    let mut ticks = tokio::time::interval(GLANCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = mesh.next() => event,
            _ = ticks.tick(), if is_announced => {
                findings.tell_news().await;
                continue;
            }
            done = announced.as_mut(), if !is_announced => {
                done?;
                is_announced = true;
                continue;
            }
        };
        match event {
            Some(Event::Died(death)) => tell(&death),
            Some(Event::Restarting(death, pause)) => tell_restart(&death, pause),
            Some(Event::Failed { workload, why }) => terminal::say(&format!("{workload} failed: {why}")),
            Some(Event::Unready { workload }) => {
                unready.insert(workload.clone());
                terminal::say(&format!("{workload} is not ready any more; nobody is sent to it"));
            }
            Some(Event::Ready { workload, .. }) if unready.remove(&workload) => {
                terminal::say(&format!("{workload} is ready again"));
            }
            Some(Event::Ready { .. }) => {}
            None => anyhow::bail!("every process of the mesh has ended"),
        }
    }
}

/// What is wrong with the mesh's objects, told as it comes and goes.
struct Findings {
    client: Client,
    told: Vec<Issue>,
}

impl Findings {
    async fn tell_news(&mut self) {
        // A control plane that does not answer is told of when it ends.
        let Ok(Status { issues, .. }) = self.client.status().await else { return };
        let is_new = |issue: &&Issue| !self.told.contains(issue);
        report::say(&issues.iter().filter(is_new).cloned().collect::<Vec<_>>(), &Sources::default());
        let wrong = |issues: &[Issue]| -> BTreeSet<Arc<str>> {
            let errors = issues.iter().filter(|issue| issue.severity == Severity::Error);
            errors.map(|issue| issue.place.file.clone()).collect()
        };
        for file in wrong(&self.told).difference(&wrong(&issues)) {
            terminal::say(&format!("{file}: nothing is wrong any more"));
        }
        self.told = issues;
    }
}

async fn until_ready(mesh: &mut Mesh, count: usize) -> anyhow::Result<()> {
    let progress = Progress::new();
    let mut ready = BTreeSet::new();
    while ready.len() < count {
        progress.show(&format!("starting: {} of {count} ready", ready.len()));
        match mesh.next().await {
            Some(Event::Ready { workload, .. }) => {
                ready.insert(workload);
            }
            Some(Event::Failed { workload, why }) => {
                progress.clear();
                anyhow::bail!("{workload} failed: {why}");
            }
            Some(Event::Died(death)) => {
                progress.clear();
                tell(&death);
                anyhow::bail!("{} ended before the mesh was ready", death.name);
            }
            Some(Event::Restarting(death, pause)) => {
                progress.clear();
                tell_restart(&death, pause);
            }
            Some(Event::Unready { workload }) => {
                ready.remove(&workload);
            }
            None => anyhow::bail!("every process of the mesh has ended"),
        }
    }
    Ok(())
}

/// Waits until every proxy knows of every workload.
///
/// # Errors
/// When some does not for a long while.
pub(super) async fn settled(dir: &Path, workloads: usize, proxies: usize) -> anyhow::Result<()> {
    let client = control::client::find(Some(dir)).await?;
    let waiting = async {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = client.status().await?;
            let entries = status.objects.get("WorkloadEntry").copied().unwrap_or_default();
            let knows_all = |proxy: &ProxyStatus| proxy.settled >= status.generation;
            let is_whole = entries >= workloads && status.proxies.len() >= proxies;
            if is_whole && status.proxies.iter().all(knows_all) {
                return anyhow::Ok(());
            }
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, waiting).await;
    outcome.with_context(|| format!("some proxy does not know of every workload after {PATIENCE:?}"))?
}

fn tell_restart(death: &Death, pause: Duration) {
    tell(death);
    terminal::say(&format!("  it is started again in {:.1} s", pause.as_secs_f64()));
}

/// Gives an Envoy to every workload that is meant by one of the names.
///
/// # Errors
/// When a name means none.
pub(super) fn dress(workloads: &mut [Workload], names: &[String]) -> Result<(), UsageError> {
    for name in names {
        let mut is_known = false;
        for workload in workloads
            .iter_mut()
            .filter(|workload| workload.sidecar != Sidecar::None && workload.is_meant_by(name))
        {
            workload.sidecar = Sidecar::Envoy;
            is_known = true;
        }
        if !is_known {
            let known: Vec<&str> = workloads.iter().map(|workload| workload.name.as_str()).collect();
            return Err(UsageError(format!(
                "--envoy {name}: there is no such workload; there are gateway, a service's name, and {}",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

fn tell(death: &Death) {
    let mut text = format!("{} ended: {}", death.name, death.status);
    for line in &death.last {
        text.push_str("\n  | ");
        text.push_str(line);
    }
    text.push_str(&format!("\n  its log: {}", death.log.display()));
    terminal::say(&text);
}

/// The signals that ask for an end.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Cancel-safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Labels;
    use local::Role;

    use super::*;

    fn cast() -> Vec<Workload> {
        let workload = |name: &str, app: &str| Workload {
            name: name.into(),
            labels: Labels::from([("app", app)]),
            ..Workload::default()
        };
        let gateway = Workload {
            role: Role::Gateway([127, 0, 0, 1].into()),
            ..workload("istio-ingressgateway", "istio-ingressgateway")
        };
        let outside = Workload { sidecar: Sidecar::None, ..workload("reviews-legacy", "reviews") };
        vec![gateway, workload("reviews-v1", "reviews"), workload("reviews-v2", "reviews"), outside]
    }

    fn envoys(names: &[&str]) -> Vec<String> {
        let mut workloads = cast();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        dress(&mut workloads, &names).expect("known names");
        workloads.into_iter().filter(|w| w.sidecar == Sidecar::Envoy).map(|w| w.name).collect()
    }

    #[test]
    fn an_envoy_is_for_a_workload_a_service_or_the_gateway() {
        assert_eq!(envoys(&[]), [""; 0]);
        assert_eq!(envoys(&["reviews-v2"]), ["reviews-v2"]);
        assert_eq!(envoys(&["gateway", "reviews"]), ["istio-ingressgateway", "reviews-v1", "reviews-v2"]);
        assert!(dress(&mut cast(), &["review".to_owned()]).is_err());
    }
}
