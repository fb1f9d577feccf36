//! `weft model run`, started and spoken to as a user would.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::demo::{Running, binary, told, weft};
use crate::{Reply, request};

/// A running model; stopped as Ctrl-C stops it when dropped.
pub struct Model {
    _running: Running,
    dir: tempfile::TempDir,
    gateway: SocketAddr,
}

impl Model {
    /// Runs a model and waits until it says it is ready.
    pub fn start(file: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = testkit::free_port().expect("a free port");
        let mut command = Command::new(binary("weft"));
        command.args(["model", "run"]).arg(file).arg("--port").arg(port.to_string());
        let (running, _) = Running::start(command.arg("--dir").arg(dir.path()), "(ready in ");
        Self { _running: running, dir, gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    /// The mesh's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A request at the gateway: `POST /orders HTTP/1.1`, and a body.
    pub fn ask(&self, head: &str, body: &str) -> Reply {
        request(self.gateway, head, body).unwrap_or_else(|e| panic!("{head}: {e}"))
    }

    /// Runs `weft` on this mesh; it must succeed. What it printed.
    pub fn done(&self, args: &[&str]) -> String {
        let out = weft(self.dir(), &[], args);
        assert!(out.status.success(), "weft {args:?}: {}", told(&out));
        told(&out)
    }

    /// Writes objects to a file and runs `weft VERB -f` on it; it must succeed.
    pub fn give(&self, verb: &str, objects: &str) -> String {
        let folder = self.dir().join(".weft/given");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("given.yaml");
        std::fs::write(&file, objects).expect("a file of objects");
        self.done(&[verb, "-f", &file.display().to_string()])
    }
}
