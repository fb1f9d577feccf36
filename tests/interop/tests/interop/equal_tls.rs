//! TLS at a gateway, in a stock Envoy and in `weft-proxy`: every client is let in, or turned away, by both.

use std::collections::BTreeMap;

use testkit::Echo;
use tests_interop::Site;
use tests_interop::keys::Keys;
use tests_interop::pair::Pair;
use tests_mesh::Curl;

/// The port of the gateway.
const PORT: u16 = 8443;

/// How often every mode must have been met.
const USES: usize = 20;

/// What the gateway shows, and its clients.
fn keys() -> Keys {
    Keys::new(&[("a.test", &["a.test"])])
}

/// What may differ between two proxies that do the same: the words of a failure.
fn outcome(
    at: std::net::SocketAddr,
    (host, path): (&str, &str),
    options: &Options,
    keys: &Keys,
) -> (bool, u16, String) {
    let mut curl =
        Curl::new(&format!("https://{host}:{PORT}{path}")).at(host, PORT, at).trusts(&keys.authority());
    if let Some(name) = options.client {
        curl = curl.shows(&keys.certificate(name), &keys.key(name));
    }
    let curl = options.flags.iter().fold(curl, |curl, flag| curl.flag(flag));
    let outcome = curl.send();
    let body: serde_json::Value = serde_json::from_str(&outcome.body).unwrap_or_default();
    let told =
        format!("{} {} {}", body["name"], body["path"], outcome.header("location").unwrap_or_default());
    (outcome.exit == 0, outcome.status, told)
}

/// How a client comes.
struct Options {
    client: Option<&'static str>,
    flags: &'static [&'static str],
}

fn configuration(tls: &str, backend: std::net::SocketAddr) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: default}}\nspec:\n  \
         selector: {{istio: edge}}\n  servers:\n  - port: {{number: {PORT}, name: https, protocol: HTTPS}}\n    \
         hosts: [a.test]\n    tls: {tls}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: one, namespace: default}}\nspec:\n  \
         hosts: [one.test]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
         endpoints: [{{address: {}, ports: {{http: {}}}}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: one, namespace: default}}\nspec:\n  \
         hosts: [\"*\"]\n  gateways: [edge]\n  http:\n  - match: [{{uri: {{prefix: /}}}}]\n    \
         route: [{{destination: {{host: one.test, port: {{number: 80}}}}}}]\n",
        backend.ip(),
        backend.port()
    )
}

#[test]
fn tls_passes_through_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let keys = keys();
    let site = Site::start(&keys.certificate("a.test"), &keys.key("a.test"));
    let pair = Pair::start();
    let at = site.address();
    pair.configure(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: default}}\nspec:\n  \
         selector: {{istio: edge}}\n  servers:\n  - port: {{number: {PORT}, name: tls, protocol: TLS}}\n    \
         hosts: [\"*.test\"]\n    tls: {{mode: PASSTHROUGH}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: one, namespace: default}}\nspec:\n  \
         hosts: [one.test]\n  location: MESH_EXTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 443, name: tls, protocol: TLS}}]\n  \
         endpoints: [{{address: {}, ports: {{tls: {}}}}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: one, namespace: default}}\nspec:\n  \
         hosts: [a.test, c.test]\n  gateways: [edge]\n  tls:\n  - match: [{{port: {PORT}, sniHosts: [a.test, c.test]}}]\n    \
         route: [{{destination: {{host: one.test, port: {{number: 443}}}}}}]\n",
        at.ip(),
        at.port()
    ));
    let mut differences = Vec::new();
    let mut met = 0;

    // The certificate is for the first, the second is led to it all the same, and the third to nobody.
    for host in ["a.test", "c.test", "b.test"] {
        for flags in [&["--http1.1"][..], &["--http2"], &["--tls-max", "1.2"], &["--insecure"]] {
            for path in ["/status/200", "/status/418"] {
                let options = Options { client: None, flags };
                let [envoy, weft] = pair.at(PORT).map(|at| outcome(at, (host, path), &options, &keys));
                met += 1;
                if envoy != weft {
                    differences.push(format!("{host} {flags:?} {path}: Envoy {envoy:?}, Weft {weft:?}"));
                }
            }
        }
    }

    assert!(differences.is_empty(), "{differences:#?}");
    assert!(met >= USES);
}

