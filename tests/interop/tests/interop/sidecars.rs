//! A stock Envoy and `weft-proxy` beside each other in one local mesh, under Weft's own control plane: what programs say
//! goes where the mesh wants it, by both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use base::{Bootstrap, LocalNet};
use serde_json::Value;
use testkit::{Dns, Echo, wait_until};
use tests_interop::keys::Keys;
use tests_interop::{Envoy, PATIENCE, Proxy, Reply, Site, get_with};
use tests_mesh::Curl;

use super::stock::{Mesh, backend, write};

/// Both proxies.
struct Both {
    envoy: Envoy,
    weft: Proxy,
    places: [LocalNet; 2],
}

impl Both {
    /// Starts them as the sidecars of the workloads 1 and 2, with a name server.
    fn start(mesh: &Mesh, dns: &[SocketAddr]) -> Self {
        Self::of(mesh, [1, 2], |workload| mesh.bootstrap(workload, "caller", local::Role::default(), dns))
    }

    /// The same as gateways, at the address of each.
    fn gateways(mesh: &Mesh, workloads: [u8; 2], dns: &[SocketAddr]) -> Self {
        Self::of(mesh, workloads, |workload| {
            let ip = LocalNet { mesh: mesh.number, workload }.sidecar();
            mesh.bootstrap(workload, "edge", local::Role::Gateway(ip.into()), dns)
        })
    }

    fn of(mesh: &Mesh, workloads: [u8; 2], bootstrap: impl Fn(u8) -> Bootstrap) -> Self {
        let [one, other] = workloads.map(bootstrap);
        let envoy = Envoy::start_with(&local::bootstrap::envoy(&one), one.admin);
        let weft = Proxy::start_with(other);
        envoy.wait_live();
        weft.wait_live();
        Self { envoy, weft, places: workloads.map(|workload| LocalNet { mesh: mesh.number, workload }) }
    }

    /// Where each stands, with a name for it.
    fn places(&self) -> [(&'static str, LocalNet); 2] {
        let [envoy, weft] = self.places;
        [("Envoy", envoy), ("weft-proxy", weft)]
    }

    /// How many connections to a cluster each has made.
    fn connections(&self, cluster: &str) -> [u64; 2] {
        // Envoy counts under the name that the cluster has for it.
        let name = |cluster: &str| format!("cluster.{cluster}.upstream_cx_total");
        [self.envoy.stat(&name(&format!("{cluster};"))), self.weft.stat(&name(cluster))]
    }

    /// Waits until both have logged a connection of which these words tell, one of them the flags.
    fn wait_for_log(&self, words: &[&str]) {
        let tells = |line: &str| words.iter().all(|word| line.split(' ').any(|told| told == *word));
        wait_until("a line of Envoy's", PATIENCE, || match self.envoy.log() {
            log if log.lines().any(tells) => Ok(()),
            log => Err(log),
        });
        self.weft.wait_for_access(&format!("a line of weft-proxy's with {words:?}"), tells);
    }
}

fn entry(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {spec}\n---\n"
    )
}

fn mesh_config(text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: '{text}'\n"
    )
}

/// The port of the gateway.
const EDGE: u16 = 8443;

/// A gateway through which TLS goes to the hosts of the wildcard entry at a port.
fn edge(port: u16) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: default}}\nspec:\n  \
         selector: {{app: edge}}\n  servers:\n  - port: {{number: {EDGE}, name: tls, protocol: TLS}}\n    \
         hosts: ['*.wild.test']\n    tls: {{mode: PASSTHROUGH}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: edge, namespace: default}}\nspec:\n  \
         hosts: ['*.wild.test']\n  gateways: [edge]\n  tls:\n  \
         - match: [{{port: {EDGE}, sniHosts: ['*.wild.test']}}]\n    \
         route: [{{destination: {{host: '*.wild.test', port: {{number: {port}}}}}}}]\n"
    )
}

