#![allow(clippy::unwrap_used)]

use balance::{Avoid, Cursor};
use serde_json::{Value, json};

use super::*;

fn spec(fields: Value) -> ClusterSpec {
    let mut json = json!({"name": "c", "type": "EDS"});
    fields.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    ClusterSpec::compile(&proto::json::from_json(&json).unwrap()).unwrap()
}

fn endpoint(address: &str, port: u16) -> Value {
    json!({"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}})
}

fn compile(spec: &ClusterSpec, endpoints: Value) -> Result<Assignment, String> {
    let json = json!({"cluster_name": "c", "endpoints": endpoints});
    let message: wire::ClusterLoadAssignment = proto::json::from_json(&json).unwrap();
    Assignment::compile(&message, spec, &mut Hosts::default()).map_err(|wrong| wrong.to_string())
}

#[test]
fn an_endpoint_that_needs_tls_is_known_by_its_metadata() {
    let tls = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "s",
        },
    });
    let raw = json!({
        "name": "envoy.transport_sockets.raw_buffer",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
    });
    let spec = spec(json!({"transport_socket_matches": [
        {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": tls},
        {"name": "tlsMode-disabled", "match": {}, "transport_socket": raw},
    ]}));
    let mut meshed = endpoint("10.0.0.1", 80);
    meshed["metadata"] = json!({"filter_metadata": {
        "envoy.transport_socket_match": {"tlsMode": "istio"},
        "istio": {"workload": "reviews-v1;demo;reviews;v1;Kubernetes"},
    }});

    let assignment = compile(&spec, json!([{"lb_endpoints": [meshed, endpoint("10.0.0.2", 80)]}])).unwrap();

    let [one, two] = assignment.endpoints.as_slice() else { panic!() };
    assert_eq!(one.tls.as_ref().unwrap().server_name.as_deref(), Some("s"));
    assert!(two.tls.is_none());
    let workload = one.workload.as_ref().unwrap();
    assert_eq!(
        (workload.name(), workload.canonical_revision(), workload.cluster()),
        ("reviews-v1", "v1", "Kubernetes")
    );
}

#[test]
fn the_table_chooses_among_the_same_places() {
    let spec = spec(json!({}));
    let mut sick = endpoint("10.0.0.2", 80);
    sick["health_status"] = "UNHEALTHY".into();
    let second = json!({"priority": 1, "lb_endpoints": [endpoint("10.0.0.3", 80)]});
    let first = json!({"lb_endpoints": [endpoint("10.0.0.1", 80), sick]});

    let assignment = compile(&spec, json!([first, second])).unwrap();

    let place = assignment.table.pick(&mut Cursor::default(), &mut || 0, Avoid::default()).unwrap();
    let Target::Address(address) = assignment.endpoints[place].target else { panic!() };
    assert_eq!(address, assignment.table.hosts()[place].address);
    assert_eq!(assignment.table.shares(), [0.7, 0.0, 0.3]);
}

#[test]
fn names_are_resolved_into_addresses() {
    let all = [(json!({"type": "STRICT_DNS"}), 3), (json!({"type": "LOGICAL_DNS"}), 2)];
    for (kind, expected) in all {
        let spec = spec(kind);
        let endpoints = json!([{"lb_endpoints": [endpoint("a.example", 81), endpoint("10.0.0.9", 80)]}]);
        let assignment = compile(&spec, endpoints).unwrap();
        assert!(assignment.has_names && assignment.table.hosts().is_empty());

        let resolved = assignment.resolved(&spec, &mut Hosts::default(), |name| {
            assert_eq!(name, "a.example");
            vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]
        });

        assert_eq!(resolved.table.hosts().len(), expected);
        assert_eq!(resolved.endpoints[0].hostname.as_deref(), Some("a.example"));
        assert_eq!(resolved.table.hosts()[0].address, "10.0.0.1:81".parse().unwrap());
    }
}

#[test]
fn endpoints_that_cannot_be_reached_are_refused_with_their_place() {
    let spec = spec(json!({}));
    for (endpoints, place) in [
        (json!([{"lb_endpoints": [endpoint("name", 80)]}]), "endpoints[0].lb_endpoints[0].endpoint.address"),
        (json!([{"lb_endpoints": [{}]}]), "endpoints[0].lb_endpoints[0].endpoint"),
        (
            json!([{"lb_endpoints": [endpoint("10.0.0.1", 0), {"endpoint": {"address": {"pipe": {"path": "x"}}}}]}]),
            "endpoints[0].lb_endpoints[1]",
        ),
        (json!([{"priority": 1000}]), "endpoints[0].priority"),
    ] {
        let error = compile(&spec, endpoints).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}
