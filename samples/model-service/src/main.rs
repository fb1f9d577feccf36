//! `model-service MODEL CONTEXT`: plays one context of a domain model until it is told to stop; without a context it
//! serves the page of the model.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use http::HeaderValue;
use model_service::{Client, Journal, Service, Serving, page, serve};
use tokio::signal::unix::{SignalKind, signal};

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
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("usage: model-service MODEL [CONTEXT]")?;
    let bytes = std::fs::read(&file).with_context(|| format!("reading {file}"))?;
    let read = generate::read(&file, &bytes);
    let model = read.model.with_context(|| match read.issues.first() {
        Some(issue) => issue.to_string(),
        None => format!("{file} is no model"),
    })?;
    let name = arguments.next();
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let version = variable("SERVICE_VERSION").unwrap_or_else(|| "v1".to_owned());
    let page = page(&model);
    let service = match &name {
        None => None,
        Some(name) => {
            let events = PathBuf::from(variable("EVENTS").unwrap_or_else(|| "events".to_owned()));
            let journal = Journal::open(&events).with_context(|| format!("opening {}", events.display()))?;
            let proxy = variable("HTTP_PROXY")
                .map(|url| url.strip_prefix("http://").unwrap_or(&url).trim_end_matches('/').to_owned());
            let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let seed = format!("{}-{began}", std::process::id());
            let service = Service::new(model, name, Client { proxy }, (journal, seed));
            Some(service.with_context(|| format!("the model has no context {name:?}"))?)
        }
    };
    let who = [name.as_deref().unwrap_or("page"), version.as_str()];
    let who = who.map(|text| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?")));
    let ip = match variable("BIND") {
        Some(ip) => ip.parse().with_context(|| format!("BIND is {ip:?}"))?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let port = match variable("PORT") {
        Some(port) => port.parse().with_context(|| format!("PORT is {port:?}"))?,
        None => 8080,
    };
    let address = SocketAddr::new(ip, port);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))?;
        tracing::info!(%address, context = name.as_deref().unwrap_or("page"), "serving");
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        serve(listener, Serving { service, page, who }, stop).await;
        Ok(())
    })
}
