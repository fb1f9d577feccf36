//! A stock Envoy and `weft-proxy`, given the same configuration and asked the same.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use mesh::{Proxy as Node, Settings, Snapshot};
use serde_json::{Value, json};
use xds::TypeUrl;

use crate::desk::Resource;
use crate::generated::Asked;
use crate::{ControlPlane, Desk, Envoy, Home, PATIENCE, Proxy};

/// Headers that differ between any two answers. A client on loopback is told in `x-forwarded-for` as it is, by Envoy as
/// the machine's own address.
const PASSING: [&str; 7] = [
    "x-forwarded-for",
    "date",
    "x-request-id",
    "x-envoy-upstream-service-time",
    "traceparent",
    "x-b3-traceid",
    "x-b3-spanid",
];

/// Both proxies, each at a home of its own under a control plane of its own.
pub struct Pair {
    envoy: Side,
    weft: Side,
    processes: (Envoy, Proxy),
}

struct Side {
    home: Home,
    node: Node,
    desk: Desk,
    control_plane: ControlPlane,
}

/// What came of a request, as far as it must be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The status.
    pub status: u16,
    /// The answer's headers, by name.
    pub headers: Vec<(String, String)>,
    /// What the backend says it was asked, or the body as it is.
    pub body: String,
}

impl Seen {
    /// The same without what is drawn for a request that says nothing to hash: its endpoint, and a cookie it is
    /// given to stay there.
    pub fn without_endpoint(mut self) -> Self {
        for number in 1..=9 {
            self.body = self.body.replace(&format!("many-{number}"), "many");
        }
        for (_, value) in self.headers.iter_mut().filter(|(name, _)| name == "set-cookie") {
            *value = value.split('=').next().unwrap_or_default().to_owned();
        }
        // Envoy gives one cookie per attempt, all but the last for nothing.
        self.headers.dedup_by(|one, other| one.0 == "set-cookie" && one == other);
        self
    }
}

impl Pair {
    /// Starts both.
    pub fn start() -> Self {
        let (envoy, weft) = (Side::new(), Side::new());
        let id =
            |side: &Side| format!("router~{}~edge.default~default.svc.cluster.local", side.home.at(0).ip());
        let processes = (
            Envoy::start(&envoy.home, envoy.control_plane.address(), &id(&envoy)),
            Proxy::start(&weft.home, weft.control_plane.address(), BTreeMap::new(), &id(&weft)),
        );
        Self { envoy, weft, processes }
    }

    /// Gives both a configuration and waits until both serve it.
    ///
    /// # Panics
    /// When a document is refused, or a proxy refuses what was made of it.
    pub fn configure(&self, text: &str) {
        self.configure_with(text, &[]);
    }

