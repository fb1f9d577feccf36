//! `weft up`: programs of the user's own as a mesh.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use base::LocalNet;
use control::wire::Document;
use local::{Layout, MeshFile, Options, Sidecar, Tools, Workload};

use super::supervise;
use crate::exit::Exit;
use crate::report::{self, Sources};
use crate::table::Table;
use crate::terminal;

/// What stands below `weft up --help`.
const EXAMPLE: &str = "\
A file says what runs; objects (Services, VirtualServices, …) lie in `directory`, beside it unless said otherwise:

  apiVersion: weft/v1alpha1
  kind: Mesh
  metadata: {name: shop}
  spec:
    directory: config
    gateways:
    - name: istio-ingressgateway
      labels: {istio: ingressgateway}
    workloads:
    - name: orders-v1
      labels: {app: orders, version: v1}
      command: [./bin/orders]        # relative to this file; listens on $BIND:$PORT
      ports: [8080]
      replicas: 2
      readiness: {httpGet: {path: /health, port: 8080}}

docs/local-mode.md tells every field, and what a program finds in its environment.";

/// Run programs of your own as a mesh: each beside a sidecar, no root, no container, no cluster.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct Up {
    /// The file that says what runs.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub(crate) filename: PathBuf,
    /// The number of the mesh: its loopback network is 127.NUMBER.0.0/16; the first free one where absent.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) mesh_number: Option<u8>,
    /// Run a stock Envoy in place of Weft's proxy: for a workload, a service (all its workloads) or `gateway`;
    /// may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) envoy: Vec<String>,
    /// How long every process may take to be ready, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
}

impl Up {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let began = Instant::now();
        let mut file = read(&self.filename)?;
        supervise::dress(&mut file.workloads, &self.envoy)?;
        let tools = Tools::find(&file.workloads)?;
        let looking = || format!("looking for the objects in {}", file.dir.display());
        let dir = file.dir.canonicalize().with_context(looking)?;
        let options = Options {
            layout: Layout::new(&dir),
            mesh: self.mesh_number,
            tools,
            workloads: file.workloads.clone(),
            patience: Duration::from_secs(self.timeout),
        };
        supervise::run(options, async move |mesh| {
            let proxies = file.workloads.iter().filter(|workload| workload.sidecar != Sidecar::None).count();
            supervise::settled(&dir, file.workloads.len(), proxies).await?;
            terminal::print(&greeting(&file, &dir, mesh, began.elapsed()))?;
            Ok(())
        })
        .await
    }
}

fn read(path: &Path) -> anyhow::Result<MeshFile> {
    let reading = || format!("reading {}", path.display());
    let path = std::path::absolute(path).with_context(reading)?;
    let text = std::fs::read_to_string(&path).with_context(reading)?;
    MeshFile::parse(&path, &text).map_err(|issues| {
        let document = Document { file: path.display().to_string(), text };
        report::say(&issues, &Sources::of(&[document]));
        anyhow::anyhow!("{} says no mesh", path.display())
    })
}

fn greeting(file: &MeshFile, dir: &Path, mesh: u8, took: Duration) -> String {
    let mut table = Table::new(["WORKLOAD", "NAMESPACE", "PROXY", "ADDRESS", "LOG"]);
    for (slot, workload) in (1..).zip(&file.workloads) {
        let net = LocalNet { mesh, workload: slot };
        table.row(vec![
            workload.name.clone(),
            workload.namespace.clone(),
            proxy(workload).to_owned(),
            if workload.sidecar == Sidecar::None { net.program() } else { net.sidecar() }.to_string(),
            Layout::new(dir).workload(&workload.name).dir().display().to_string(),
        ]);
    }
    let weft = std::env::args().next().unwrap_or_else(|| "weft".to_owned());
    format!(
        "{}\nMesh {mesh}, {}: {} (ready in {:.1} s)\n{weft} status --mesh {} shows how it stands; Ctrl-C ends it\n",
        table.render(),
        file.name,
        dir.display(),
        took.as_secs_f64(),
        dir.display(),
    )
}

fn proxy(workload: &Workload) -> &'static str {
    match workload.sidecar {
        Sidecar::Envoy => "envoy",
        Sidecar::None => "none",
        Sidecar::Weft => "weft",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_help_is_a_mesh() {
        let yaml: String = EXAMPLE
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .map(|line| format!("{line}\n"))
            .collect();

        let file = MeshFile::parse(Path::new("/shop/mesh.yaml"), &yaml).expect("the example is right");

        let names: Vec<&str> = file.workloads.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["istio-ingressgateway", "orders-v1", "orders-v1-2"]);
    }

    #[test]
    fn a_file_that_is_no_mesh_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mesh.yaml");
        std::fs::write(&path, "kind: Mesh\n").expect("a file");

        assert!(read(&path).is_err() && read(&dir.path().join("nothing.yaml")).is_err());
    }
}
