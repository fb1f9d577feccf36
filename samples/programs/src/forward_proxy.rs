//! `forward-proxy`: leads `CONNECT` wherever it is asked to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// The longest head of a request that is read.
const HEAD: u64 = 16 * 1024;

/// How long the far end may take to be reached.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves connections until the listener breaks; `hosts` are names beside those of DNS, as in `/etc/hosts`.
///
/// # Errors
/// When no connection can be accepted any more.
pub async fn forward_proxy(listener: TcpListener, hosts: Option<PathBuf>) -> std::io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let hosts = hosts.clone();
        tokio::spawn(async move {
            if let Err(error) = tunnel(stream, hosts.as_deref()).await {
                tracing::info!(%peer, "{error:#}");
            }
        });
    }
}

async fn tunnel(stream: TcpStream, hosts: Option<&Path>) -> anyhow::Result<()> {
    let mut client = BufReader::new(stream);
    let mut head = String::new();
    let mut limited = (&mut client).take(HEAD);
    let target = loop {
        let begin = head.len();
        anyhow::ensure!(limited.read_line(&mut head).await? > 0, "the request was cut");
        if head.get(begin..).is_some_and(|line| line.trim_end().is_empty()) {
            let words: Vec<&str> = head.lines().next().unwrap_or_default().split(' ').collect();
            break match words.as_slice() {
                ["CONNECT", target, _] => (*target).to_owned(),
                _ => {
                    client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n").await?;
                    anyhow::bail!("only CONNECT is served");
                }
            };
        }
    };
    tracing::info!("CONNECT {target}");
    let known = hosts.and_then(|hosts| written(hosts, &target));
    let connecting = TcpStream::connect(known.as_ref().unwrap_or(&target));
    let connecting = tokio::time::timeout(PATIENCE, connecting).await;
    let Ok(Ok(mut far)) = connecting else {
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await?;
        anyhow::bail!("{target} cannot be reached");
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut far).await.context("relaying")?;
    Ok(())
}

/// The address a file of hosts gives a target, with its port.
fn written(hosts: &Path, target: &str) -> Option<String> {
    let (name, port) = target.rsplit_once(':')?;
    let text = std::fs::read_to_string(hosts).ok()?;
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let address = lines.find_map(|words| match words.as_slice() {
        [address, names @ ..] if names.contains(&name) => Some((*address).to_owned()),
        _ => None,
    })?;
    Some(format!("{address}:{port}"))
}
