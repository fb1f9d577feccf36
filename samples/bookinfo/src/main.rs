//! `bookinfo ROLE`: plays one of the four services until it is told to stop.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use bookinfo::server::{self, Stop};
use bookinfo::{Environment, Role};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("usage: bookinfo productpage|details|reviews|ratings")?;
    let environment = Environment::of_process();
    let role = Role::named(&name, &environment)
        .with_context(|| format!("{name:?} is none of productpage, details, reviews, ratings"))?;
    let address = environment.listen_address().context("reading BIND and PORT")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))?;
        tracing::info!(role = name, %address, "serving");
        server::serve(listener, Arc::new(role), Stop::on_signal()?).await;
        Ok(())
    })
}
