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
