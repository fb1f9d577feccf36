//! `weft up`, started with a file as a user would write it, and spoken to as its programs would speak.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testkit::Home;

use crate::demo::{Running, binary, told, weft};
use crate::{Reply, request_to};

/// A mesh that `weft up` runs; stopped as Ctrl-C stops it when dropped.
pub struct Up {
    child: Running,
    dir: tempfile::TempDir,
    mesh: u8,
    home: Home,
    names: Vec<String>,
}

/// What a mesh is made of before it is started.
#[derive(Default)]
pub struct Cast {
    /// Name and labels.
    gateways: Vec<(String, String)>,
    /// Name and the other fields.
    workloads: Vec<(String, String)>,
    objects: Vec<(String, String)>,
    dns: Option<SocketAddr>,
    env: Vec<(String, String)>,
}

impl Cast {
    /// Adds an ingress gateway of that name and label `istio`, with the Service that leads 80 and 443 to it.
    pub fn gateway(self, name: &str, label: &str) -> Self {
        self.gateway_with(name, &format!("istio: {label}"), &[("http2", 80, 8080), ("https", 443, 8443)])
    }

    /// Adds a gateway with these labels, and a Service of its name that leads each port to another.
    pub fn gateway_with(mut self, name: &str, labels: &str, ports: &[(&str, u16, u16)]) -> Self {
        self.gateways.push((name.to_owned(), labels.to_owned()));
        let ports: String = ports
            .iter()
            .map(|(name, port, target)| format!("  - {{name: {name}, port: {port}, targetPort: {target}}}\n"))
            .collect();
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: istio-system}}\nspec:\n  \
             selector: {{{labels}}}\n  ports:\n{ports}"
        );
        self.object(&format!("{name}.yaml"), &service)
    }

    /// Adds a workload: the fields of its entry after `name`, one per line, as they stand in the file.
    pub fn workload(mut self, name: &str, fields: &[&str]) -> Self {
        self.workloads.push((name.to_owned(), fields.iter().map(|f| format!("    {f}\n")).collect()));
        self
    }

    /// Adds a workload that plays a role of the program `sample`.
    pub fn sample(self, name: &str, role: &str, fields: &[&str]) -> Self {
        let command = format!("command: [{}, {role}]", binary("sample").display());
        self.workload(name, &[&[command.as_str()], fields].concat())
    }

    /// Adds a file of objects that are in force from the start.
    pub fn object(mut self, file: &str, text: &str) -> Self {
        self.objects.push((file.to_owned(), text.to_owned()));
        self
    }

    /// Points every proxy at a name server.
    pub fn dns(mut self, server: SocketAddr) -> Self {
        self.dns = Some(server);
        self
    }

    /// Sets a variable of every process.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the file, starts the mesh, and waits until it says it is ready.
    pub fn start(self) -> Up {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::claim();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).expect("a directory of objects");
        for (file, text) in &self.objects {
            std::fs::write(config.join(file), text).expect("a file of objects");
        }
        let file = dir.path().join("mesh.yaml");
        std::fs::write(&file, self.text(&home)).expect("the mesh's file");
        let mut command = Command::new(binary("weft"));
        command.arg("up").arg("-f").arg(&file).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(envoy) = testkit::envoy() {
            command.env("WEFT_ENVOY", envoy);
        }
        let (child, ready) = Running::start(&mut command, "(ready in ");
        let mesh = ready.strip_prefix("Mesh ").and_then(|rest| rest.split(',').next());
        let mesh = mesh.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{ready}"));
        let names = self.gateways.into_iter().chain(self.workloads).map(|(name, _)| name).collect();
        Up { child, dir, mesh, home, names }
    }

    fn text(&self, home: &Home) -> String {
        let bind = home.at(0).ip();
        let gateways: String = self
            .gateways
            .iter()
            .map(|(name, labels)| {
                format!("  - name: {name}\n    labels: {{{labels}}}\n    bind: {bind}\n    concurrency: 1\n")
            })
            .collect();
        let workloads: String = self
            .workloads
            .iter()
            .map(|(name, fields)| format!("  - name: {name}\n    concurrency: 1\n{fields}"))
            .collect();
        let dns = self.dns.map(|server| format!("  dns: [\"{server}\"]\n")).unwrap_or_default();
        format!(
            "apiVersion: weft/v1alpha1\nkind: Mesh\nmetadata: {{name: test}}\nspec:\n  directory: config\n{dns}{}{}",
            listed("gateways", &gateways),
            listed("workloads", &workloads),
        )
    }
}

