//! The mesh a task is played on.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::Dns;
use tests_mesh::demo::{binary, told};
use tests_mesh::{Cast, Curl, Up};

use super::keys::Keys;
use super::script::{Secret, Step, Task, Workload};

/// Kinds that this version refuses, being about identity; what only they bring about fails its check.
const LATER: &[&str] = &["PeerAuthentication"];

/// A running mesh with a task's workloads.
pub(super) struct Stage {
    pub(super) mesh: Up,
    pub(super) keys: Keys,
    pub(super) gateways: BTreeMap<String, Vec<(u16, u16)>>,
    pub(super) workloads: Vec<Workload>,
    /// What stands in the task's files, and what it is here: addresses, and folders of secrets.
    texts: BTreeMap<String, String>,
    folder: PathBuf,
    _dns: Dns,
}

impl Stage {
    /// Starts everything that is there before the first step.
    pub(super) fn start(task: &Task, folder: &Path) -> Self {
        let keys = Keys::of(task);
        let workloads = one_per_host(&task.workloads);
        let dns = Dns::start(BTreeMap::new()).expect("a name server");
        let mut cast = Cast::default().dns(dns.address());
        for gateway in &task.gateways {
            let labels: Vec<String> = gateway.labels.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            let ports: Vec<_> =
                gateway.ports.iter().map(|p| (p.name.as_str(), p.port, p.target_port)).collect();
            cast = cast.gateway_with(&gateway.name, &labels.join(", "), &ports);
        }
        for workload in &workloads {
            let fields = fields(workload, &keys);
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            cast = cast.workload(&entry_name(&workloads, workload), &fields);
        }
        // Where a proxy starts TLS to the outside, it trusts what the callers trust.
        let outside = keys.certificate("outside-ca");
        if outside.is_file() {
            cast = cast.env("SSL_CERT_FILE", &outside.display().to_string());
        }
        let mesh = cast.start();
        let mut hosts = String::new();
        let mut texts = BTreeMap::new();
        for workload in &workloads {
            let at = mesh.address(&entry_name(&workloads, workload), 2);
            for host in workload.host.iter().chain(&workload.also_hosts) {
                dns.set(host, vec![at]);
                hosts.push_str(&format!("{at} {host}\n"));
            }
            texts.extend(workload.addresses.iter().map(|address| (address.clone(), at.to_string())));
        }
        std::fs::write(keys.hosts(), hosts).expect("a file of hosts");
        texts.extend(mounts(folder).into_iter().map(|(path, secret)| {
            let folder = keys.secret(&secret).display().to_string();
            (path.trim_end_matches('/').to_owned(), folder)
        }));
        let pairs = |gateway: &super::script::Gateway| {
            gateway.ports.iter().map(|port| (port.port, port.target_port)).collect()
        };
        Self {
            gateways: task.gateways.iter().map(|gateway| (gateway.name.clone(), pairs(gateway))).collect(),
            workloads,
            texts,
            mesh,
            keys,
            folder: folder.to_owned(),
            _dns: dns,
        }
    }