#[test]
fn a_name_that_a_tls_client_asks_for_is_resolved() {
    if testkit::skip_without_envoy() {
        return;
    }
    let known = ["one.wild.test", "one.else.test"];
    let keys = Keys::new(&[("site", &known)]);
    let site = Site::start(&keys.certificate("site"), &keys.key("site"));
    let port = site.address().port();
    let names: BTreeMap<_, _> = known.map(|name| (name.to_owned(), vec![Ipv4Addr::LOCALHOST])).into();
    let dns = Dns::start(names).expect("a name server");
    let mesh = Mesh::with(|_, dir| {
        write(dir, "edge.yaml", &edge(port));
        let wild = format!(
            "{{hosts: ['*.wild.test'], location: MESH_EXTERNAL, resolution: DYNAMIC_DNS, \
             ports: [{{number: {port}, name: tls, protocol: TLS}}]}}"
        );
        write(dir, "wild.yaml", &entry("wild", &wild));
        write(dir, "mesh.yaml", &mesh_config("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}"));
        Vec::new()
    });
    let both = Both::start(&mesh, &[dns.address()]);
    let ask = |host: &str, lead: &dyn Fn(Curl) -> Curl| {
        let curl = Curl::new(&format!("https://{host}:{port}/status/418")).trusts(&keys.authority());
        let outcome = lead(curl).send();
        (outcome.exit == 0, outcome.status)
    };

    for (who, net) in both.places() {
        // As a connection to where the name is thought to be: nobody but the names of the entry, if they are known.
        let here = SocketAddr::from((net.outbound(), port));
        for (host, expected) in
            [("one.wild.test", (true, 418)), ("two.wild.test", (false, 0)), ("one.else.test", (false, 0))]
        {
            assert_eq!(ask(host, &|curl| curl.at(host, port, here)), expected, "{who}: {host}");
        }
        // As a tunnel: what nobody declared is resolved as well.
        let proxy = SocketAddr::from((net.outbound(), local::bootstrap::HTTP_PROXY_PORT));
        for (host, expected) in
            [("one.wild.test", (true, 418)), ("two.wild.test", (false, 0)), ("one.else.test", (true, 418))]
        {
            assert_eq!(ask(host, &|curl| curl.by(proxy)), expected, "{who}: a tunnel to {host}");
        }
    }

    assert_eq!(both.connections(&format!("outbound|{port}||*.wild.test")), [2, 2]);
    assert_eq!(both.connections("AllowAnyDynamicDNSCluster"), [1, 1]);
    both.wait_for_log(&["UH", "two.wild.test"]);

    let gateways = Both::gateways(&mesh, [3, 4], &[dns.address()]);
    for (who, net) in gateways.places() {
        let here = SocketAddr::from((net.sidecar(), EDGE));
        for (host, expected) in
            [("one.wild.test", (true, 418)), ("two.wild.test", (false, 0)), ("one.else.test", (false, 0))]
        {
            assert_eq!(ask(host, &|curl| curl.at(host, port, here)), expected, "{who} as a gateway: {host}");
        }
    }
    gateways.wait_for_log(&["UH", "two.wild.test"]);
}

/// Says hello to whoever connects.
fn greeter(address: SocketAddr) {
    let listener = wait_until("an address for a server", PATIENCE, || {
        TcpListener::bind(address).map_err(|error| error.to_string())
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"hello"));
        }
    });
}

