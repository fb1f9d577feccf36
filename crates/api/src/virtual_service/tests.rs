#![allow(clippy::unwrap_used)]

use super::*;
use crate::sample::{errors, found, one, warnings};
use crate::{Kind, Resource};

const ROUTE: &str = "route: [{destination: {host: b}}]";

fn read(body: &str) -> VirtualService {
    let Resource::VirtualService(config) = one(Kind::VirtualService, body) else {
        panic!("a VirtualService")
    };
    config.spec().clone()
}

#[test]
fn routes_of_connections_keep_their_conditions() {
    let config = read(
        "hosts: ['*.b.example']
tls:
- match: [{sniHosts: [x.b.example], port: 443, destinationSubnets: [10.0.0.0/8], gateways: [mesh, g]}]
  route: [{destination: {host: b, subset: v1}, weight: 1}, {destination: {host: c}, weight: 3}]
tcp:
- match: [{port: 27017, sourceLabels: {app: a}, sourceNamespace: ns, destinationSubnets: ['::1']}]
  route: [{destination: {host: b, port: {number: 1}}}]",
    );

    let [tls] = &config.tls[..] else { panic!("one route") };
    assert_eq!(tls.matches[0].sni_hosts, [Host::new("x.b.example")]);
    assert_eq!(tls.matches[0].connection.port, Some(443));
    assert_eq!(tls.matches[0].connection.destination_subnets, ["10.0.0.0/8".parse().unwrap()]);
    let gateway = GatewayRef::Named { namespace: "a".into(), name: "g".into() };
    assert_eq!(tls.matches[0].connection.gateways, [GatewayRef::Mesh, gateway]);
    assert_eq!(tls.route.iter().map(|to| to.weight).collect::<Vec<_>>(), [1, 3]);
    let [tcp] = &config.tcp[..] else { panic!("one route") };
    assert_eq!(tcp.matches[0].destination_subnets, ["::1/128".parse().unwrap()]);
    assert_eq!(tcp.matches[0].source_namespace.as_deref(), Some("ns"));
    assert_eq!(tcp.route[0].weight, 100, "a lone destination gets everything");
}

#[test]
fn a_server_name_no_host_covers_is_an_error() {
    let body = format!("hosts: [b.example]\ntls:\n- match: [{{sniHosts: [c.example]}}]\n  {ROUTE}");

    let wrong = found("wrong-value", "spec.tls[0].match[0].sniHosts[0]");
    assert_eq!(errors(Kind::VirtualService, &body), [wrong]);
}

#[test]
fn a_delegate_has_neither_gateways_nor_delegates_of_its_own() {
    let body = "gateways: [g]\nhttp: [{delegate: {name: d}}]";

    let expected = [found("conflict", "spec.gateways"), found("conflict", "spec.http[0].delegate")];
    assert_eq!(errors(Kind::VirtualService, body), expected);
    assert!(read(&format!("http:\n- {ROUTE}")).hosts.is_empty());
}

#[test]
fn a_route_that_delegates_names_its_delegate_and_does_nothing_else() {
    let config = read("hosts: [b]\nhttp: [{match: [{uri: {prefix: /}}], delegate: {name: d}, timeout: 1s}]");

    let delegate = Delegate { name: "d".into(), namespace: "a".into() };
    assert_eq!(config.http[0].action, HttpAction::Delegate(delegate));
    let body = format!("hosts: [b]\nhttp:\n- delegate: {{name: d}}\n  {ROUTE}");
    assert_eq!(errors(Kind::VirtualService, &body), [found("conflict", "spec.http[0].route")]);
}

#[test]
fn an_abort_has_an_http_or_a_grpc_status() {
    let config = read(&format!(
        "hosts: [b]\nhttp:\n- fault: {{abort: {{grpcStatus: UNAVAILABLE, percentage: {{value: 0.5}}}}}}\n  {ROUTE}"
    ));

    let abort = Abort { status: AbortStatus::Grpc(14), percentage: 0.5 };
    assert_eq!(config.http[0].fault.abort, Some(abort));
    for (abort, finding) in [
        ("grpcStatus: UNAVAILABL", found("wrong-value", "spec.http[0].fault.abort.grpcStatus")),
        ("grpcStatus: OK, httpStatus: 500", found("conflict", "spec.http[0].fault.abort.grpcStatus")),
        ("http2Error: REFUSED", found("refused-field", "spec.http[0].fault.abort.http2Error")),
    ] {
        let body = format!(
            "hosts: [b]\nhttp:\n- fault: {{abort: {{{abort}, percentage: {{value: 1}}}}}}\n  {ROUTE}"
        );
        assert_eq!(errors(Kind::VirtualService, &body), [finding], "{abort}");
    }
}

#[test]
fn claims_of_tokens_are_refused_wherever_they_are_matched() {
    for name in ["headers", "withoutHeaders"] {
        let body = format!(
            "hosts: [b]\ngateways: [g]\nhttp:\n- match: [{{{name}: {{'@request.auth.claims.sub': {{exact: x}}}}}}]\n  {ROUTE}"
        );

        let path = format!("spec.http[0].match[0].{name}[@request.auth.claims.sub]");
        assert_eq!(errors(Kind::VirtualService, &body), [found("refused-field", &path)]);
    }
}

#[test]
fn who_sees_an_object_is_told_by_namespaces() {
    let config = read(&format!("hosts: [b]\nexportTo: [., b]\nhttp:\n- {ROUTE}"));

    let export = config.export_to.unwrap();
    assert_eq!(["a", "b", "z"].map(|namespace| export.includes(namespace)), [true, true, false]);
    for words in ["[., a]", "['*', b]", "['~']", "[N_]"] {
        let body = format!("hosts: [b]\nexportTo: {words}\nhttp:\n- {ROUTE}");
        assert_eq!(errors(Kind::VirtualService, &body).len(), 1, "{words}");
    }
}

#[test]
fn a_field_no_mesh_looks_at_is_warned_of() {
    let body = format!("hosts: [b]\ntcp:\n- match: [{{sourceSubnet: 10.0.0.0/8}}]\n  {ROUTE}");

    let expected = [found("unsupported-field", "spec.tcp[0].match[0].sourceSubnet")];
    assert_eq!(warnings(Kind::VirtualService, &body), expected);
}
