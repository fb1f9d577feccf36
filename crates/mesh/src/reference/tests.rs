use api::parse;
use base::Issue;

use crate::{Settings, Snapshot};

const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-1, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: web, version: v1}}
---
";

fn found(text: &str) -> Vec<(String, String)> {
    let parsed = parse("reference.yaml", format!("{WEB}{text}").as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let set = parsed.resources.into_iter().collect();
    let snapshot = Snapshot::next(None, &set, &Settings::default());
    assert!(snapshot.issues().iter().all(|issue| issue.place.line > 0), "{:#?}", snapshot.issues());
    snapshot.issues().iter().map(|Issue { code, path, .. }| (code.clone(), path.clone())).collect()
}

fn issues<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.map(|(code, path)| (code.to_owned(), path.to_owned())).into()
}

fn rule(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n---\n"
    )
}

fn gateway(name: &str, servers: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: edge}}\nspec: {{selector: {{app: gate}}, servers: [{servers}]}}\n---\n"
    )
}

fn secret(namespace: &str) -> String {
    let (certificate, key) = (
        "-----BEGIN CERTIFICATE-----\n    AAAA\n    -----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n    AAAA\n    -----END PRIVATE KEY-----",
    );
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: {namespace}}}\nstringData:\n  tls.crt: |\n    {certificate}\n  tls.key: |\n    {key}\n---\n"
    )
}

#[test]
fn rules_for_nobody_are_reported() {
    let text = [
        rule("a", "{host: nobody, trafficPolicy: {tls: {mode: DISABLE, credentialName: none}}}"),
        rule(
            "b",
            "{host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}",
        ),
        rule("c", "{host: '*.example.com'}"),
    ];

    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v2}}]}]}\n---\n";

    assert_eq!(found(&text.concat()), issues([("unknown-host", "spec.host")]), "nobody is led to v2");
    assert_eq!(
        found(&[&text.concat(), route].concat()),
        issues([("unknown-host", "spec.host"), ("empty-subset", "spec.subsets[1]")])
    );
}

#[test]
fn secrets_that_nobody_has_are_reported() {
    let ports = "portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE, credentialName: cert}}]";
    let text = [
        rule("a", &format!("{{host: web, trafficPolicy: {{{ports}}}}}")),
        gateway(
            "g",
            "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: cert}}",
        ),
    ]
    .concat();

    assert_eq!(
        found(&text),
        issues([
            ("unknown-secret", "spec.trafficPolicy.portLevelSettings[0].tls.credentialName"),
            ("unknown-secret", "spec.servers[0].tls"),
        ])
    );
    assert_eq!(found(&format!("{text}{}", secret("edge"))), []);
    // Where the gateway is known to run, its Secret is needed.
    let gate = "
apiVersion: v1
kind: Service
metadata: {name: gate, namespace: edge}
spec: {selector: {app: gate}, ports: [{name: https, port: 443}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: gate, namespace: edge}
spec: {address: 10.0.0.2, labels: {app: gate}}
---
";
    assert_eq!(found(&format!("{text}{gate}{}", secret("edge"))), []);
    assert_eq!(
        found(&format!("{text}{gate}{}", secret("shop"))),
        issues([("unknown-secret", "spec.servers[0].tls")])
    );
}

#[test]
fn servers_that_an_older_gateway_pushes_aside_are_reported() {
    let https = |name: &str| {
        format!(
            "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: [a.com], tls: {{mode: SIMPLE, \
             serverCertificate: /c, privateKey: /k}}}}"
        )
    };
    let text = [
        gateway("a", &https("one")),
        gateway("b", &https("two")),
        gateway("c", "{port: {number: 443, name: http, protocol: HTTP}, hosts: [a.com]}"),
    ];

    assert_eq!(
        found(&text.concat()),
        issues([
            ("shadowed-host", "spec.servers[0].hosts[0]"),
            ("conflicting-server", "spec.servers[0].port")
        ])
    );
}

#[test]
fn a_gateway_that_exposes_none_of_the_hosts_is_reported() {
    let text = [
        gateway("g", "{port: {number: 80, name: http, protocol: HTTP}, hosts: [edge/a.com, b.com]}"),
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a, namespace: shop}\n\
         spec: {hosts: [a.com], gateways: [edge/g], http: [{directResponse: {status: 200}}]}\n---\n"
            .to_owned(),
    ];

    assert_eq!(found(&text.concat()), issues([("hosts-not-exposed", "spec.gateways[0]")]));
}
