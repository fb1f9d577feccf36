#![allow(clippy::unwrap_used)]

use super::*;
use crate::sample::{errors, found, one, warnings};
use crate::{Kind, Resource};

fn read(body: &str) -> Sidecar {
    let Resource::Sidecar(sidecar) = one(Kind::Sidecar, body) else { panic!("a Sidecar") };
    sidecar.spec().clone()
}

fn host(namespace: EgressNamespace, name: &str) -> EgressHost {
    EgressHost { namespace, host: Host::new(name) }
}

#[test]
fn hosts_are_seen_in_namespaces_unless_excepted() {
    let sidecar = read("egress: [{hosts: ['./*', 'n/*.x', '*/b.x', '~/c.x', '~n/d.x']}]");

    let [egress] = &sidecar.egress[..] else { panic!("one listener") };
    let named = || EgressNamespace::Named("n".into());
    let seen = [host(EgressNamespace::Own, "*"), host(named(), "*.x"), host(EgressNamespace::Any, "b.x")];
    assert_eq!(egress.hosts, seen);
    assert_eq!(egress.except, [host(EgressNamespace::Any, "c.x"), host(named(), "d.x")]);
}

#[test]
fn a_listener_for_the_workload_says_where_connections_go() {
    let sidecar = read(
        "ingress:
- {port: {number: 80, name: http, protocol: HTTP}, defaultEndpoint: '127.0.0.1:8080', captureMode: NONE}
- {port: {number: 81, name: h, protocol: HTTP}, defaultEndpoint: '[::]:8081', bind: 10.0.0.1}
- {port: {number: 82, name: t}}",
    );

    let [loopback, instance, same] = &sidecar.ingress[..] else { panic!("three listeners") };
    assert_eq!(loopback.default_endpoint, Some(DefaultEndpoint::Loopback(([127, 0, 0, 1], 8080).into())));
    assert_eq!(loopback.capture_mode, CaptureMode::None);
    assert_eq!(instance.default_endpoint, Some(DefaultEndpoint::Instance(8081)));
    assert_eq!(instance.bind, Some([10, 0, 0, 1].into()));
    assert_eq!((same.default_endpoint.clone(), same.port.protocol), (None, Protocol::Auto));
}

#[test]
fn certificates_of_a_sidecar_are_files() {
    let files = "{mode: SIMPLE, serverCertificate: a, privateKey: b}";
    let listener =
        |tls: &str| format!("ingress: [{{port: {{number: 443, name: https, protocol: HTTPS}}, tls: {tls}}}]");

    let sidecar = read(&listener(files));

    assert_eq!(sidecar.ingress[0].tls.as_ref().unwrap().certificates[0].private_key, "b");
    let secret = listener("{mode: SIMPLE, credentialName: c}");
    assert_eq!(
        errors(Kind::Sidecar, &secret),
        [found("refused-field", "spec.ingress[0].tls.credentialName")]
    );
}

#[test]
fn the_listener_without_a_port_stands_last() {
    let body = "egress: [{hosts: ['./*']}, {port: {number: 80, name: http, protocol: HTTP}, hosts: ['./*']}]";

    assert_eq!(errors(Kind::Sidecar, body), [found("conflict", "spec.egress[0]")]);
}

#[test]
fn what_nobody_declared_goes_out_through_a_proxy_only_where_it_goes_out() {
    let proxy = "egressProxy: {host: p.example, port: {number: 1}}";
    let sidecar = read(&format!("outboundTrafficPolicy: {{mode: ALLOW_ANY, {proxy}}}"));

    let policy = sidecar.outbound_traffic_policy.unwrap();
    assert_eq!(policy.mode, OutboundMode::AllowAny);
    assert_eq!(policy.egress_proxy.unwrap().port, Some(1));
    let closed = format!("outboundTrafficPolicy: {{{proxy}}}");
    let path = "spec.outboundTrafficPolicy.egressProxy";
    assert_eq!(errors(Kind::Sidecar, &closed), [found("conflict", path)]);
    let dynamic = "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}";
    assert_eq!(errors(Kind::Sidecar, dynamic), [found("wrong-value", "spec.outboundTrafficPolicy.mode")]);
}

#[test]
fn a_host_another_covers_is_warned_of() {
    let body = "egress: [{hosts: ['./*', 'a/b.x']}]";

    assert_eq!(warnings(Kind::Sidecar, body), [found("no-effect", "spec.egress[0]")]);
}

#[test]
fn others_may_be_listened_for_on_unix_sockets_and_the_workload_may_listen_on_one() {
    let egress = |bind: &str, more: &str| {
        format!("{{port: {{number: 0, name: uds, protocol: HTTP}}, bind: '{bind}', hosts: ['*/*']{more}}}")
    };
    let sidecar = read(&format!(
        "ingress: [{{port: {{number: 80, name: http, protocol: HTTP}}, defaultEndpoint: 'unix:///run/app.sock'}}]\n\
         egress: [{}, {}]",
        egress("unix:///run/a.sock", ""),
        egress("unix://@b", ", captureMode: NONE"),
    ));

    let app = DefaultEndpoint::Pipe("/run/app.sock".into());
    assert_eq!(sidecar.ingress[0].default_endpoint, Some(app));
    let binds: Vec<_> = sidecar.egress.iter().map(|egress| egress.bind.clone().unwrap()).collect();
    assert_eq!(binds, [Bind::Pipe("/run/a.sock".into()), Bind::Pipe("@b".into())]);
    assert_eq!(sidecar.egress[0].port.as_ref().unwrap().number, 0);
    let wrong = |body: &str| errors(Kind::Sidecar, body);
    let twice = format!("egress: [{}, {}]", egress("unix:///a", ""), egress("unix:///a", ""));
    assert_eq!(wrong(&twice), [found("duplicate-value", "spec.egress[1]")]);
    let captured = format!("egress: [{}]", egress("unix:///a", ", captureMode: IPTABLES"));
    assert_eq!(wrong(&captured), [found("conflict", "spec.egress[0]")]);
    let relative = "ingress: [{port: {number: 80, name: h, protocol: HTTP}, defaultEndpoint: 'unix://a'}]";
    assert_eq!(wrong(relative), [found("wrong-value", "spec.ingress[0].defaultEndpoint")]);
    let inbound = "ingress: [{port: {number: 80, name: h, protocol: HTTP}, bind: 'unix:///a'}]";
    assert!(wrong(inbound).contains(&found("wrong-value", "spec.ingress[0].bind")));
}
