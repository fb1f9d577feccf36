#![allow(clippy::unwrap_used)]

use balance::{Choice, Cursor};
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
    assert_eq!(one.socket.tls.as_ref().unwrap().server_name.as_deref(), Some("s"));
    assert!(two.socket.tls.is_none());
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

    let place = assignment.table.choose(&mut Cursor::default(), &mut || 0, Choice::default()).unwrap();
    let Target::Address(address) = &assignment.endpoints[place].target else { panic!() };
    assert_eq!(*address, assignment.table.hosts()[place].address);
    assert_eq!(assignment.table.shares(), [0.7, 0.0, 0.3]);
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let pipe = |path: &str| json!({"endpoint": {"address": {"pipe": {"path": path}}}});
    let group = |path: &str| json!([{"lb_endpoints": [pipe(path)]}]);

    let assignment = compile(&spec(json!({})), group("/run/app.sock")).unwrap();

    let hosts = assignment.table.hosts();
    assert_eq!(hosts[0].address.to_string(), "/run/app.sock");
    assert!(!assignment.has_names && assignment.table.named(&"/run/app.sock".parse().unwrap()) == Some(0));
    assert!(compile(&spec(json!({"type": "STATIC"})), group("@app")).is_ok());
    for (kind, path, wrong) in [
        ("EDS", "app.sock", "pipe.path: \"app.sock\" is neither"),
        ("EDS", "/", "pipe.path"),
        ("EDS", "", "pipe.path: is empty"),
        ("EDS", &format!("/{}", "a".repeat(107)), "pipe.path: is longer than 107 bytes"),
        ("STRICT_DNS", "/run/app.sock", "pipe: is not to be resolved by DNS"),
    ] {
        let why = compile(&spec(json!({"type": kind})), group(path)).unwrap_err();
        assert!(why.contains(&format!("endpoint.address.{wrong}")), "{path}: {why}");
    }
}

#[test]
fn names_are_resolved_into_addresses() {
    let one = json!({"cluster_name": "c", "endpoints": [{"lb_endpoints": [endpoint("a.example", 81)]}]});
    let all =
        [(json!({"type": "STRICT_DNS"}), 3), (json!({"type": "LOGICAL_DNS", "load_assignment": one}), 2)];
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
    let (mut weightless, mut heavy) = (endpoint("10.0.0.1", 1), endpoint("10.0.0.1", 1));
    (weightless["load_balancing_weight"], heavy["load_balancing_weight"]) = (0.into(), u32::MAX.into());
    for (endpoints, place) in [
        (json!([{"lb_endpoints": [endpoint("name", 80)]}]), "endpoints[0].lb_endpoints[0].endpoint.address"),
        (json!([{"lb_endpoints": [{}]}]), "endpoints[0].lb_endpoints[0].endpoint"),
        (
            json!([{"lb_endpoints": [endpoint("10.0.0.1", 0), {"endpoint": {"address": {"pipe": {"path": "x"}}}}]}]),
            "endpoints[0].lb_endpoints[1]",
        ),
        (json!([{"priority": 1000}]), "endpoints[0].priority"),
        (json!([{"load_balancing_weight": 0}]), "endpoints[0].load_balancing_weight"),
        (json!([{"lb_endpoints": [weightless]}]), "endpoints[0].lb_endpoints[0].load_balancing_weight"),
        (json!([{"lb_endpoints": [heavy, heavy]}]), "endpoints[0].lb_endpoints"),
    ] {
        let error = compile(&spec, endpoints).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn a_key_of_its_own_takes_the_place_of_an_address() {
    let ring = spec(json!({"lb_policy": "RING_HASH"}));
    let mut keyed = endpoint("10.0.0.1", 80);
    keyed["metadata"] = json!({"filter_metadata": {"envoy.lb": {"hash_key": "one"}}});

    let assignment = compile(&ring, json!([{"lb_endpoints": [keyed, endpoint("10.0.0.2", 80)]}])).unwrap();

    let keys: Vec<_> = assignment.table.hosts().iter().map(|host| host.key.as_deref()).collect();
    assert_eq!(keys, [Some("one"), None]);
}

#[test]
fn one_that_was_taken_out_is_left_out_when_the_table_is_made_anew() {
    let spec = spec(json!({}));
    let endpoints = json!([{"lb_endpoints": [endpoint("10.0.0.1", 80), endpoint("10.0.0.2", 80)]}]);
    let assignment = compile(&spec, endpoints).unwrap();
    let cluster = std::sync::Arc::new(balance::ClusterState::default());
    let rules = balance::Outlier { max_percent: 50, ..balance::Outlier::default() };
    let mut detector = balance::Detector::new(std::sync::Arc::new(rules), cluster);
    detector.follow(assignment.table.hosts());
    let address = &assignment.table.hosts()[0].address;
    detector.suspect(Duration::ZERO, address, balance::Suspicion::ServerErrors, &mut || 0);

    assert_eq!(assignment.table.shares(), [0.5, 0.5]);
    assert_eq!(assignment.refreshed(Duration::ZERO).table.shares(), [0.0, 1.0]);
}

#[test]
fn a_share_of_the_requests_is_dropped_by_category() {
    let spec = spec(json!({}));
    let json = json!({"cluster_name": "c", "policy": {"drop_overloads": [
        {"category": "lb", "drop_percentage": {"numerator": 25}},
    ]}});
    let message: wire::ClusterLoadAssignment = proto::json::from_json(&json).unwrap();
    let assignment = Assignment::compile(&message, &spec, &mut Hosts::default()).unwrap();

    assert_eq!(assignment.dropped(&mut || 249_999).map(|category| &**category), Some("lb"));
    assert_eq!(assignment.dropped(&mut || 250_000), None);
}
