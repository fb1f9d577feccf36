//! The process: arguments, allocator, signals.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use proxy::Machine;
use proxy::config::{self, Arguments};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = telemetry::log::start(&arguments.log_level, telemetry::log::Style::Plain) {
        return refuse(&error.into());
    }
    proxy::process::settle();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error),
    }
}

/// Says why the process cannot go on; the log may not have begun, and a person may be watching.
fn refuse(error: &anyhow::Error) -> ExitCode {
    use std::io::Write;
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "weft-proxy: {error:#}");
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bootstrap = config::read(&arguments.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (machine, control) = Machine::start(bootstrap).await?;
        tokio::select! {
            () = machine.follow(control) => {}
            () = machine.asked_to_quit() => tracing::info!("asked to quit"),
            _ = terminate.recv() => tracing::info!("terminating"),
            _ = interrupt.recv() => tracing::info!("interrupted"),
        }
        machine.drain(Duration::from_secs(arguments.drain_time)).await;
        Ok(())
    })
}
