//! What a program reaches that knows of no proxy: under Weft's own control plane, in a network whose rules send its
//! connections to its sidecar, which is `weft-proxy` and then a stock Envoy.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use testkit::{Echo, wait_until};
use tests_interop::{Envoy, Home, PATIENCE, Plane, Proxy, namespace};
use tokio::net::TcpSocket;

/// The captured program's address.
const PROGRAM: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// Somebody who calls it.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// A network of TCP servers and a host of HTTP, both by NONE; a part of the network is another's; and the program.
const WORLD: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: network, namespace: default}
spec:
  hosts: [network.test]
  addresses: [10.1.0.0/24]
  ports: [{number: 9000, name: tcp, protocol: TCP}]
  location: MESH_EXTERNAL
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: default}
spec:
  hosts: [outside.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  location: MESH_EXTERNAL
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other, namespace: default}
spec:
  hosts: [other.test]
  ports: [{number: 9100, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 10.4.0.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: network, namespace: default}
spec:
  hosts: [network.test]
  tcp:
  - match: [{destinationSubnets: [10.1.0.128/25]}]
    route: [{destination: {host: other.test, port: {number: 9100}}}]
  - route: [{destination: {host: network.test, port: {number: 9000}}}]
---
apiVersion: v1
kind: Service
metadata: {name: program, namespace: default}
spec:
  clusterIP: 10.8.0.1
  selector: {app: program}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7600}, {port: 7700, name: odd}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: program, namespace: default}
spec: {address: 10.0.0.1, labels: {app: program}}
"#;

/// What is not in the registry is nowhere.
const REGISTRY_ONLY: &str = r#"
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress: [{hosts: ["./*"]}]
"#;

/// Those that answer: TCP servers speak first, so that whoever waits for the client never hears of them.
struct Servers {
    _http: Vec<Echo>,
}

impl Servers {
    fn start() -> Self {
        let tcp = [
            "10.1.0.5:9000",
            "10.1.0.130:9000",
            "10.4.0.1:9100",
            "10.3.0.1:7000",
            "10.0.0.1:7500",
            "10.0.0.1:7600",
            "10.0.0.1:7700",
        ];
        let http = ["10.2.0.1:80", "10.3.0.1:80", "10.0.0.1:8080"];
        let [tcp, http] = [&tcp[..], &http[..]].map(|list| list.iter().map(|at| socket(at)));
        let own = tcp.clone().chain(http.clone()).map(|at| at.ip()).chain([STRANGER]);
        namespace::add_addresses(&own.collect::<std::collections::BTreeSet<_>>());
        tcp.for_each(tell);
        Self { _http: http.map(|at| Echo::start_at(&at.to_string(), at).expect("an address")).collect() }
    }
}

fn socket(at: &str) -> SocketAddr {
    at.parse().expect("an address and a port")
}

/// Serves its own address to whoever connects, and lets them have the last word.
fn tell(at: SocketAddr) {
    let listener = TcpListener::bind(at).expect("an address of the namespace");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let told = write!(stream, "{at}").and_then(|()| stream.shutdown(Shutdown::Write));
            // A client that is gone has heard enough.
            let _ = told.and_then(|()| stream.read_to_end(&mut Vec::new()));
        }
    });
}

/// The rules of a captured pod, in which whoever speaks is known by its address.
fn capture() {
    let (program, stranger) = (PROGRAM.to_string(), STRANGER.to_string());
    namespace::redirect(&["-s", &program, "!", "-d", &program], 15_001);
    namespace::redirect(&["-s", &stranger, "-d", &program], 15_006);
}

/// What a program and its callers hear, while a control plane says where they may go.
struct Ears {
    dir: tempfile::TempDir,
    plane: Plane,
}

