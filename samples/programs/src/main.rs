//! `sample ROLE [ARGUMENTS]`: plays one of the programs until it is ended.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use programs::{HeaderValues, Hello, Httpbin, Program, Settings, Site};

/// What may be asked for.
const USAGE: &str = "\
usage: sample ROLE, one of
  httpbin          answers with what it was asked; HEADERS=strings writes headers as Python's does
  helloworld       says SERVICE_VERSION at /hello
  site             answers from the table in SITE, a JSON list of {port, path, status, host, headers, body}
  tcp-echo WORD    sends every line back behind the word
  forward-proxy    leads CONNECT wherever it is asked to; HOSTS is a file of names beside those of DNS
  idle             does nothing
It listens on BIND:PORT, or on every one of PORTS, with TLS where TLS_CERT and TLS_KEY (and TLS_CLIENT_CA) say so,
on all of them unless TLS_PORTS lists some.";

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            outcome = play() => outcome,
            _ = terminate.recv() => Ok(()),
        }
    })
}

async fn play() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let role = std::env::args().nth(1).context(USAGE)?;
    let settings = Settings::read(variable)?;
    let program: Arc<dyn Program> = match role.as_str() {
        "httpbin" => {
            let as_strings = variable("HEADERS").is_some_and(|how| how == "strings");
            Arc::new(Httpbin { values: if as_strings { HeaderValues::Strings } else { HeaderValues::Lists } })
        }
        "helloworld" => Arc::new(Hello {
            version: variable("SERVICE_VERSION").unwrap_or_else(|| "v1".to_owned()),
            instance: variable("POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or_default(),
        }),
        "site" => {
            let table = variable("SITE").context("SITE is not set")?;
            Arc::new(serde_json::from_str::<Site>(&table).context("reading SITE")?)
        }
        "tcp-echo" | "forward-proxy" | "idle" => return plain(&role, &settings).await,
        _ => anyhow::bail!(USAGE),
    };
    let tls = programs::acceptor(&settings)?;
    let mut serving = JoinSet::new();
    for address in settings.addresses() {
        let listener = listen(address).await?;
        let tls = tls.clone().filter(|_| settings.speaks_tls(address.port()));
        serving.spawn(programs::serve(listener, Arc::clone(&program), tls));
    }
    ended(serving).await
}

async fn plain(role: &str, settings: &Settings) -> anyhow::Result<()> {
    if role == "idle" {
        return std::future::pending().await;
    }
    let word = std::env::args().nth(2).unwrap_or_else(|| "hello".to_owned());
    let mut serving = JoinSet::new();
    for address in settings.addresses() {
        let listener = listen(address).await?;
        match role {
            "tcp-echo" => serving.spawn(programs::echo(listener, word.clone())),
            _ => serving.spawn(programs::forward_proxy(listener, std::env::var_os("HOSTS").map(Into::into))),
        };
    }
    ended(serving).await
}

async fn listen(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    tracing::info!(%address, "serving");
    Ok(listener)
}

async fn ended(mut serving: JoinSet<std::io::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = serving.join_next().await {
        done.context("serving")?.context("accepting connections")?;
    }
    Ok(())
}
