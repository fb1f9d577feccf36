#![allow(clippy::unwrap_used)]

use super::*;
use crate::sample::{errors, found, one, parsed, warnings};
use crate::tls::{CIPHER_SUITES, ServerTlsMode, TlsVersion};
use crate::{Kind, Resource};

fn body(protocol: &str, rest: &str) -> String {
    format!(
        "servers: [{{port: {{number: 443, name: p, protocol: {protocol}}}, hosts: ['./x.example'], {rest}}}]"
    )
}

fn server(protocol: &str, rest: &str) -> Server {
    let Resource::Gateway(gateway) = one(Kind::Gateway, &body(protocol, rest)) else { panic!("a Gateway") };
    gateway.servers[0].clone()
}

#[test]
fn certificates_come_from_secrets_or_files() {
    let tls = server(
        "HTTPS",
        "tls: {mode: MUTUAL, credentialName: c, caCertCredentialName: d, minProtocolVersion: TLSV1_3}",
    );
    let files = server(
        "HTTPS",
        "tls: {mode: SIMPLE, tlsCertificates: [{serverCertificate: a, privateKey: b}, {serverCertificate: c, privateKey: d}]}",
    );

    let tls = tls.tls.unwrap();
    assert_eq!((tls.mode, &tls.credential_names[..]), (ServerTlsMode::Mutual, &["c".to_owned()][..]));
    assert_eq!(tls.ca_cert_credential_name.as_deref(), Some("d"));
    assert_eq!(tls.min_protocol_version, Some(TlsVersion::V1_3));
    let pairs: Vec<_> = files
        .tls
        .as_ref()
        .unwrap()
        .certificates
        .iter()
        .map(|c| (&*c.server_certificate, &*c.private_key))
        .collect();
    assert_eq!(pairs, [("a", "b"), ("c", "d")]);
}

#[test]
fn a_list_without_a_suite_of_ours_is_refused_and_a_mixed_one_keeps_ours() {
    let only = body("HTTPS", "tls: {mode: SIMPLE, credentialName: c, cipherSuites: [AES256-SHA]}");
    let mixed = body(
        "HTTPS",
        "tls: {mode: SIMPLE, credentialName: c, cipherSuites: [AES256-SHA, ECDHE-RSA-AES128-GCM-SHA256]}",
    );

    let path = "spec.servers[0].tls.cipherSuites";
    assert_eq!(errors(Kind::Gateway, &only), [found("refused-field", path)]);
    let issues = parsed(Kind::Gateway, &only).issues;
    let names_all = |issue: &base::Issue| CIPHER_SUITES.iter().all(|suite| issue.message.contains(suite));
    assert!(issues.iter().any(names_all), "{issues:?}");
    assert_eq!(errors(Kind::Gateway, &mixed), []);
    assert_eq!(warnings(Kind::Gateway, &mixed), [found("unsupported-field", &format!("{path}[0]"))]);
}

#[test]
fn a_version_nobody_speaks_is_refused_as_the_newest_and_warned_of_as_the_oldest() {
    let newest = body("HTTPS", "tls: {mode: SIMPLE, credentialName: c, maxProtocolVersion: TLSV1_1}");
    let oldest = body("HTTPS", "tls: {mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_0}");

    let refused = found("refused-field", "spec.servers[0].tls.maxProtocolVersion");
    assert_eq!(errors(Kind::Gateway, &newest), [refused]);
    let warned = found("unsupported-field", "spec.servers[0].tls.minProtocolVersion");
    assert_eq!(warnings(Kind::Gateway, &oldest), [warned]);
}

#[test]
fn tls_belongs_to_the_protocols_that_have_it() {
    assert_eq!(
        errors(Kind::Gateway, &body("HTTPS", "bind: 0.0.0.0")),
        [found("missing-field", "spec.servers[0].tls")]
    );
    let plain = body("HTTP", "tls: {mode: SIMPLE, credentialName: c}");
    assert_eq!(errors(Kind::Gateway, &plain), [found("conflict", "spec.servers[0].tls")]);
    let redirecting = server("HTTP", "tls: {httpsRedirect: true}");
    assert!(redirecting.redirects && redirecting.tls.is_none());
    let stream = server("TCP", "tls: {mode: SIMPLE, credentialName: c}");
    assert_eq!(stream.tls.unwrap().mode, ServerTlsMode::Simple);
}

#[test]
fn digests_of_clients_certificates_must_be_digests() {
    let pins = "verifyCertificateSpki: [x], verifyCertificateHash: ['00:11']";
    let tls = body("HTTPS", &format!("tls: {{mode: MUTUAL, credentialName: c, {pins}}}"));

    let paths = ["verifyCertificateSpki[0]", "verifyCertificateHash[0]"];
    let wrong = paths.map(|path| found("wrong-value", &format!("spec.servers[0].tls.{path}")));
    assert_eq!(errors(Kind::Gateway, &tls), wrong);
}

#[test]
fn a_protocol_without_a_look_inside_is_warned_of() {
    let mongo = body("MONGO", "bind: 127.0.0.1");

    let expected = [found("unsupported-field", "spec.servers[0].port.protocol")];
    assert_eq!(warnings(Kind::Gateway, &mongo), expected);
}

#[test]
fn a_server_may_listen_on_a_unix_socket_which_has_no_number() {
    let body = |port: &str, bind: &str| {
        format!("servers: [{{port: {{{port}name: http, protocol: HTTP}}, hosts: ['*'], bind: '{bind}'}}]")
    };
    for (bind, path) in [("unix:///run/gate.sock", "/run/gate.sock"), ("unix://@gate", "@gate")] {
        for port in ["", "number: 0, "] {
            let Resource::Gateway(gateway) = one(Kind::Gateway, &body(port, bind)) else { panic!() };
            let server = &gateway.servers[0];
            assert_eq!((server.bind.clone(), server.port.number), (Some(Bind::Pipe(path.into())), 0));
        }
    }

    let wrong = found("wrong-value", "spec.servers[0].bind");
    let long = format!("unix:///{}", "a".repeat(107));
    for bind in ["unix://gate", "unix://", "unix:///run/", "unix://@", "/run/gate.sock", &long] {
        assert!(errors(Kind::Gateway, &body("", bind)).contains(&wrong), "{bind}");
    }
    assert_eq!(errors(Kind::Gateway, &body("number: 80, ", "unix:///run/gate.sock")), [wrong]);
    let missing = found("missing-field", "spec.servers[0].port.number");
    assert_eq!(errors(Kind::Gateway, &body("", "10.0.0.1")), [missing]);
}