impl Ears {
    fn open() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), "world.yaml", WORLD);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let plane = Plane::start(dir.path(), listener);
        Self { dir, plane }
    }

    /// What a client hears who begins with some bytes: everything until the other side ends.
    fn call(&self, from: IpAddr, to: &str, begins: &str) -> io::Result<String> {
        let socket = TcpSocket::new_v4()?;
        let to = to.parse().expect("an address and a port");
        let stream = self.plane.block_on(async {
            socket.bind(SocketAddr::new(from, 0))?;
            socket.connect(to).await?.into_std()
        });
        let mut stream = stream?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(begins.as_bytes())?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard)?;
        Ok(heard)
    }

    /// What somebody hears of a server that speaks first.
    fn hears(&self, from: IpAddr, to: &str) -> String {
        self.call(from, to, "").unwrap_or_else(|error| format!("{error}"))
    }

    /// The status a request gets, and who answers it.
    fn asks(&self, from: IpAddr, to: &str, host: &str) -> (String, String) {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let heard = self.call(from, to, &request).unwrap_or_else(|error| format!("{error}"));
        let status = heard.split(' ').nth(1).unwrap_or_default().to_owned();
        let name = heard.split_once("\"name\":\"").and_then(|(_, rest)| rest.split('"').next());
        (status, name.unwrap_or_default().to_owned())
    }

    /// What is the same whatever becomes of unknown destinations.
    fn assert_known(&self) {
        assert_eq!(self.hears(PROGRAM, "10.1.0.5:9000"), "10.1.0.5:9000");
        assert_eq!(self.hears(PROGRAM, "10.1.0.130:9000"), "10.4.0.1:9100");
        let answered = |name: &str| ("200".to_owned(), name.to_owned());
        assert_eq!(self.asks(PROGRAM, "10.2.0.1:80", "outside.test"), answered("10.2.0.1:80"));
        assert_eq!(self.asks(PROGRAM, "10.8.0.1:80", "program"), answered("10.0.0.1:8080"));
        assert_eq!(self.asks(STRANGER, "10.0.0.1:8080", "program"), answered("10.0.0.1:8080"));
        assert_eq!(self.hears(STRANGER, "10.0.0.1:7600"), "10.0.0.1:7600");
        // Where nobody said what is spoken the client is listened to first, and nobody said for how long: it begins.
        for at in ["10.0.0.1:7500", "10.0.0.1:7700"] {
            let heard = self.call(STRANGER, at, "\0neither TLS nor HTTP\r\n");
            assert_eq!(heard.expect("an answer"), at);
        }
    }

    /// Goes through what a captured program can reach, before and after only the registry counts.
    fn assert_captured(&self) {
        self.assert_known();
        assert_eq!(self.hears(PROGRAM, "10.3.0.1:7000"), "10.3.0.1:7000");
        assert_eq!(
            self.asks(PROGRAM, "10.3.0.1:80", "unknown.test"),
            ("200".to_owned(), "10.3.0.1:80".to_owned())
        );

        write(self.dir.path(), "sidecar.yaml", REGISTRY_ONLY);
        wait_until("what nobody knows to be nowhere", PATIENCE, || {
            let got =
                (self.hears(PROGRAM, "10.3.0.1:7000"), self.asks(PROGRAM, "10.3.0.1:80", "unknown.test"));
            let nowhere = got.0 != "10.3.0.1:7000" && got.1 == ("502".to_owned(), String::new());
            if nowhere { Ok(()) } else { Err(format!("{got:?}")) }
        });
        self.assert_known();
        std::fs::remove_file(self.dir.path().join("sidecar.yaml")).expect("the file to go");
        wait_until("what nobody knows to be reached again", PATIENCE, || {
            match self.hears(PROGRAM, "10.3.0.1:7000") {
                heard if heard == "10.3.0.1:7000" => Ok(()),
                heard => Err(heard),
            }
        });
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn a_captured_program_reaches_networks_hosts_and_the_unknown_as_its_mesh_says() {
    let name =
        "interop::captured::a_captured_program_reaches_networks_hosts_and_the_unknown_as_its_mesh_says";
    namespace::within(name, || {
        let _servers = Servers::start();
        namespace::ip(["route add 10.8.0.1 dev lo".to_owned()]);
        capture();
        let ears = Ears::open();
        let id = format!("sidecar~{PROGRAM}~program.default~default.svc.cluster.local");

        let proxy = Proxy::start(&Home::claim(), ears.plane.ads, Default::default(), &id);
        proxy.wait_live();
        ears.assert_captured();
        proxy.wait_for_access("a line of a connection to nowhere", |line| {
            [" UH ", " BlackHoleCluster ", " 10.3.0.1:7000 10.0.0.1:"]
                .into_iter()
                .all(|part| line.contains(part))
        });
        drop(proxy);

        if testkit::skip_without_envoy() {
            return;
        }
        let envoy = Envoy::start(&Home::claim(), ears.plane.ads, &id);
        envoy.wait_live();
        ears.assert_captured();
    });
}
