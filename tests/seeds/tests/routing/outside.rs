//! Hosts outside the mesh: TLS that a sidecar starts, TLS that the program starts, and endpoints of one's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use testkit::Dns;
use tests_mesh::demo::{eventually, told};
use tests_mesh::{Authority, Cast, Curl, Up};
use tests_seeds::{cast, document};

/// Certificates of a server, of a client and of who signed both.
struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    fn of(servers: &[&str]) -> Self {
        let keys = Self { folder: tempfile::tempdir().expect("a folder") };
        let authority = Authority::new("the test's");
        authority.write(&keys.folder.path().join("rootcacerts.pem"));
        let (certificate, key) =
            (keys.folder.path().join("server.pem"), keys.folder.path().join("server.key"));
        authority.sign_for("server", servers, &certificate, &key);
        authority.sign(
            "client",
            &keys.folder.path().join("myclientcert.pem"),
            &keys.folder.path().join("client_private_key.pem"),
        );
        keys
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// A server without a sidecar that speaks TLS at 9443 and says its name.
fn server(cast: Cast, name: &str, keys: &Keys, wants_client: bool) -> Cast {
    let page = format!(r#"[{{"port":9443,"path":"/","status":200,"body":"{name}"}}]"#);
    let (certificate, key) = (keys.file("server.pem"), keys.file("server.key"));
    let client = match wants_client {
        true => format!(", TLS_CLIENT_CA: {}", keys.file("rootcacerts.pem")),
        false => String::new(),
    };
    let env = format!("env: {{SITE: '{page}', TLS_CERT: {certificate}, TLS_KEY: {key}{client}}}");
    cast.sample(name, "site", &["ports: [9443]", "proxy: none", &env])
}

/// A plain server without a sidecar that says its name at 9080.
fn plain(cast: Cast, name: &str) -> Cast {
    let env = format!(r#"env: {{SITE: '[{{"port":9080,"path":"/","status":200,"body":"{name}"}}]'}}"#);
    cast.sample(name, "site", &["ports: [9080]", "proxy: none", &env])
}

/// Starts a mesh whose proxies find each of these hosts at a workload's program.
fn start(cast: Cast, hosts: &[(&str, &str)]) -> (Up, Dns) {
    let dns = Dns::start(BTreeMap::new()).expect("a name server");
    let mesh = cast.dns(dns.address()).start();
    for (host, workload) in hosts {
        dns.set(host, vec![mesh.address(workload, 2)]);
    }
    (mesh, dns)
}

fn entry(name: &str, host: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  \
         hosts: [{host}]\n  location: MESH_EXTERNAL\n{rest}"
    )
}

#[test]
fn a_sidecar_shows_a_certificate_to_a_host_outside() {
    let keys = Keys::of(&["foo.com"]);
    let (mesh, _dns) = start(server(cast(), "foo", &keys, true), &[("foo.com", "foo")]);
    let corrected = document("002/mutual/destination-rule.yaml")
        .replace("  name: foo.com", "  host: foo.com")
        .replace("/etc/certs", &keys.folder.path().display().to_string());
    let ask = || mesh.call("client", "http://foo.com/", &[]);

    mesh.give(
        "apply",
        &entry(
            "foo",
            "foo.com",
            "  resolution: DNS\n  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9443}]\n",
        ),
    );
    assert_eq!(ask().status, 503, "the server speaks nothing but TLS");
    mesh.give("apply", &corrected);

    let reply = ask();
    assert_eq!((reply.status, reply.body.as_str()), (200, "foo"), "{reply:?}");
    let without: Vec<&str> =
        corrected.lines().filter(|l| !l.contains("clientCertificate") && !l.contains("privateKey")).collect();
    mesh.give("apply", &without.join("\n").replace("mode: MUTUAL", "mode: SIMPLE"));
    assert_eq!(ask().status, 503, "the server lets in nobody without a certificate");
}

#[test]
fn https_is_started_by_the_program_or_by_its_sidecar() {
    let keys = Keys::of(&["api.com", "elsewhere.com"]);
    let outside = server(server(cast(), "theirs", &keys, false), "ours", &keys, false);
    let (roots, page) = (keys.folder.path().join("rootcacerts.pem"), keys.folder.path().join("page"));
    // What the environment tells a program is enough for a curl without a word about proxies.
    let asks = format!(
        "until curl -sf --cacert {} -o {} https://api.com/; do sleep 0.1; done; exec sleep 1000",
        roots.display(),
        page.display()
    );
    let sidecar = if testkit::envoy().is_some() { "proxy: envoy" } else { "proxy: weft" };
    let outside = outside.workload("shell", &[&format!("command: [sh, -c, '{asks}']"), sidecar]);
    let (mesh, _dns) = start(outside, &[("api.com", "theirs"), ("elsewhere.com", "ours")]);
    let by_sidecar = SocketAddr::from((mesh.address("client", 3), 15_007));

    mesh.give(
        "apply",
        &entry(
            "api",
            "api.com",
            "  resolution: DNS\n  ports: [{number: 443, name: https, protocol: HTTPS, targetPort: 9443}]\n",
        ),
    );
    let reply = Curl::new("https://api.com/").by(by_sidecar).trusts(&roots).send();
    assert_eq!((reply.status, reply.body.as_str()), (200, "theirs"), "{reply:?}");
    eventually("the page a program asked for", || {
        std::fs::read_to_string(&page).ok().filter(|text| text == "theirs")
    });
    // A stock Envoy takes tunnels as Weft's proxy does, to hosts that nobody declared too.
    for caller in ["client", "shell"] {
        let by = SocketAddr::from((mesh.address(caller, 3), 15_007));
        let known = Curl::new("https://api.com/").by(by).trusts(&roots).send();
        assert_eq!((known.status, known.body.as_str()), (200, "theirs"), "{caller}: {known:?}");
        let unknown = Curl::new("https://elsewhere.com:9443/").by(by).trusts(&roots).send();
        assert_eq!((unknown.status, unknown.body.as_str()), (200, "ours"), "{caller}: {unknown:?}");
    }

    mesh.done(&["delete", "serviceentry", "api"]);
    let address = mesh.address("ours", 2);
    mesh.give(
        "apply",
        &(entry(
            "api",
            "api.com",
            &format!(
                "  resolution: STATIC\n  endpoints: [{{address: {address}}}]\n  \
                 ports: [{{number: 443, name: http, protocol: HTTP, targetPort: 9443}}]\n---\n"
            ),
        ) + &format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: api}}\nspec:\n  \
             host: api.com\n  trafficPolicy:\n    tls: {{mode: SIMPLE, caCertificates: {}}}\n",
            roots.display()
        )),
    );
    let reply = mesh.call("client", "http://api.com:443/", &[]);
    assert_eq!((reply.status, reply.body.as_str()), (200, "ours"), "{reply:?}");
}

