//! Unix sockets in a stock Envoy and in `weft-proxy`: a Gateway bound to some, a service behind one. Both have the same
//! paths, one after the other, and each finds what the one before has left there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as Probe;
use std::path::Path;

use mesh::{Proxy as Node, Settings, Snapshot};
use serde_json::json;
use testkit::{Echo, wait_until};
use tests_interop::desk::Resource;
use tests_interop::exchange::{Asked, Client, Seen, exchange_over};
use tests_interop::{ControlPlane, Desk, Envoy, Home, PATIENCE, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use xds::TypeUrl;

/// Everything that is written of addresses, and with it of what they lack.
const LOG: &str = "told %UPSTREAM_CLUSTER_RAW% %UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS% %RESPONSE_FLAGS% \
                   %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% <%DOWNSTREAM_LOCAL_PORT%> \
                   %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %REQ(X-FORWARDED-FOR)%";

/// What a proxy makes of everything.
#[derive(Debug, PartialEq)]
struct Outcome {
    seen: Vec<Seen>,
    relayed: String,
    told: Vec<String>,
}

/// A proxy of either kind.
enum Process {
    Envoy(Envoy),
    Weft(Proxy),
}

impl Process {
    fn wait_live(&self) {
        match self {
            Self::Envoy(envoy) => envoy.wait_live(),
            Self::Weft(proxy) => proxy.wait_live(),
        }
    }

    fn access_log(&self) -> String {
        match self {
            Self::Envoy(envoy) => envoy.log(),
            Self::Weft(proxy) => proxy.access_log(),
        }
    }
}

fn configuration(folder: &Path) -> String {
    let at = |name: &str| format!("unix://{}", folder.join(name).display());
    let server = |name: &str, protocol: &str| json!({"port": {"number": 0, "name": name, "protocol": protocol}, "bind": at(name), "hosts": ["*"]});
    let service = |name: &str, protocol: &str, socket: &str| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "hosts": [format!("{name}.test")], "location": "MESH_INTERNAL", "resolution": "STATIC",
                "ports": [{"number": 80, "name": "main", "protocol": protocol}],
                "endpoints": [{"address": at(socket)}],
            },
        })
    };
    let to = |name: &str| json!([{"destination": {"host": format!("{name}.test"), "port": {"number": 80}}}]);
    let ends = json!({"x-ends": "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"});
    let objects = [
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "default"},
            "spec": {"selector": {"istio": "edge"}, "servers": [server("http", "HTTP"), server("tcp", "TCP")]},
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "all", "namespace": "default"},
            "spec": {
                "hosts": ["*"], "gateways": ["edge"],
                "http": [
                    {"match": [{"uri": {"prefix": "/gone"}}], "route": to("gone"), "retries": {"attempts": 0}},
                    {"match": [{"uri": {"prefix": "/h2"}}], "route": to("h2")},
                    {"route": to("app"), "headers": {"request": {"set": ends}}},
                ],
                "tcp": [{"route": to("bytes")}],
            },
        }),
        service("app", "HTTP", "app"),
        service("h2", "HTTP2", "app"),
        service("gone", "HTTP", "nobody"),
        service("bytes", "TCP", "bytes"),
    ];
    objects.iter().map(|object| format!("{object}\n")).collect::<Vec<_>>().join("---\n")
}

