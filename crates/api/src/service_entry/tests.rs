#![allow(clippy::unwrap_used)]

use super::*;
use crate::sample::{errors, found, one, warnings};
use crate::{Kind, Resource};

const PORTS: &str = "ports: [{number: 443, name: tls, protocol: TLS}]";

fn read(body: &str) -> ServiceEntry {
    let Resource::ServiceEntry(entry) = one(Kind::ServiceEntry, body) else { panic!("a ServiceEntry") };
    entry.spec().clone()
}

#[test]
fn endpoints_are_written_or_selected() {
    let selected =
        read(&format!("hosts: [b.x]\nresolution: STATIC\nworkloadSelector: {{labels: {{app: b}}}}\n{PORTS}"));
    let written = read(&format!(
        "hosts: [b.x]\nresolution: STATIC\nsubjectAltNames: [spiffe://x]\nexportTo: ['~']\nendpoints: [{{address: 1.1.1.1, locality: r/z, weight: 3}}]\n{PORTS}"
    ));

    assert_eq!(selected.workload_selector, Some(Labels::from([("app", "b")])));
    assert_eq!((written.endpoints[0].weight, &*written.endpoints[0].locality), (3, "r/z"));
    assert_eq!(written.subject_alt_names, ["spiffe://x"]);
    assert!(!written.export_to.unwrap().includes("a"));
}

#[test]
fn names_under_a_wildcard_are_resolved_one_by_one_where_requests_say_them() {
    let body = |hosts: &str, protocol: &str| {
        format!(
            "hosts: [{hosts}]\nresolution: DYNAMIC_DNS\nports: [{{number: 80, name: p, protocol: {protocol}}}]"
        )
    };

    assert_eq!(read(&body("'*.b.x'", "TLS")).resolution, Resolution::DynamicDns);
    assert_eq!(errors(Kind::ServiceEntry, &body("b.x", "HTTP")), [found("conflict", "spec")]);
    assert_eq!(errors(Kind::ServiceEntry, &body("'*.b.x'", "TCP")), [found("wrong-value", "spec.ports[0]")]);
}

#[test]
fn a_selector_without_an_address_to_choose_is_warned_of() {
    let body = format!("hosts: [b.x]\nworkloadSelector: {{labels: {{app: b}}}}\n{PORTS}");

    assert_eq!(warnings(Kind::ServiceEntry, &body), [found("no-effect", "spec.workloadSelector")]);
}

#[test]
fn an_endpoint_may_be_a_unix_socket_that_serves_the_only_port() {
    let body = |address: &str, more: &str, resolution: &str, ports: &str| {
        format!(
            "hosts: [b.x]\nresolution: {resolution}\nendpoints: [{{address: '{address}'{more}}}]\nports: [{ports}]"
        )
    };
    let (one, two) = ("{number: 80, name: a, protocol: HTTP}", "{number: 81, name: b, protocol: HTTP}");
    for address in ["unix:///run/b.sock", "unix://@b"] {
        assert_eq!(read(&body(address, "", "STATIC", one)).endpoints[0].address, address);
    }

    let wrong = |body: &str| errors(Kind::ServiceEntry, body);
    let socket = "unix:///run/b.sock";
    assert_eq!(
        wrong(&body("unix://./b", "", "STATIC", one)),
        [found("wrong-value", "spec.endpoints[0].address")]
    );
    assert_eq!(
        wrong(&body(socket, ", ports: {a: 1}", "STATIC", one)),
        [found("conflict", "spec.endpoints[0]")]
    );
    assert_eq!(
        wrong(&body(socket, "", "STATIC", &format!("{one}, {two}"))),
        [found("conflict", "spec.endpoints[0]")]
    );
    assert_eq!(wrong(&body(socket, "", "DNS", one)), [found("wrong-value", "spec.endpoints[0]")]);
}
