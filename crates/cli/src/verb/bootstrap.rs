//! `weft bootstrap`: what a proxy is started with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use base::{Discovery, Labels, LocalNet};
use local::{Claim, Layout, Program, Role, Sidecar, Workload};

use super::target::Target;
use crate::exit::Exit;
use crate::terminal;

/// Write what a proxy is started with: for `weft-proxy -c FILE`, or with --envoy for `envoy -c FILE`.
#[derive(Args, Debug)]
pub struct Bootstrap {
    /// The workload's name.
    pub(crate) name: String,
    /// Its namespace.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// A label, by which Services select it; may be given several times.
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Its service account.
    #[arg(long, default_value = "default")]
    pub(crate) service_account: String,
    /// Its number in the local mesh, 1 to 250: its loopback network is 127.MESH.NUMBER.0/24.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=250))]
    pub(crate) workload: u8,
    /// The mesh's number; told by the running mesh where absent.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) mesh_number: Option<u8>,
    /// It is a gateway, not a sidecar.
    #[arg(long)]
    pub(crate) gateway: bool,
    /// Where the gateway listens.
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), requires = "gateway")]
    pub(crate) bind: IpAddr,
    /// The control plane, if not the local mesh's: ADDRESS:PORT or unix:PATH.
    #[arg(long, value_name = "ADDR")]
    pub(crate) discovery: Option<Discovery>,
    /// The access log; standard output where absent.
    #[arg(long, value_name = "FILE", conflicts_with = "envoy")]
    pub(crate) access_log: Option<PathBuf>,
    /// The proxy's worker threads; one per core where absent.
    #[arg(long, value_name = "COUNT", conflicts_with = "envoy")]
    pub(crate) concurrency: Option<usize>,
    /// Write it for a stock Envoy.
    #[arg(long)]
    pub(crate) envoy: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Bootstrap {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let (mesh, dir) = match self.mesh_number {
            Some(mesh) => (mesh, self.target.mesh.clone()),
            None => self.found().await.map(|(mesh, dir)| (mesh, Some(dir)))?,
        };
        let dir = dir.map(std::path::absolute).transpose().context("the mesh's directory")?;
        terminal::print(&self.render(mesh, dir)?)?;
        Ok(Exit::Done)
    }

    /// The number of the mesh that runs, told by where it serves discovery, and its directory.
    async fn found(&self) -> anyhow::Result<(u8, PathBuf)> {
        let standing = self.target.find().await?.status().await?;
        let discovery = standing.discovery;
        match discovery.parse::<SocketAddr>().map(|address| address.ip()) {
            Ok(IpAddr::V4(ip))
                if ip.is_loopback() && local::claim::numbers().any(|n| LocalNet::control(n) == ip) =>
            {
                Ok((ip.octets()[1], standing.dir))
            }
            _ => anyhow::bail!("the control plane at {discovery} has no local mesh; give --mesh-number"),
        }
    }

    /// What is written; a mesh whose directory is not known is reached by the network.
    fn render(&self, mesh: u8, dir: Option<PathBuf>) -> anyhow::Result<String> {
        anyhow::ensure!(local::claim::numbers().any(|n| n == mesh), "{}", local::ClaimError::Number(mesh));
        let workload = Workload {
            name: self.name.clone(),
            pod: self.name.clone(),
            namespace: self.namespace.clone(),
            labels: Labels(self.labels.iter().cloned().collect()),
            service_account: self.service_account.clone(),
            role: if self.gateway { Role::Gateway(self.bind) } else { Role::Sidecar(Program::default()) },
            sidecar: if self.envoy { Sidecar::Envoy } else { Sidecar::Weft },
            concurrency: self.concurrency,
            ..Workload::default()
        };
        let net = LocalNet { mesh, workload: self.workload };
        let discovery = match (&self.discovery, dir) {
            (Some(discovery), _) => discovery.clone(),
            (None, Some(dir)) => local::bootstrap::discovery(&workload, net, &Layout::new(dir)),
            (None, None) => Claim::discovery(mesh).into(),
        };
        let bootstrap = local::bootstrap::bootstrap(&workload, net, discovery, self.access_log.clone());
        let document = match self.envoy {
            true => local::bootstrap::envoy(&bootstrap),
            false => serde_json::to_value(&bootstrap).context("writing the bootstrap")?,
        };
        Ok(format!("{document:#}\n"))
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is written KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bootstrap: Bootstrap,
    }

    fn render(line: &str) -> Result<serde_json::Value, String> {
        let words = std::iter::once("bootstrap").chain(line.split(' '));
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let text = line.bootstrap.render(79, None).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_sidecars_bootstrap_is_what_the_supervisor_would_write() {
        let written = render("reviews --workload 5 -l app=reviews -l version=v1").expect("a bootstrap");

        assert_eq!(written["id"], "sidecar~127.79.5.1~reviews.default~default.svc.cluster.local");
        assert_eq!(written["metadata"]["LABELS"]["version"], "v1");
        assert_eq!(written["discovery"], "127.79.0.1:15010");
    }

    #[test]
    fn an_envoy_gets_the_same_in_its_own_words() {
        let written = render("edge --workload 1 --gateway --bind 127.0.0.1 --envoy --discovery 127.0.0.1:9")
            .expect("one");

        assert_eq!(written["node"]["metadata"]["GATEWAY_BIND"], "127.0.0.1");
        assert!(written["node"]["id"].as_str().is_some_and(|id| id.starts_with("router~")));
        let at =
            &written["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
        assert_eq!(at["endpoint"]["address"]["socket_address"]["port_value"], 9);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "reviews",
            "reviews --workload 251",
            "reviews --workload 1 -l app",
            "x --workload 1 --bind 1.1.1.1",
        ] {
            assert!(render(line).is_err(), "{line}");
        }
    }
}