/// Whether a client of mesh TLS that asks for a name gets as far as a server. Ours knows none of its protocols and
/// says so in the handshake, which no proxy would.
fn reaches_a_server(at: std::net::SocketAddr, name: &str, protocol: &str) -> bool {
    let out = std::process::Command::new("openssl")
        .args(["s_client", "-connect", &at.to_string(), "-servername", name, "-alpn", protocol])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl");
    String::from_utf8_lossy(&out.stderr).contains("no application protocol")
}

#[test]
fn mesh_tls_is_led_by_its_name_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let keys = keys();
    let site = Site::start(&keys.certificate("a.test"), &keys.key("a.test"));
    let pair = Pair::start();
    let at = site.address();
    pair.configure(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: default}}\nspec:\n  \
         selector: {{istio: edge}}\n  servers:\n  - port: {{number: {PORT}, name: tls, protocol: TLS}}\n    \
         hosts: [\"*.test\"]\n    tls: {{mode: AUTO_PASSTHROUGH}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: one, namespace: default}}\nspec:\n  \
         hosts: [one.test]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
         endpoints: [{{address: {}, ports: {{http: {}}}, \
         labels: {{security.istio.io/tlsMode: istio}}}}]\n",
        at.ip(),
        at.port()
    ));
    let (mut met, mut reached) = (0, 0);

    for name in
        ["outbound_.80_._.one.test", "outbound_.81_._.one.test", "one.test", "outbound_.80_.v1_.one.test"]
    {
        for protocol in ["istio", "istio-peer-exchange", "istio-http/1.1", "istio-h2", "h2", "http/1.1"] {
            let [envoy, weft] = pair.at(PORT).map(|at| reaches_a_server(at, name, protocol));
            met += 1;
            reached += usize::from(weft);
            assert_eq!(envoy, weft, "{name} with {protocol}");
        }
    }

    assert!(met >= USES && reached > 0, "{reached} of {met} came through");
}

#[test]
fn tls_ends_alike_in_every_mode() {
    if testkit::skip_without_envoy() {
        return;
    }
    let (keys, backend) = (keys(), Echo::start("one").expect("a backend"));
    let pair = Pair::start();
    let files = format!(
        "serverCertificate: {}, privateKey: {}",
        keys.certificate("a.test").display(),
        keys.key("a.test").display()
    );
    let roots = format!("caCertificates: {}", keys.authority().display());
    let modes = [
        ("SIMPLE", format!("{{mode: SIMPLE, {files}}}")),
        ("SIMPLE from 1.3", format!("{{mode: SIMPLE, {files}, minProtocolVersion: TLSV1_3}}")),
        ("SIMPLE up to 1.2", format!("{{mode: SIMPLE, {files}, maxProtocolVersion: TLSV1_2}}")),
        ("MUTUAL", format!("{{mode: MUTUAL, {files}, {roots}}}")),
        ("MUTUAL by name", format!("{{mode: MUTUAL, {files}, {roots}, subjectAltNames: [client]}}")),
        ("MUTUAL by another name", format!("{{mode: MUTUAL, {files}, {roots}, subjectAltNames: [other]}}")),
        ("OPTIONAL_MUTUAL", format!("{{mode: OPTIONAL_MUTUAL, {files}, {roots}}}")),
    ];
    let clients = [None, Some("client"), Some("stranger")];
    let flags: [&[&str]; 3] = [&["--http1.1"], &["--http2"], &["--tls-max", "1.2"]];
    let (mut met, mut differences) = (BTreeMap::new(), Vec::new());

    for (mode, tls) in &modes {
        let text = configuration(tls, backend.address());
        let secrets = keys.secrets(&["a.test"]);
        pair.configure_with(&text, &secrets);
        for client in clients {
            for flags in flags {
                for asked in [("a.test", "/"), ("a.test", "/x?y"), ("b.test", "/")] {
                    let options = Options { client, flags };
                    let [envoy, weft] = pair.at(PORT).map(|at| outcome(at, asked, &options, &keys));
                    *met.entry(mode).or_insert(0) += 1;
                    if envoy != weft {
                        differences.push(format!(
                            "{mode} {client:?} {flags:?} {asked:?}: Envoy {envoy:?}, Weft {weft:?}"
                        ));
                    }
                }
            }
        }
    }

    assert!(differences.is_empty(), "{differences:#?}");
    assert!(met.values().all(|count| *count >= USES), "{met:?}");
}