impl Up {
    /// The mesh's directory of objects.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// A port of the address every gateway listens on.
    pub fn gateway(&self, port: u16) -> SocketAddr {
        self.home.at(port)
    }

    /// A workload's address in its network: 1 its sidecar, 2 its program, 3 its way out.
    pub fn address(&self, workload: &str, last: u8) -> Ipv4Addr {
        let slot =
            self.names.iter().position(|name| name == workload).unwrap_or_else(|| panic!("no {workload}"));
        Ipv4Addr::new(127, self.mesh, u8::try_from(slot + 1).expect("at most 250 workloads"), last)
    }

    /// A request a workload's program makes to a URL the way its environment tells it: by the HTTP proxy.
    pub fn call(&self, from: &str, url: &str, headers: &[&str]) -> Reply {
        let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not plain HTTP"));
        let host = rest.split('/').next().unwrap_or_default();
        let lines: String = headers.iter().map(|header| format!("\r\n{header}")).collect();
        let head = format!("GET {url} HTTP/1.1\r\nhost: {host}{lines}");
        request_to(SocketAddr::from((self.address(from, 3), 15007)), &head, "")
            .unwrap_or_else(|e| panic!("{url} from {from}: {e}"))
    }

    /// A request to a gateway's port for a host and path.
    pub fn ask(&self, port: u16, host: &str, path: &str) -> Reply {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}");
        request_to(self.gateway(port), &head, "").unwrap_or_else(|e| panic!("{host}{path}: {e}"))
    }

    /// The id of the process of this mesh whose command line contains all of `words`.
    pub fn process(&self, words: &[&str]) -> rustix::process::Pid {
        self.child.child(words)
    }

    /// Runs `weft` on this mesh.
    pub fn weft(&self, args: &[&str]) -> Output {
        self.weft_with(&[], args)
    }

    /// Runs `weft` on this mesh with these variables.
    pub fn weft_with(&self, env: &[(&str, &str)], args: &[&str]) -> Output {
        weft(&self.dir(), env, args)
    }

    /// Runs `weft` on this mesh; it must succeed. What it printed.
    pub fn done(&self, args: &[&str]) -> String {
        let out = self.weft(args);
        assert!(out.status.success(), "weft {args:?}: {}", told(&out));
        told(&out)
    }

    /// Writes objects to a file beside the mesh and runs `weft VERB -f` on it; it must succeed.
    pub fn give(&self, verb: &str, objects: &str) -> String {
        let file = self.path("given.yaml");
        std::fs::write(&file, objects).expect("a file of objects");
        self.done(&[verb, "-f", &file.display().to_string()])
    }

    /// A path beside the mesh, for a test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a workload's proxy has logged of requests and connections.
    pub fn access_log(&self, workload: &str) -> String {
        read(&self.dir().join(".weft").join(workload).join("access.log"))
    }

    /// What a workload's program has said.
    pub fn program_log(&self, workload: &str) -> String {
        read(&self.dir().join(".weft").join(workload).join("program.log"))
    }
}

/// What `weft` prints on no mesh in particular; it must succeed.
pub fn output(args: &[&str]) -> String {
    let out = Command::new(binary("weft")).args(args).stdin(Stdio::null()).output();
    let out = out.unwrap_or_else(|e| panic!("weft {args:?}: {e}"));
    assert!(out.status.success(), "weft {args:?}: {}", told(&out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A list of the file; one without entries is left out.
fn listed(name: &str, entries: &str) -> String {
    if entries.is_empty() { String::new() } else { format!("  {name}:\n{entries}") }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