    /// Takes a step that is no call.
    pub(super) fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Apply { file, namespace } => self.give("apply", file, namespace.as_deref()),
            Step::Delete { file, namespace } => self.give("delete", file, namespace.as_deref()),
            Step::Secret(secret) => self.secrets(secret),
            Step::Note(note) => self.action(note),
            Step::Call { .. } => Ok(()),
        }
    }

    fn give(&self, verb: &str, file: &str, namespace: Option<&str>) -> Result<(), String> {
        let text = std::fs::read_to_string(self.folder.join(file)).map_err(|e| format!("{file}: {e}"))?;
        let text = self.texts.iter().fold(text, |text, (there, here)| text.replace(there, here));
        let text = without(LATER, &text);
        if text.trim().is_empty() {
            return Ok(());
        }
        let given = self.mesh.path("given.yaml");
        std::fs::write(&given, settings(&text).unwrap_or(text)).map_err(|e| e.to_string())?;
        let given = given.display().to_string();
        let mut args = vec![verb, "-f", &given];
        args.extend(namespace.map(|namespace| ["-n", namespace]).into_iter().flatten());
        self.weft(&args)
    }

    fn weft(&self, args: &[&str]) -> Result<(), String> {
        let out = self.mesh.weft(args);
        if out.status.success() { Ok(()) } else { Err(format!("weft {args:?}: {}", told(&out))) }
    }

    fn secrets(&self, secret: &Secret) -> Result<(), String> {
        for name in &secret.delete {
            // A secret that only Kubernetes would have mounted was never made here.
            let _ = self.weft(&["delete", "secret", &name.name, "-n", &name.namespace]);
        }
        for created in &secret.create {
            let data: Result<BTreeMap<&String, String>, String> =
                created.data.iter().map(|(entry, file)| Ok((entry, self.keys.text(file)?))).collect();
            let data = data?;
            let folder = self.keys.secret(&created.name);
            std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
            for (entry, text) in &data {
                std::fs::write(folder.join(entry), text).map_err(|e| e.to_string())?;
            }
            let object = json!({
                "apiVersion": "v1", "kind": "Secret", "type": created.kind,
                "metadata": {"name": created.name, "namespace": created.namespace},
                "stringData": data,
            });
            let given = self.mesh.path("secret.yaml");
            std::fs::write(&given, object.to_string()).map_err(|e| e.to_string())?;
            self.weft(&["apply", "-f", &given.display().to_string()])?;
        }
        Ok(())
    }

    /// Does what a note asks for; any other note is for readers.
    fn action(&self, note: &str) -> Result<(), String> {
        let Some(action) = note.strip_prefix("ACTION ") else { return Ok(()) };
        let words: Vec<&str> = action.split_whitespace().collect();
        match words.as_slice() {
            // Every caller is told whom to trust, and the proxies were when they were started; what is a switch of
            // Istio's control plane is always on here.
            ["trust" | "feature-flag", ..] => Ok(()),
            ["drain", workload, ..] => {
                let admin = SocketAddr::from((self.address(workload, 1), 15000));
                let done = Curl::new(&format!("http://{admin}/drain_listeners")).method("POST", None).send();
                if done.status == 200 { Ok(()) } else { Err(format!("draining {workload}: {done:?}")) }
            }
            _ => Err(format!("nobody does {action:?}")),
        }
    }

    /// The address of a workload that may be called by its namespace too.
    pub(super) fn address(&self, name: &str, last: u8) -> Ipv4Addr {
        self.mesh.address(&self.entry(name), last)
    }

    /// The entry of a workload that may be called by its namespace too.
    pub(super) fn entry(&self, name: &str) -> String {
        let found = self.workloads.iter().find(|workload| workload.is_called(name));
        found.map_or_else(|| name.to_owned(), |workload| entry_name(&self.workloads, workload))
    }

    /// Where a program finds a service that has an address of its own, by the address it has elsewhere.
    pub(super) fn virtual_address(&self, caller: &str, address: Ipv4Addr) -> Result<Ipv4Addr, String> {
        let listed = self.mesh.done(&["get", "serviceentry", "-A", "-o", "json"]);
        let listed: Value = serde_json::from_str(listed.split_once('\n').map_or("", |(_, rest)| rest))
            .map_err(|e| format!("{e}: {listed}"))?;
        let here = self.texts.get(&address.to_string()).cloned().unwrap_or_default();
        let has_it = |entry: &&Value| {
            let addresses = entry["spec"]["addresses"].as_array().into_iter().flatten();
            addresses.filter_map(Value::as_str).any(|known| known.split('/').next() == Some(&here))
        };
        let entry = listed["items"].as_array().into_iter().flatten().find(has_it);
        let host = entry.and_then(|entry| entry["spec"]["hosts"][0].as_str());
        let slots = std::fs::read(self.mesh.dir().join(".weft/addresses.json")).map_err(|e| e.to_string())?;
        let slots: BTreeMap<String, u8> = serde_json::from_slice(&slots).map_err(|e| e.to_string())?;
        let slot = host.and_then(|host| slots.get(host)).ok_or_else(|| format!("nobody has {address}"))?;
        let [first, mesh, workload, _] = self.address(caller, 1).octets();
        Ok(Ipv4Addr::new(first, mesh + 1, workload, *slot))
    }
}

/// The workloads, those of one outside host as one that serves all their ports.
fn one_per_host(workloads: &[Workload]) -> Vec<Workload> {
    let mut merged: Vec<Workload> = Vec::new();
    for workload in workloads {
        let same = |other: &&mut Workload| other.host.is_some() && other.host == workload.host;
        match merged.iter_mut().find(same) {
            None => merged.push(workload.clone()),
            Some(first) => {
                first.ports.extend(workload.ports.iter().cloned());
                first.serves.extend(workload.serves.iter().cloned());
                first.tls = first.tls.take().or_else(|| workload.tls.clone());
            }
        }
    }
    merged
}

/// Where the workloads of a task's files have secrets mounted in their sidecars, and which.
fn mounts(folder: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let texts = files.filter(|file| file.extension().is_some_and(|e| e == "yaml"));
    let mut mounts = BTreeMap::new();
    for text in texts.filter_map(|file| std::fs::read_to_string(file).ok()) {
        let annotation = |name: &str| -> Vec<Value> {
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix(&format!("{name}: '")));
            lines.filter_map(|json| serde_json::from_str(json.strip_suffix('\'')?).ok()).collect()
        };
        let volumes = annotation("sidecar.istio.io/userVolume");
        for (volume, mount) in annotation("sidecar.istio.io/userVolumeMount")
            .iter()
            .flat_map(|mounts| mounts.as_object().into_iter().flatten())
        {
            let secret = volumes.iter().find_map(|volumes| volumes[volume]["secret"]["secretName"].as_str());
            if let (Some(path), Some(secret)) = (mount["mountPath"].as_str(), secret) {
                mounts.insert(path.to_owned(), secret.to_owned());
            }
        }
    }
    mounts
}

