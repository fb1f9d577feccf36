//! What verbs share that run a mesh of processes until they are told to stop.

use std::pin::pin;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use local::{Death, Event, Mesh, Options};

use crate::exit::Exit;
use crate::terminal::{self, Progress};

/// Runs a mesh until Ctrl-C: starts it, waits until it is ready, announces it, tells what dies, and stops it.
///
/// # Errors
/// When it does not become ready. Nothing of it is left behind then, either.
pub(super) async fn run(
    options: Options,
    announce: impl AsyncFnOnce(u8) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let count = options.workloads.len();
    let mut signals = Signals::new().context("listening to signals")?;
    let mut mesh = Mesh::start(options)?;
    let outcome = tokio::select! {
        outcome = live(&mut mesh, count, announce) => outcome,
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
    count: usize,
    announce: impl AsyncFnOnce(u8) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    until_ready(mesh, count).await?;
    let mut announced = pin!(announce(mesh.number()));
    let mut is_announced = false;
    loop {
        let event = tokio::select! {
            event = mesh.next() => event,
            done = announced.as_mut(), if !is_announced => {
                done?;
                is_announced = true;
                continue;
            }
        };
        match event {
            Some(Event::Died(death)) => tell(&death),
            Some(Event::Failed { workload, why }) => terminal::say(&format!("{workload} failed: {why}")),
            Some(Event::Ready { .. }) => {}
            None => anyhow::bail!("every process of the mesh has ended"),
        }
    }
}

async fn until_ready(mesh: &mut Mesh, count: usize) -> anyhow::Result<()> {
    let progress = Progress::new();
    for ready in 0..count {
        progress.show(&format!("starting: {ready} of {count} ready"));
        match mesh.next().await {
            Some(Event::Ready { .. }) => {}
            Some(Event::Failed { workload, why }) => {
                progress.clear();
                anyhow::bail!("{workload} failed: {why}");
            }
            Some(Event::Died(death)) => {
                progress.clear();
                tell(&death);
                anyhow::bail!("{} ended before the mesh was ready", death.name);
            }
            None => anyhow::bail!("every process of the mesh has ended"),
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
