#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn compile(json: Value) -> Result<ClusterSpec, String> {
    let message: wire::Cluster = proto::json::from_json(&json).unwrap();
    ClusterSpec::compile(&message).map_err(|wrong| wrong.to_string())
}

fn named_with(fields: Value) -> Result<ClusterSpec, String> {
    let mut json = json!({"name": "c"});
    fields.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    compile(json)
}

#[test]
fn each_way_to_find_endpoints_is_known() {
    let dns = Dns { family: Family::Auto, refresh: Duration::from_secs(5) };
    let custom = |message: &str, fields: Value| {
        let mut any = fields;
        any["@type"] = format!("type.googleapis.com/envoy.extensions.clusters.{message}").into();
        json!({"cluster_type": {"name": "x", "typed_config": any}})
    };
    let forward = json!({"dns_cache_config": {"name": "d"}});
    for (fields, expected) in [
        (json!({}), ClusterKind::Static),
        (json!({"type": "EDS"}), ClusterKind::Eds("c".into())),
        (json!({"type": "EDS", "eds_cluster_config": {"service_name": "s"}}), ClusterKind::Eds("s".into())),
        (json!({"type": "STRICT_DNS"}), ClusterKind::StrictDns(dns)),
        (
            json!({"type": "LOGICAL_DNS", "dns_lookup_family": "V4_ONLY"}),
            ClusterKind::LogicalDns(Dns { family: Family::V4, ..dns }),
        ),
        (json!({"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}), ClusterKind::OriginalDst(None)),
        (
            json!({"type": "ORIGINAL_DST", "original_dst_lb_config": {"upstream_port_override": 81}}),
            ClusterKind::OriginalDst(Some(81)),
        ),
        (
            custom("dns.v3.DnsCluster", json!({"all_addresses_in_single_endpoint": true})),
            ClusterKind::LogicalDns(dns),
        ),
        (custom("dynamic_forward_proxy.v3.ClusterConfig", forward), ClusterKind::DynamicForward),
    ] {
        assert_eq!(named_with(fields.clone()).unwrap().kind, expected, "{fields}");
    }
}

#[test]
fn the_http_of_a_cluster_is_found_in_new_and_old_places() {
    let options = |fields: Value| {
        let mut any = fields;
        any["@type"] = format!("type.googleapis.com/{HTTP_OPTIONS}").into();
        json!({"typed_extension_protocol_options": {HTTP_OPTIONS: any}})
    };
    for (fields, expected) in [
        (json!({}), UpstreamHttp::Http1),
        (json!({"http2_protocol_options": {}}), UpstreamHttp::Http2),
        (json!({"protocol_selection": "USE_DOWNSTREAM_PROTOCOL"}), UpstreamHttp::AsDownstream),
        (options(json!({"explicit_http_config": {"http2_protocol_options": {}}})), UpstreamHttp::Http2),
        (options(json!({"explicit_http_config": {"http_protocol_options": {}}})), UpstreamHttp::Http1),
        (options(json!({"use_downstream_protocol_config": {}})), UpstreamHttp::AsDownstream),
    ] {
        assert_eq!(named_with(fields.clone()).unwrap().http, expected, "{fields}");
    }
    let common =
        json!({"common_http_protocol_options": {"idle_timeout": "300s", "max_requests_per_connection": 1}});
    let spec = named_with(options(common)).unwrap();
    assert_eq!(
        (spec.idle_timeout, spec.max_requests_per_connection),
        (Some(Duration::from_secs(300)), Some(1))
    );
}

#[test]
fn what_is_not_done_is_said() {
    let fields = json!({"lb_policy": "RING_HASH", "outlier_detection": {}, "circuit_breakers": {"thresholds": [
        {"max_requests": 7, "max_retries": u32::MAX},
        {"priority": "HIGH", "max_requests": 9},
    ]}});

    let spec = named_with(fields).unwrap();

    assert_eq!(spec.degraded.iter().map(|d| d.path).collect::<Vec<_>>(), ["lb_policy", "outlier_detection"]);
    assert_eq!(spec.breakers, Breakers { requests: Some(7), ..Breakers::default() });
}

#[test]
fn what_would_go_elsewhere_is_refused_with_its_path() {
    let inline = |address: &str| {
        json!({"load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": address, "port_value": 1}}}},
        ]}]}})
    };
    for (fields, place) in [
        (json!({"name": ""}), "name"),
        (json!({"lb_subset_config": {}}), "lb_subset_config"),
        (json!({"connect_timeout": "-1s"}), "connect_timeout"),
        (json!({"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"}), "lb_policy"),
        (
            json!({"type": "ORIGINAL_DST", "original_dst_lb_config": {"use_http_header": true}}),
            "original_dst_lb_config",
        ),
        (json!({"transport_socket": {"name": "x"}}), "transport_socket.typed_config"),
        (inline("not.an.address"), "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address"),
        (json!({"filters": [{"name": "x"}]}), "filters[0].typed_config"),
    ] {
        let error = named_with(fields.clone()).unwrap_err();
        assert!(error.starts_with(place), "{fields}: {error}");
    }
}

#[test]
fn a_cluster_tells_which_service_it_stands_for() {
    let fields = json!({"metadata": {"filter_metadata": {
        "istio": {"services": [{"name": "reviews", "namespace": "demo", "host": "reviews.demo.svc.cluster.local"}]},
        "weft.origin": {"object": "DestinationRule/demo/reviews", "path": "subsets[0]"},
    }}});

    let spec = named_with(fields).unwrap();

    let expected = Service { name: "reviews", namespace: "demo", host: "reviews.demo.svc.cluster.local" };
    assert_eq!(spec.service(), Some(expected));
    assert_eq!(spec.origin.unwrap().to_string(), "DestinationRule/demo/reviews subsets[0]");
}