/// What a silent client hears.
fn heard(at: SocketAddr) -> String {
    let mut heard = String::new();
    let listened = TcpStream::connect(at).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_to_string(&mut heard)
    });
    listened.map_or_else(|error| error.to_string(), |_| heard)
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    if testkit::skip_without_envoy() {
        return;
    }
    let ports = [("tcp", 7600), ("mysql", 7601), ("undeclared", 7602)];
    let nobody = 7603;
    let mesh = Mesh::with(|number, dir| {
        let mut text = String::from(
            "apiVersion: v1\nkind: Service\nmetadata: {name: first, namespace: default}\nspec:\n  \
             selector: {app: first}\n  ports:\n",
        );
        for (name, port) in ports {
            writeln!(text, "  - {{name: {name}, port: {port}}}").expect("a string takes all");
        }
        writeln!(text, "  - {{name: tcp-nobody, port: {nobody}}}").expect("a string takes all");
        let ip = LocalNet { mesh: number, workload: 3 }.sidecar();
        text += &format!(
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: first, namespace: default}}\nspec: {{address: {ip}, labels: {{app: first}}}}\n"
        );
        write(dir, "first.yaml", &text);
        for (_, port) in ports {
            greeter(SocketAddr::from((ip, port)));
        }
        Vec::new()
    });
    let both = Both::start(&mesh, &[]);
    // Where nobody says what is spoken, it is listened to, and nobody says for how long.
    for (who, net) in both.places() {
        for (name, port) in &ports[..2] {
            assert_eq!(heard((net.service(1), *port).into()), "hello", "{who}: {name}");
        }
    }

    for (who, net) in both.places() {
        assert_eq!(heard((net.service(1), nobody).into()), "", "{who}");
    }
    both.wait_for_log(&["UF,URX", &format!("outbound|{nobody}||first.default.svc.cluster.local")]);

    mesh.apply(&mesh_config("protocolDetectionTimeout: 50ms"));

    for (who, net) in both.places() {
        for (name, port) in ports {
            let at = SocketAddr::from((net.service(1), port));
            wait_until("the listener that waits no longer", PATIENCE, || match heard(at) {
                heard if heard == "hello" => Ok(()),
                heard => Err(format!("{who}: {name}: {heard}")),
            });
        }
    }
}

/// Three workloads behind two services, one of which keeps its clients by a cookie and the other by a header.
fn sessions(number: u8, dir: &Path) -> Vec<Echo> {
    let mut text = String::new();
    for (name, label) in
        [("cookie", "persistent-session: trip"), ("header", "persistent-session-header: x-trip")]
    {
        text += &format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: by-{name}, namespace: default, \
             labels: {{istio.io/{label}}}}}\n\
             spec: {{selector: {{app: kept}}, ports: [{{name: http, port: 9080}}]}}\n---\n"
        );
    }
    let backend = |workload: u8| {
        let ip = LocalNet { mesh: number, workload }.sidecar();
        write(
            dir,
            &format!("{workload}.yaml"),
            &format!(
                "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
                 metadata: {{name: kept-{workload}, namespace: default}}\n\
                 spec: {{address: {ip}, labels: {{app: kept}}}}\n"
            ),
        );
        backend(&format!("kept-{workload}"), (ip, 9080).into())
    };
    write(dir, "services.yaml", &text);
    (3..6).map(backend).collect()
}

#[test]
fn a_client_of_a_service_with_sessions_stays_where_it_began() {
    if testkit::skip_without_envoy() {
        return;
    }
    let mesh = Mesh::with(sessions);
    let both = Both::start(&mesh, &[]);
    let ask = |net: LocalNet, host: &str, session: Option<(&str, &str)>| {
        let headers = session.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let to = SocketAddr::from((net.outbound(), 9080));
        let reply = get_with(to, host, "/", &headers.into_iter().collect()).expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
        (reply.json()["name"].as_str().unwrap_or_default().to_owned(), reply)
    };
    let field = |reply: &Reply, wanted: &str| {
        let mut lines = reply.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_owned()).unwrap_or_else(|| panic!("no {wanted} in {reply:?}"))
    };

    for (who, net) in both.places() {
        let (first, reply) = ask(net, "by-cookie", None);
        let cookie = field(&reply, "set-cookie");
        let (pair, rest) = cookie.split_once(';').unwrap_or((&cookie, ""));
        assert!(pair.starts_with("trip=") && rest.contains("Path=/"), "{who}: {cookie}");
        let (other, reply) = ask(net, "by-header", None);
        let header = field(&reply, "x-trip");
        // Whoever began it, any sidecar keeps it.
        for (keeper, net) in both.places() {
            for _ in 0..6 {
                let kept = ask(net, "by-cookie", Some(("cookie", pair))).0;
                assert_eq!(kept, first, "{who} gave the cookie to {keeper}'s client");
                let kept = ask(net, "by-header", Some(("x-trip", &header))).0;
                assert_eq!(kept, other, "{who} gave the header to {keeper}'s client");
            }
        }
    }
}

