#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::cluster_spec::{Keepalive, Service};
use crate::upstream_http::{AutoSni, HTTP_OPTIONS, UpstreamHttp};
use std::time::Duration;

fn compile(json: Value) -> Result<ClusterSpec, String> {
    let message: wire::Cluster = proto::json::from_json(&json).unwrap();
    Cluster::read(&message).map_err(|wrong| wrong.to_string())
}

fn named_with(fields: Value) -> Result<ClusterSpec, String> {
    let mut json = json!({"name": "c"});
    fields.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    compile(json)
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
    let mut negotiated = options(json!({"auto_config": {}}));
    assert!(named_with(negotiated.clone()).unwrap_err().contains("needs TLS"));
    negotiated["transport_socket"] = json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    }});
    assert_eq!(named_with(negotiated).unwrap().http, UpstreamHttp::Negotiated);
    let common = json!({
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "300s", "max_requests_per_connection": 1},
    });
    let spec = named_with(options(common)).unwrap();
    let streams = json!({"explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 7}}});
    assert_eq!(named_with(options(streams)).unwrap().max_streams, Some(7));
    assert_eq!(
        (spec.idle_timeout, spec.max_requests_per_connection),
        (Some(Duration::from_secs(300)), Some(1))
    );
}

#[test]
fn what_is_not_done_is_said() {
    let fields = json!({
        "preconnect_policy": {},
        "lrs_server": {"self": {}},
        "dns_resolvers": [{"socket_address": {"address": "10.0.0.1", "port_value": 53}}],
    });

    let spec = named_with(fields).unwrap();

    let paths: Vec<_> = spec.degraded.iter().map(|d| d.path).collect();
    assert_eq!(paths, ["typed_dns_resolver_config", "preconnect_policy", "lrs_server"]);
}

#[test]
fn to_choose_is_the_business_of_either_the_policy_or_the_cluster() {
    for (fields, is_good) in [
        (json!({"type": "EDS"}), true),
        (json!({"type": "EDS", "lb_policy": "CLUSTER_PROVIDED"}), false),
        (json!({"type": "ORIGINAL_DST"}), false),
        (json!({"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}), true),
        (json!({"lb_policy": "CLUSTER_PROVIDED"}), false),
    ] {
        assert_eq!(named_with(fields.clone()).is_ok(), is_good, "{fields}");
    }
}

#[test]
fn tls_can_take_its_name_from_the_request() {
    let options = |fields: Value| {
        let upstream = json!({
            "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
            "explicit_http_config": {"http_protocol_options": {}},
            "upstream_http_protocol_options": fields,
        });
        named_with(json!({"typed_extension_protocol_options": {HTTP_OPTIONS: upstream}})).unwrap().auto_sni
    };

    assert_eq!(
        options(json!({"auto_sni": true, "auto_san_validation": true})),
        AutoSni { sends_host: true, checks_host: true, header: None }
    );
    let other = options(json!({"auto_sni": true, "override_auto_sni_header": "x-sni"}));
    assert_eq!(other.header.unwrap(), "x-sni");
}

#[test]
fn silent_connections_are_looked_after_as_asked() {
    let fields = json!({"upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 60, "keepalive_probes": 3}}});

    let expected = Keepalive { probes: Some(3), time: Some(Duration::from_secs(60)), interval: None };
    assert_eq!(named_with(fields).unwrap().keepalive, Some(expected));
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
        (json!({"health_checks": [{}]}), "health_checks"),
        (json!({"connect_timeout": "0s"}), "connect_timeout"),
        (json!({"type": "LOGICAL_DNS", "load_assignment": {"cluster_name": "c"}}), "load_assignment"),
        (json!({"type": "LOGICAL_DNS"}), "load_assignment"),
        (
            json!({"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "load_assignment": {"cluster_name": "c"}}),
            "load_assignment",
        ),
        (json!({"upstream_bind_config": {"socket_options": [{}]}}), "upstream_bind_config.socket_options"),
        (
            json!({"outlier_detection": {"max_ejection_percent": 101}}),
            "outlier_detection.max_ejection_percent",
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

#[test]
fn numbers_are_kept_under_the_other_name_where_there_is_one() {
    let stat_name = |fields: Value| named_with(fields).unwrap().stat_name;

    assert_eq!(&*stat_name(json!({})), "c");
    assert_eq!(&*stat_name(json!({"alt_stat_name": "c;"})), "c");
    assert_eq!(&*stat_name(json!({"alt_stat_name": "shop.default_80;"})), "shop.default_80");
}

#[test]
fn what_counts_as_an_error_is_told_beside_the_http_options() {
    let any = |fields: Value| {
        let mut any = fields;
        any["@type"] = format!("type.googleapis.com/{HTTP_OPTIONS}").into();
        any["explicit_http_config"] = json!({"http_protocol_options": {}});
        named_with(json!({"typed_extension_protocol_options": {HTTP_OPTIONS: any}}))
    };
    assert!(any(json!({})).unwrap().errors.is_none());
    assert!(
        any(json!({"outlier_detection": {"error_matcher": {"any_match": true}}})).unwrap().errors.is_some()
    );

    let error = any(json!({"outlier_detection": {}})).unwrap_err();

    let path = "typed_extension_protocol_options.outlier_detection.error_matcher";
    assert_eq!(error, format!("{path}: is missing"));
}
