//! A stock Envoy, as a process, under the same control plane.

use std::net::SocketAddr;
use std::process::Command;

use base::Bootstrap;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Process, wait_until};

use crate::{Home, PATIENCE, get};

/// A running Envoy with its admin interface at a [`Home`]; dropping it kills it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Envoy {
    /// Starts one.
    ///
    /// # Panics
    /// When there is none, or it cannot be started.
    pub fn start(home: &Home, discovery: SocketAddr, id: &str) -> Self {
        let admin = home.at(15_000);
        let bootstrap = Bootstrap {
            id: id.to_owned(),
            cluster: "interop.default".to_owned(),
            metadata: Default::default(),
            discovery: discovery.into(),
            admin,
            readiness: home.at(15_021),
            metrics: home.at(15_090),
            access_log: None,
            concurrency: Some(1),
            dns: Vec::new(),
        };
        Self::start_with(&local::bootstrap::envoy(&bootstrap), admin)
    }

    /// Starts one with a bootstrap of its own, whose admin interface is at an address.
    ///
    /// # Panics
    /// When there is none, or it cannot be started.
    pub fn start_with(bootstrap: &Value, admin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("envoy.json");
        std::fs::write(&file, bootstrap.to_string()).expect("a bootstrap in the temporary folder");
        let mut command = Command::new(testkit::envoy().expect("an Envoy"));
        command.args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]);
        // The access log at once, and listeners that are gone not much later.
        command.args(["--file-flush-interval-msec", "50", "--drain-time-s", "1", "-c"]).arg(&file);
        let process = Process::start("envoy", &mut command).expect("an Envoy");
        Self { process, admin, _folder: folder }
    }

    /// Waits until it says that it serves.
    ///
    /// # Panics
    /// When it never does, with all it wrote.
    pub fn wait_live(&self) {
        wait_until("Envoy to be live", PATIENCE, || match get(self.admin, "admin", "/ready") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}; it wrote\n{}", self.process.log())),
        });
    }

    /// One of its statistics; none of that name is as good as zero, which it does not show at first.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn stat(&self, name: &str) -> u64 {
        let stats = get(self.admin, "admin", "/stats").expect("its statistics").body;
        stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
            .unwrap_or_default()
    }

    /// All it wrote so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