    /// The same with secrets, by the names they are asked for.
    ///
    /// # Panics
    /// As [`Pair::configure`].
    pub fn configure_with(&self, text: &str, secrets: &[String]) {
        let parsed = api::parse("generated.yaml", text.as_bytes());
        let errors: Vec<String> = parsed
            .issues
            .iter()
            .filter(|issue| issue.severity == base::Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{text}");
        let mut set = api::ResourceSet::default();
        for resource in parsed.resources {
            set.insert(resource);
        }
        let snapshot = Snapshot::next(None, &set, &Settings::default());
        let generations = [&self.envoy, &self.weft]
            .map(|side| (side, side.desk.replace(side.resources(&snapshot, secrets))));
        for (side, generation) in generations {
            side.desk.wait_settled(generation);
            assert_eq!(side.desk.refusals(generation), [], "{text}");
        }
        self.processes.0.wait_live();
        self.processes.1.wait_live();
    }

    /// Where each listens on a port: Envoy first.
    pub fn at(&self, port: u16) -> [SocketAddr; 2] {
        [&self.envoy, &self.weft].map(|side| side.home.at(port))
    }

    /// What both make of a request: Envoy's first.
    pub fn ask(&self, asked: &Asked) -> [io::Result<Seen>; 2] {
        [0, 1].map(|side| self.ask_one(side, asked))
    }

    /// What one of them makes of a request: Envoy is 0, `weft-proxy` 1.
    ///
    /// # Errors
    /// The connection failed, or was cut before an answer.
    pub fn ask_one(&self, side: usize, asked: &Asked) -> io::Result<Seen> {
        let side = if side == 0 { &self.envoy } else { &self.weft };
        send(side.home.at(8080), asked)
    }
}

impl Side {
    fn new() -> Self {
        let home = Home::claim();
        let ip = home.at(0).ip();
        let metadata = json!({
            "NAMESPACE": "default", "LABELS": {"istio": "edge"}, "INTERCEPTION_MODE": "NONE",
            "GATEWAY_BIND": ip.to_string(), "CLUSTER_ID": "Kubernetes",
        });
        let id = format!("router~{ip}~edge.default~default.svc.cluster.local");
        let node = Node::new(&id, &metadata, &[]).expect("invariant: the node is well formed");
        let desk = Desk::default();
        let control_plane = ControlPlane::start(home.at(0), desk.clone());
        Self { home, node, desk, control_plane }
    }

    fn resources(&self, snapshot: &Snapshot, secrets: &[String]) -> Vec<Resource> {
        let view = mesh::view(snapshot, &self.node);
        let mut outputs = translate::clusters(&view.clusters);
        outputs.extend(translate::listeners(&view.listeners));
        outputs.extend(view.routes().map(|route| translate::route(route)));
        outputs.extend(
            view.endpoint_names().filter_map(|name| view.endpoints(name)).map(|e| translate::endpoints(&e)),
        );
        outputs.extend(secrets.iter().filter_map(|name| view.secret(name)).map(|s| translate::secret(&s)));
        let resource = |output: translate::Output| {
            let ty = TypeUrl::ALL.into_iter().find(|ty| ty.as_str() == output.any.type_url);
            Resource {
                ty: ty.expect("invariant: a type that is served"),
                name: output.name.into(),
                value: output.any.value,
            }
        };
        outputs.into_iter().map(resource).collect()
    }
}

/// Sends a request on a connection of its own; the whole answer.
fn send(to: SocketAddr, asked: &Asked) -> io::Result<Seen> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let headers: String = asked.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{} {} HTTP/1.1\r\nhost: {}\r\n{headers}connection: close\r\n\r\n",
        asked.method, asked.path, asked.host
    )?;
    // Not to the end of the connection: for its own answers, Envoy leaves that to the client for a second.
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while !is_whole(&String::from_utf8_lossy(&bytes), asked.method == "HEAD") {
        match stream.read(&mut chunk)? {
            0 => break,
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    seen(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Whether an answer is all there, as far as its head tells; without a length it ends with the connection.
fn is_whole(text: &str, is_head: bool) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    is_head
        || length.is_some_and(|length| body.len() >= length)
        || (head.contains("transfer-encoding: chunked") && body.ends_with("0\r\n\r\n"))
}

fn seen(text: &str) -> Option<Seen> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| {
            !PASSING.contains(&name.as_str()) && name != "content-length" && name != "transfer-encoding"
        })
        .collect();
    headers.sort();
    Some(Seen { status, headers, body: told(body) })
}

/// The backend's word without what differs between any two requests; any other body as it is.
fn told(body: &str) -> String {
    let start = body.find('{').unwrap_or(body.len());
    let end = body.rfind('}').map_or(body.len(), |at| at + 1);
    let Some(Ok(mut told)) = body.get(start..end).map(serde_json::from_str::<Value>) else {
        return body.to_owned();
    };
    if let Some(headers) = told["headers"].as_object_mut() {
        headers.retain(|name, _| !PASSING.contains(&name.as_str()));
        // Their order among each other means nothing.
        headers.sort_keys();
    }
    told.to_string()
}
