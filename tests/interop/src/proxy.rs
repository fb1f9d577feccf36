//! `weft-proxy` as a process, and its admin interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use base::Bootstrap;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Process, wait_until};
use tests_mesh::demo::binary;

use crate::{Home, PATIENCE, Reply, get};

/// A running proxy with its admin interfaces at a [`Home`]; dropping it kills it.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    admin: SocketAddr,
    access_log: PathBuf,
    _folder: TempDir,
}

impl Proxy {
    /// Starts a proxy as the workload that a recording was made for, or as any.
    ///
    /// # Panics
    /// When the binary is missing or cannot be started.
    pub fn start(home: &Home, discovery: SocketAddr, metadata: BTreeMap<String, Value>, id: &str) -> Self {
        Self::start_with(Bootstrap {
            id: id.to_owned(),
            cluster: "interop.default".to_owned(),
            metadata,
            discovery: discovery.into(),
            admin: home.at(15_000),
            readiness: home.at(15_021),
            metrics: home.at(15_090),
            access_log: None,
            concurrency: Some(2),
            dns: Vec::new(),
        })
    }

    /// Starts one with a bootstrap of its own, but for the access log.
    ///
    /// # Panics
    /// As [`Proxy::start`].
    pub fn start_with(bootstrap: Bootstrap) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let access_log = folder.path().join("access.log");
        let admin = bootstrap.admin;
        let bootstrap = Bootstrap { access_log: Some(access_log.clone()), ..bootstrap };
        let file = folder.path().join("bootstrap.json");
        std::fs::write(&file, json!(bootstrap).to_string()).expect("a bootstrap in the temporary folder");
        let mut command = Command::new(binary("weft-proxy"));
        let process = Process::start("weft-proxy", command.arg("-c").arg(&file)).expect("a weft-proxy");
        Self { process, admin, access_log, _folder: folder }
    }

    /// Starts a proxy of no particular workload.
    pub fn anyone(home: &Home, discovery: SocketAddr) -> Self {
        let id = "sidecar~127.0.0.1~client.default~default.svc.cluster.local";
        Self::start(home, discovery, BTreeMap::new(), id)
    }

    /// Waits until it says that it serves.
    ///
    /// # Panics
    /// When it never does, with all it wrote.
    pub fn wait_live(&self) {
        wait_until("weft-proxy to be live", PATIENCE, || match get(self.admin, "admin", "/ready") {
            Ok(Reply { status: 200, .. }) => Ok(()),
            other => Err(format!("{other:?}; it wrote\n{}", self.process.log())),
        });
    }

    /// What a path of its admin interface says.
    ///
    /// # Panics
    /// When it does not answer 200, with all it wrote.
    pub fn admin(&self, path: &str) -> Reply {
        match get(self.admin, "admin", path) {
            Ok(reply) if reply.status == 200 => reply,
            other => panic!("{path}: {other:?}; weft-proxy wrote\n{}", self.process.log()),
        }
    }

    /// One of its statistics.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn stat(&self, name: &str) -> u64 {
        let stats = self.admin("/stats").body;
        let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{stats}"))
    }

    /// What it said of its last refusals: every `error_state` of `/config_dump`, by the name of its resource.
    pub fn errors(&self) -> BTreeMap<String, String> {
        let mut errors = BTreeMap::new();
        collect_errors(&self.admin("/config_dump?include_eds").json(), &mut errors);
        errors
    }

    /// Its access log so far.
    pub fn access_log(&self) -> String {
        std::fs::read_to_string(&self.access_log).unwrap_or_default()
    }

    /// Waits until a line of the access log satisfies a condition.
    ///
    /// # Panics
    /// When none ever does.
    pub fn wait_for_access(&self, what: &str, condition: impl Fn(&str) -> bool) {
        wait_until(what, PATIENCE, || {
            let log = self.access_log();
            if log.lines().any(&condition) { Ok(()) } else { Err(log) }
        });
    }
}

/// Envoy's `config_dump` has an `error_state` beside the name of what was refused, whatever its type.
fn collect_errors(dump: &Value, errors: &mut BTreeMap<String, String>) {
    match dump {
        Value::Array(list) => list.iter().for_each(|one| collect_errors(one, errors)),
        Value::Object(fields) => {
            if let Some(state) = fields.get("error_state").filter(|state| !state.is_null()) {
                errors.insert(name_of(fields).unwrap_or_default(), state.to_string());
            }
            fields.values().for_each(|one| collect_errors(one, errors));
        }
        _ => {}
    }
}

/// A listener's name stands beside its error; other types are named by the resource within.
fn name_of(fields: &serde_json::Map<String, Value>) -> Option<String> {
    let own = |fields: &serde_json::Map<String, Value>| {
        let name = fields.get("name").or_else(|| fields.get("cluster_name"))?;
        name.as_str().map(str::to_owned)
    };
    own(fields).or_else(|| fields.values().filter_map(Value::as_object).find_map(own))
}
