//! The file that says what a mesh is made of: the user's own programs, and how they are run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use base::{Issue, Labels, Place, Severity};

use crate::ready::Pace;
use crate::workload::{Program, Readiness, Restart, Role, Sidecar, Workload};

#[cfg(test)]
mod tests;

/// The `apiVersion` of the file.
pub const API_VERSION: &str = "weft/v1alpha1";

/// The longest name Kubernetes allows for what becomes part of a host name.
const LONGEST_NAME: usize = 63;

/// A mesh as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshFile {
    /// Its name.
    pub name: String,
    /// The directory of its objects.
    pub dir: PathBuf,
    /// Its workloads, gateways first, each replica for itself.
    pub workloads: Vec<Workload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    directory: Option<PathBuf>,
    #[serde(default)]
    dns: Vec<SocketAddr>,
    #[serde(default)]
    gateways: Vec<GatewayEntry>,
    #[serde(default)]
    workloads: Vec<WorkloadEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GatewayEntry {
    name: String,
    #[serde(default = "gateway_namespace")]
    namespace: String,
    labels: BTreeMap<String, String>,
    #[serde(default = "loopback")]
    bind: IpAddr,
    #[serde(default = "default_account")]
    service_account: String,
    #[serde(default)]
    proxy: Proxy,
    concurrency: Option<usize>,
    #[serde(default)]
    locality: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WorkloadEntry {
    name: String,
    #[serde(default = "default_account")]
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default = "default_account")]
    service_account: String,
    command: Vec<String>,
    working_dir: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default = "one")]
    replicas: usize,
    readiness: Option<Probe>,
    #[serde(default)]
    restart: RestartPolicy,
    #[serde(default)]
    proxy: Proxy,
    concurrency: Option<usize>,
    #[serde(default)]
    locality: String,
}