#[test]
fn a_service_entry_has_endpoints_by_address_or_by_name() {
    let outside = plain(plain(plain(cast(), "one"), "two"), "three");
    let (mesh, _dns) = start(outside, &[("three.internal", "three")]);
    let [one, two] = ["one", "two"].map(|name| mesh.address(name, 2));
    let ports = "  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9080}]\n";

    mesh.give(
        "apply",
        &(entry(
            "fixed",
            "fixed.com",
            &format!(
                "  resolution: STATIC\n  endpoints: [{{address: {one}}}, {{address: {two}}}]\n{ports}---\n"
            ),
        ) + &entry(
            "named",
            "named.com",
            &format!("  resolution: DNS\n  endpoints: [{{address: three.internal}}]\n{ports}"),
        )),
    );

    let seen: BTreeSet<String> =
        (0..40).map(|_| mesh.call("client", "http://fixed.com/", &[]).body).collect();
    assert_eq!(seen, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
    assert_eq!(mesh.call("client", "http://named.com/", &[]).body, "three");
}

#[test]
fn a_network_is_no_host_to_route_for() {
    let mesh = cast().start();
    let given = mesh.path("network.yaml");
    let rule = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: network}\nspec:\n  \
                hosts: [192.168.0.0/16]\n  http:\n  - route:\n    - destination: {host: reviews}\n";
    std::fs::write(&given, rule).expect("a file");

    let out = mesh.weft(&["apply", "-f", &given.display().to_string()]);

    let said = told(&out);
    assert!(!out.status.success() && said.contains("network.yaml:5:"), "{said}");
    assert!(said.contains("spec.hosts[0]"), "{said}");
}