/// Everything a proxy is told by a configuration.
fn resources(text: &str, node: &Node) -> Vec<Resource> {
    let parsed = api::parse("pipes.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let set: api::ResourceSet = parsed.resources.into_iter().collect();
    let mut settings = Settings::default();
    settings.manner.log.format = LOG.to_owned();
    let snapshot = Snapshot::next(None, &set, &settings);
    let view = mesh::view(&snapshot, node);
    let mut outputs = translate::clusters(&view.clusters);
    outputs.extend(translate::listeners(&view.listeners));
    outputs.extend(view.routes().map(|route| translate::route(route)));
    let names = view.endpoint_names().filter_map(|name| view.endpoints(name));
    outputs.extend(names.map(|slice| translate::endpoints(&slice)));
    let resource = |output: translate::Output| {
        let ty = TypeUrl::ALL.into_iter().find(|ty| ty.as_str() == output.any.type_url);
        Resource { ty: ty.expect("a type that is served"), name: output.name.into(), value: output.any.value }
    };
    outputs.into_iter().map(resource).collect()
}

/// Lets a Unix socket lead to a backend.
async fn lead(listener: UnixListener, to: SocketAddr) {
    while let Ok((mut near, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(to).await else { return };
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

/// Repeats to each client what it has said.
async fn parrot(listener: UnixListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
            let _ = stream.write_all(&heard).await;
        });
    }
}

fn outcome(
    folder: &Path,
    clients: &Runtime,
    start: impl FnOnce(&Home, SocketAddr, &str) -> Process,
) -> Outcome {
    let (home, desk) = (Home::claim(), Desk::default());
    let id = format!("router~{}~edge.default~default.svc.cluster.local", home.at(0).ip());
    let metadata = json!({"NAMESPACE": "default", "LABELS": {"istio": "edge"}, "INTERCEPTION_MODE": "NONE"});
    let node = Node::new(&id, &metadata, &[]).expect("the node is well formed");
    let control_plane = ControlPlane::start(home.at(0), desk.clone());
    let generation = desk.replace(resources(&configuration(folder), &node));
    let process = start(&home, control_plane.address(), &id);
    desk.wait_settled(generation);
    assert_eq!(desk.refusals(generation), []);
    process.wait_live();
    for socket in ["http", "tcp"] {
        wait_until("a listener at a Unix socket", PATIENCE, || {
            Probe::connect(folder.join(socket)).map_err(|error| error.to_string())
        });
    }

    let ask = |asked: Asked| async move {
        exchange_over(UnixStream::connect(folder.join("http")).await?, &asked).await
    };
    let get = |path: &str| Asked::get("a.test", path);
    let forged = vec![("x-forwarded-for", "9.9.9.9".to_owned()), ("x-envoy-internal", "true".to_owned())];
    let all = [
        get("/"),
        Asked { client: Client::Http2, ..get("/") },
        Asked { headers: forged, ..get("/") },
        Asked { method: "POST", body: "something", ..get("/") },
        get("/h2"),
        Asked { client: Client::WebSocket, ..get("/") },
        get("/gone"),
    ];
    // Beside the relayed connection there is the one that probed.
    let count = all.len() + 2;
    let seen = all.map(|asked| clients.block_on(ask(asked)).expect("an answer")).into();
    let relayed = clients.block_on(async {
        let mut stream = UnixStream::connect(folder.join("tcp")).await.expect("a connection");
        stream.write_all(b"polly").await.expect("room");
        stream.shutdown().await.expect("an open connection");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.expect("an answer");
        heard
    });
    let told = wait_until("everything in the access log", PATIENCE, || {
        let log = process.access_log();
        let mut told: Vec<String> =
            log.lines().filter(|line| line.starts_with("told ")).map(str::to_owned).collect();
        // Connections that end together are written in any order.
        told.sort();
        if told.len() == count { Ok(told) } else { Err(log) }
    });
    Outcome { seen, relayed, told }
}

#[test]
fn a_gateway_and_services_on_unix_sockets_do_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for backends and clients");
    let echo = Echo::start("app").expect("a backend");
    let bind = |name: &str| {
        let _entered = runtime.enter();
        UnixListener::bind(folder.join(name)).expect("a free path")
    };
    runtime.spawn(lead(bind("app"), echo.address()));
    runtime.spawn(parrot(bind("bytes")));

    let envoy =
        outcome(folder, &runtime, |home, discovery, id| Process::Envoy(Envoy::start(home, discovery, id)));
    let weft = outcome(folder, &runtime, |home, discovery, id| {
        Process::Weft(Proxy::start(home, discovery, BTreeMap::new(), id))
    });

    assert_eq!((weft.relayed.as_str(), weft.seen[0].status, weft.seen[6].status), ("polly", 200, 503));
    let http = folder.join("http").display().to_string();
    assert!(weft.seen[0].body.contains(&format!("{http} {http}")), "{}", weft.seen[0].body);
    assert_eq!(weft.seen, envoy.seen);
    assert_eq!((weft.relayed, weft.told), (envoy.relayed, envoy.told));
}