/// A port, or a port and the one the program really listens on.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Port {
    Same(u16),
    #[serde(rename_all = "camelCase")]
    Other {
        port: u16,
        listens: u16,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Probe {
    http_get: Option<HttpGet>,
    tcp_socket: Option<TcpSocket>,
    initial_delay_seconds: Option<u32>,
    period_seconds: Option<u32>,
    timeout_seconds: Option<u32>,
    success_threshold: Option<u32>,
    failure_threshold: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpGet {
    path: String,
    port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TcpSocket {
    port: u16,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum RestartPolicy {
    #[default]
    Always,
    Never,
    OnFailure,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Proxy {
    Envoy,
    None,
    #[default]
    Weft,
}

fn one() -> usize {
    1
}

fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

fn default_account() -> String {
    "default".to_owned()
}

fn gateway_namespace() -> String {
    "istio-system".to_owned()
}

impl MeshFile {
    /// Reads a file of this path and text; relative paths in it begin where the file lies.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line or its path.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Issue>> {
        let file = path.display().to_string();
        let document: Document =
            serde_saphyr::from_str(text).map_err(|error| vec![unreadable(&file, &error)])?;
        let mut findings = Findings { file: &file, issues: Vec::new() };
        if document.api_version != API_VERSION || document.kind != "Mesh" {
            findings.wrong("kind", format!("write apiVersion: {API_VERSION} and kind: Mesh"));
        }
        let home = path.parent().unwrap_or(Path::new("")).to_owned();
        let spec = document.spec;
        let mut workloads = Vec::new();
        for (index, gateway) in spec.gateways.into_iter().enumerate() {
            findings.check_name(&format!("spec.gateways[{index}].name"), &gateway.name);
            workloads.push(gateway.into_workload());
        }
        for (index, entry) in spec.workloads.into_iter().enumerate() {
            findings.check(&format!("spec.workloads[{index}]"), &entry);
            workloads.extend(entry.into_workloads(&home));
        }
        let mut names = BTreeSet::new();
        for workload in &workloads {
            if !names.insert(&workload.name) {
                findings.wrong("spec", format!("two workloads are named {:?}", workload.name));
            }
        }
        for workload in &mut workloads {
            workload.dns.clone_from(&spec.dns);
        }
        if workloads.is_empty() {
            findings.wrong("spec.workloads", "there is nothing to run; name at least one program".to_owned());
        }
        match findings.issues.is_empty() {
            true => Ok(Self {
                name: document.metadata.name,
                dir: home.join(spec.directory.unwrap_or_default()),
                workloads: with_pods(workloads, &file),
            }),
            false => Err(findings.issues),
        }
    }
}

impl GatewayEntry {
    fn into_workload(self) -> Workload {
        Workload {
            name: self.name,
            namespace: self.namespace,
            labels: Labels(self.labels),
            service_account: self.service_account,
            locality: self.locality,
            restart: Restart::Always,
            role: Role::Gateway(self.bind),
            sidecar: self.proxy.sidecar(),
            concurrency: self.concurrency,
            ..Workload::default()
        }
    }
}

impl WorkloadEntry {
    /// One workload per replica: the first has the name itself, the others a number behind it.
    fn into_workloads(self, home: &Path) -> Vec<Workload> {
        let (command, args) = match self.command.split_first() {
            Some((command, args)) => (located(home, command), args.to_vec()),
            None => return Vec::new(),
        };
        let workload = Workload {
            owner: self.name.clone(),
            name: self.name,
            namespace: self.namespace,
            labels: Labels(self.labels),
            service_account: self.service_account,
            ports: self.ports.iter().map(|port| port.served()).collect(),
            listens: self.ports.iter().filter_map(|port| port.moved()).collect(),
            locality: self.locality,
            pace: self.readiness.as_ref().map(Probe::pace).unwrap_or_default(),
            readiness: self.readiness.map(Probe::into_readiness),
            restart: match self.restart {
                RestartPolicy::Always => Restart::Always,
                RestartPolicy::Never => Restart::Never,
                RestartPolicy::OnFailure => Restart::OnFailure,
            },
            role: Role::Sidecar(Program {
                command,
                args,
                env: self.env,
                dir: Some(home.join(self.working_dir.unwrap_or_default()))
                    .filter(|dir| !dir.as_os_str().is_empty()),
            }),
            sidecar: self.proxy.sidecar(),
            concurrency: self.concurrency,
            ..Workload::default()
        };
        let numbered = (2..=self.replicas).map(|number| format!("{}-{number}", workload.owner));
        let others: Vec<Workload> = numbered.map(|name| Workload { name, ..workload.clone() }).collect();
        std::iter::once(workload).chain(others).collect()
    }
}

impl Port {
    fn served(self) -> u16 {
        match self {
            Self::Same(port) | Self::Other { port, .. } => port,
        }
    }

    fn moved(self) -> Option<(u16, u16)> {
        match self {
            Self::Other { port, listens } if port != listens => Some((port, listens)),
            _ => None,
        }
    }
}

impl Probe {
    /// How often is asked, by Kubernetes' names and defaults.
    fn pace(&self) -> Pace {
        let usual = Pace::default();
        let seconds = |of: Option<u32>, usual| of.map_or(usual, |of| Duration::from_secs(of.into()));
        Pace {
            initial_delay: seconds(self.initial_delay_seconds, usual.initial_delay),
            period: seconds(self.period_seconds, usual.period),
            timeout: seconds(self.timeout_seconds, usual.timeout),
            failures: self.failure_threshold.unwrap_or(usual.failures),
            successes: self.success_threshold.unwrap_or(usual.successes),
        }
    }

    /// The first field that is 0 and must not be, by its name.
    fn nothing(&self) -> Option<&'static str> {
        let all = [
            ("periodSeconds", self.period_seconds),
            ("timeoutSeconds", self.timeout_seconds),
            ("successThreshold", self.success_threshold),
            ("failureThreshold", self.failure_threshold),
        ];
        all.into_iter().find(|(_, value)| *value == Some(0)).map(|(name, _)| name)
    }

    fn into_readiness(self) -> Readiness {
        match (self.http_get, self.tcp_socket) {
            (Some(get), _) => Readiness::Http(get.port, get.path),
            (None, Some(socket)) => Readiness::Tcp(socket.port),
            (None, None) => Readiness::Started,
        }
    }
}

impl Proxy {
    fn sidecar(self) -> Sidecar {
        match self {
            Self::Envoy => Sidecar::Envoy,
            Self::None => Sidecar::None,
            Self::Weft => Sidecar::Weft,
        }
    }
}

/// What is wrong with a file beyond its shape.
struct Findings<'a> {
    file: &'a str,
    issues: Vec<Issue>,
}

impl Findings<'_> {
    fn wrong(&mut self, path: &str, message: String) {
        self.issues.push(issue(self.file, Place::default(), path, message));
    }

    fn check_name(&mut self, path: &str, name: &str) {
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_name = name.len() <= LONGEST_NAME
            && name.starts_with(is_letter)
            && name.ends_with(is_letter)
            && name.chars().all(|c| is_letter(c) || c == '-');
        if !is_name {
            self.wrong(
                path,
                format!("{name:?} is no name; use up to {LONGEST_NAME} of a-z, 0-9 and - between them"),
            );
        }
    }

    fn check(&mut self, path: &str, entry: &WorkloadEntry) {
        self.check_name(&format!("{path}.name"), &entry.name);
        self.check_name(&format!("{path}.namespace"), &entry.namespace);
        if entry.command.first().is_none_or(String::is_empty) {
            self.wrong(&format!("{path}.command"), "write a program and its arguments".to_owned());
        }
        if entry.replicas == 0 {
            self.wrong(&format!("{path}.replicas"), "write 1 or more, or leave the workload out".to_owned());
        }
        if entry.ports.iter().any(|port| port.served() == 0) {
            self.wrong(&format!("{path}.ports"), "0 is no port".to_owned());
        }
        if matches!(entry.proxy, Proxy::None) && entry.ports.iter().any(|port| port.moved().is_some()) {
            self.wrong(
                &format!("{path}.ports"),
                "without a proxy nobody leads the port to another; let the program listen on it".to_owned(),
            );
        }
        let probe = entry.readiness.as_ref();
        if probe.is_some_and(|probe| probe.http_get.is_some() == probe.tcp_socket.is_some()) {
            self.wrong(&format!("{path}.readiness"), "write either httpGet or tcpSocket".to_owned());
        }
        if let Some(name) = probe.and_then(Probe::nothing) {
            self.wrong(&format!("{path}.readiness.{name}"), "write 1 or more".to_owned());
        }
    }
}

/// A command with a slash lies where the file does; a bare name is searched in `$PATH`.
fn located(home: &Path, command: &str) -> PathBuf {
    if command.contains('/') { home.join(command) } else { command.into() }
}

fn with_pods(workloads: Vec<Workload>, seed: &str) -> Vec<Workload> {
    let named = |workload: Workload| {
        let seed = format!("{seed} {}", workload.name);
        Workload { pod: Workload::pod_name(workload.owner(), &seed), ..workload }
    };
    workloads.into_iter().map(named).collect()
}

fn unreadable(file: &str, error: &serde_saphyr::Error) -> Issue {
    let at = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let place = error.location().map_or_else(Place::default, |location| Place {
        line: at(location.line()),
        column: at(location.column()),
        ..Place::default()
    });
    issue(file, place, "", error.without_snippet().to_string())
}

fn issue(file: &str, place: Place, path: &str, message: String) -> Issue {
    Issue {
        severity: Severity::Error,
        code: "mesh-file".to_owned(),
        place: Place { file: file.into(), ..place },
        object: String::new(),
        path: path.to_owned(),
        message,
    }
}