/// The name of an entry: a workload's own, with its namespace where another has the same.
fn entry_name(workloads: &[Workload], workload: &Workload) -> String {
    let alike = workloads.iter().filter(|other| other.name == workload.name).count();
    let name = match alike {
        1 => workload.name.clone(),
        _ => format!("{}.{}", workload.name, workload.namespace),
    };
    name.replace('.', "-dot-")
}

/// The documents of a text but those of these kinds.
fn without(kinds: &[&str], text: &str) -> String {
    let is_kept = |document: &&str| !kinds.iter().any(|kind| document.contains(&format!("kind: {kind}\n")));
    text.split("---\n").filter(is_kept).collect::<Vec<_>>().join("---\n")
}

/// The mesh's settings out of an install document, as the ConfigMap they end up in.
fn settings(text: &str) -> Option<String> {
    let parsed: Value = serde_saphyr::from_str(text).ok()?;
    (parsed["kind"] == "IstioOperator").then(|| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": parsed["spec"]["meshConfig"].to_string()},
        })
        .to_string()
    })
}

/// The fields of a workload's entry after its name.
fn fields(workload: &Workload, keys: &Keys) -> Vec<String> {
    let mut env: BTreeMap<String, String> = workload.env.clone();
    let ports: Vec<u16> = match workload.listen {
        Some(port) => vec![port],
        None => workload.ports.iter().map(|port| port.target_port.unwrap_or(port.port)).collect(),
    };
    let listed: Vec<String> = ports.iter().map(u16::to_string).collect();
    env.insert("PORTS".into(), listed.join(","));
    let command = command(workload, &mut env, keys);
    let labels: Vec<String> = workload.labels.iter().map(|(k, v)| format!("{k}: \"{v}\"")).collect();
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}: {}", json!(value))).collect();
    let mut fields = vec![
        format!("namespace: {}", workload.namespace),
        format!("labels: {{{}}}", labels.join(", ")),
        format!("command: {}", json!(command)),
        format!("env: {{{}}}", env.join(", ")),
        format!("ports: [{}]", if workload.is_idle() { String::new() } else { listed.join(", ") }),
    ];
    if !workload.sidecar {
        fields.push("proxy: none".into());
    }
    if !workload.locality.is_empty() {
        fields.push(format!("locality: {}", workload.locality));
    }
    fields
}

impl Workload {
    /// Whether it is meant by a name, with or without its namespace.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || format!("{}.{}", self.name, self.namespace) == name
    }

    /// Whether its program only stands for whoever makes the calls.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.program.as_str(), "curl" | "fortio")
    }
}

/// The twin of a program, and what it is told by its environment.
fn command(workload: &Workload, env: &mut BTreeMap<String, String>, keys: &Keys) -> Vec<String> {
    let sample = |role: &str| vec![binary("sample").display().to_string(), role.to_owned()];
    let label = |name: &str| workload.labels.get(name).cloned().unwrap_or_default();
    if let Some(tls) = &workload.tls {
        if let Some(id) = &tls.cert {
            env.insert("TLS_CERT".into(), keys.certificate(id).display().to_string());
            env.insert("TLS_KEY".into(), keys.key(id).display().to_string());
        }
        if let (true, Some(id)) = (tls.verify_client, &tls.client_ca) {
            env.insert("TLS_CLIENT_CA".into(), keys.certificate(id).display().to_string());
        }
        env.insert("TLS_PORTS".into(), tls.port.to_string());
    }
    let plays = workload.behaves_as.as_deref().unwrap_or(&workload.program);
    match plays {
        "bookinfo" => {
            let ratings = if label("version") == "v1" { "false" } else { "true" };
            let color = if label("version") == "v3" { "red" } else { "black" };
            env.insert("ENABLE_RATINGS".into(), ratings.into());
            env.insert("STAR_COLOR".into(), color.into());
            env.insert("SERVICE_VERSION".into(), label("version"));
            vec![binary("bookinfo").display().to_string(), label("app")]
        }
        "httpbin" => {
            if workload.behaves_as.is_some() {
                env.insert("HEADERS".into(), "strings".into());
            }
            sample("httpbin")
        }
        "helloworld" => {
            env.entry("SERVICE_VERSION".into()).or_insert_with(|| label("version"));
            sample("helloworld")
        }
        "tcp-echo" => [sample("tcp-echo"), workload.args.iter().rev().take(1).cloned().collect()].concat(),
        "forward-proxy" => {
            env.insert("HOSTS".into(), keys.hosts().display().to_string());
            sample("forward-proxy")
        }
        "curl" | "fortio" => sample("idle"),
        _ => {
            env.insert("SITE".into(), json!(workload.serves).to_string());
            sample("site")
        }
    }
}
