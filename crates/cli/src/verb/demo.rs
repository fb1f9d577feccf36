//! `weft demo`: a mesh of processes with Bookinfo in it.

mod cast;
mod files;
mod page;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use local::{Layout, Options, Tools};

use super::supervise;
use crate::exit::Exit;
use crate::terminal;

/// How long every process may take to be ready, and then the page to be whole.
const PATIENCE: Duration = Duration::from_secs(30);

/// Run a mesh of processes with Bookinfo in it: no root, no container, no cluster.
#[derive(Args, Debug)]
pub struct Demo {
    /// The port of the page on 127.0.0.1.
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Keep the mesh's directory here; otherwise it is gone at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Run a stock Envoy in place of Weft's proxy: for a workload, a service (all its workloads) or `gateway`;
    /// may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) envoy: Vec<String>,
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let began = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpListener::bind(address)
            .with_context(|| format!("listening on {address}; choose another --port"))?;
        let bookinfo = local::tools::executable("bookinfo")?;
        let place = Place::new(self.keep.as_deref())?;
        let layout = Layout::new(place.path());
        let mut workloads = cast::workloads(&bookinfo, &layout);
        supervise::dress(&mut workloads, &self.envoy)?;
        let tools = Tools::find(&workloads)?;
        files::write(&layout, self.port)?;
        let dir = layout.dir().to_owned();
        let options = Options { layout, mesh: None, tools, workloads, patience: PATIENCE };
        supervise::run(options, async move |mesh| {
            page::whole(address, PATIENCE).await?;
            terminal::print(&greeting(address, &dir, mesh, began.elapsed()))?;
            Ok(())
        })
        .await
    }
}

/// The mesh's directory: the user's, or one that goes with this value.
enum Place {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Place {
    fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(dir) = keep else {
            let dir = tempfile::Builder::new().prefix("weft-demo-").tempdir();
            return Ok(Self::Passing(dir.context("making a directory for the mesh")?));
        };
        let keeping = || format!("making {}", dir.display());
        std::fs::create_dir_all(dir).with_context(keeping)?;
        Ok(Self::Kept(dir.canonicalize().with_context(keeping)?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir,
            Self::Passing(dir) => dir.path(),
        }
    }
}

fn greeting(address: SocketAddr, dir: &Path, mesh: u8, took: Duration) -> String {
    let samples = files::samples(&Layout::new(dir)).display().to_string();
    let weft = std::env::args().next().unwrap_or_else(|| "weft".to_owned());
    format!(
        "\nBookinfo:  http://{address}/productpage\n\
         Mesh {mesh}:   {} (ready in {:.1} s)\n\n\
         Reload the page: reviews come from v1 (no stars), v2 (black) and v3 (red) in turn. Then try\n\n  \
         {weft} apply -f {samples}/destination-rule-all.yaml -f {samples}/virtual-service-all-v1.yaml\n  \
         {weft} apply -f {samples}/virtual-service-reviews-50-v3.yaml\n  \
         {weft} delete -f {samples}/virtual-service-all-v1.yaml\n\n\
         Ctrl-C ends it.\n",
        dir.display(),
        took.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_without_a_place_of_its_own_leaves_nothing_behind() {
        let place = Place::new(None).expect("a directory");
        let path = place.path().to_owned();

        assert!(path.is_dir());
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn the_greeting_names_files_that_are_there() {
        let dir = tempfile::tempdir().expect("a directory");
        files::write(&Layout::new(dir.path()), 8080).expect("the files are written");

        let text = greeting(SocketAddr::from(([127, 0, 0, 1], 8080)), dir.path(), 77, Duration::from_secs(2));

        let named: Vec<&str> = text.split_whitespace().filter(|word| word.ends_with(".yaml")).collect();
        assert_eq!(named.len(), 4);
        assert!(named.iter().all(|file| Path::new(file).is_file()), "{named:?}");
    }
}
