//! `weft model run`, started and spoken to as a user would.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::demo::{binary, told, wait_for_line};
use crate::{Reply, request};

/// A running model; stopped as Ctrl-C stops it when dropped.
pub struct Model {
    child: Child,
    dir: tempfile::TempDir,
    gateway: SocketAddr,
}

impl Model {
    /// Runs a model and waits until it says it is ready.
    pub fn start(file: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let gateway = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let mut child = Command::new(binary("weft"))
            .args(["model", "run"])
            .arg(file)
            .arg("--port")
            .arg(gateway.port().to_string())
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("weft model run: {e}"));
        let out = child.stdout.take().expect("invariant: stdout is piped");
        wait_for_line(out, "(ready in ");
        Self { child, dir, gateway }
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
        let out = Command::new(binary("weft"))
            .args(args)
            .arg("--mesh")
            .arg(self.dir())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|e| panic!("weft {args:?}: {e}"));
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

impl Drop for Model {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // Fails only where the mesh has ended already, which the wait below shows.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.child.wait();
    }
}