/// Everything up to and with these bytes, or to the end.
fn until(stream: &mut TcpStream, end: &[u8]) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(end) && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        bytes.extend(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How connections travel to a far end: the port of the service, what is spoken there, and by which request.
///
/// A POST over HTTP/1 is left out: now and then Envoy 1.40 does not survive the end of one.
const TUNNELS: [(u16, &str, &str); 3] =
    [(7000, "TCP", "CONNECT"), (7001, "HTTP2", "CONNECT"), (7002, "HTTP2", "POST")];

/// For each of them a service `near-PORT.test`, whose connections go to `far-PORT.test` through such a tunnel.
fn tunnelled(number: u8, dir: &Path) -> Vec<Echo> {
    let ip = LocalNet { mesh: number, workload: 3 }.sidecar();
    let service = |host: &str, port: u16, speaks: &str| {
        let spec = format!(
            "{{hosts: [{host}], resolution: STATIC, endpoints: [{{address: {ip}}}], \
             ports: [{{number: {port}, name: any, protocol: {speaks}}}]}}"
        );
        entry(host, &spec)
    };
    let mut text = String::new();
    for (port, speaks, protocol) in TUNNELS {
        let (near, far) = (format!("near-{port}.test"), format!("far-{port}.test"));
        text += &service(&near, port, "TCP");
        text += &service(&far, 9080, speaks);
        text += &format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: {near}, namespace: default}}\nspec: {{hosts: [{near}], tcp: [{{route: \
             [{{destination: {{host: {far}, port: {{number: 9080}}}}}}]}}]}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
             metadata: {{name: {far}, namespace: default}}\nspec: {{host: {far}, trafficPolicy: {{tunnel: \
             {{protocol: {protocol}, targetHost: target.test, targetPort: 443}}}}}}\n---\n"
        );
    }
    write(dir, "tunnelled.yaml", &text);
    vec![wait_until("an address for a backend", PATIENCE, || {
        Echo::far_end_at("far", (ip, 9080).into()).map_err(|error| error.to_string())
    })]
}

#[test]
fn a_tunnel_is_asked_for_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let mesh = Mesh::with(tunnelled);
    let both = Both::start(&mesh, &[]);
    for ((port, speaks, protocol), slot) in TUNNELS.into_iter().zip(4..) {
        let [envoy, weft] = both.places().map(|(who, net)| {
            let mut stream = TcpStream::connect((net.service(slot), port)).expect("a sidecar");
            stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
            let told = serde_json::Deserializer::from_reader(&stream).into_iter::<Value>().next();
            stream.shutdown(Shutdown::Write).expect("a tunnel that goes on");
            stream.read_to_end(&mut Vec::new()).expect("a tunnel that ends");
            told.and_then(Result::ok).unwrap_or_else(|| panic!("{who}: nothing by {protocol} over {speaks}"))
        });

        let version = if speaks == "HTTP2" { "HTTP/2.0" } else { "HTTP/1.1" };
        assert_eq!((&envoy["method"], &envoy["version"]), (&protocol.into(), &version.into()));
        assert_eq!(envoy["authority"], "target.test:443");
        assert_eq!(envoy, weft, "by {protocol} over {speaks}, Envoy's first");
        assert_eq!(both.envoy.stat("server.live"), 1, "{}", both.envoy.log());
    }
}

#[test]
fn a_web_socket_passes_a_sidecar() {
    if testkit::skip_without_envoy() {
        return;
    }
    let mesh = Mesh::with(sessions);
    let both = Both::start(&mesh, &[]);
    for (who, net) in both.places() {
        let mut stream = TcpStream::connect((net.outbound(), 9080)).expect("a sidecar");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let asks =
            "GET /room HTTP/1.1\r\nhost: by-header\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(asks.as_bytes()).expect("a request");
        let head = until(&mut stream, b"\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 101 "), "{who}: {head}");
        // Neither HTTP nor text: nobody may look at it any more.
        stream.write_all(b"\n\0\n\0").expect("a connection");
        let mut back = [0; 4];
        stream.read_exact(&mut back).expect("the same bytes");
        assert_eq!(&back, b"\n\0\n\0", "{who}");
    }
}
