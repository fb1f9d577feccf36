#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn kind(fields: Value) -> Result<ClusterKind, String> {
    let mut json = json!({"name": "c"});
    fields.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    let message: Cluster = proto::json::from_json(&json).unwrap();
    ClusterKind::compile(&message).map_err(|wrong| wrong.to_string())
}

fn custom(message: &str, fields: Value) -> Value {
    let mut any = fields;
    any["@type"] = format!("type.googleapis.com/envoy.extensions.clusters.{message}").into();
    json!({"cluster_type": {"name": "x", "typed_config": any}})
}

#[test]
fn each_way_to_find_endpoints_is_known() {
    let dns = Dns::default();
    let original = |fields: Value| json!({"type": "ORIGINAL_DST", "original_dst_lb_config": fields});
    let header = |name: &'static str| Some(HeaderName::from_static(name));
    for (fields, expected) in [
        (json!({}), ClusterKind::Static),
        (json!({"type": "EDS"}), ClusterKind::Eds("c".into())),
        (json!({"type": "EDS", "eds_cluster_config": {"service_name": "s"}}), ClusterKind::Eds("s".into())),
        (json!({"type": "STRICT_DNS"}), ClusterKind::StrictDns(dns)),
        (
            json!({"type": "LOGICAL_DNS", "dns_lookup_family": "V4_ONLY"}),
            ClusterKind::LogicalDns(Dns { family: Family::V4, ..dns }),
        ),
        (json!({"type": "ORIGINAL_DST"}), ClusterKind::OriginalDst(OriginalDst::default())),
        (
            original(json!({"upstream_port_override": 81})),
            ClusterKind::OriginalDst(OriginalDst { port: Some(81), header: None }),
        ),
        (
            original(json!({"use_http_header": true})),
            ClusterKind::OriginalDst(OriginalDst { port: None, header: header("x-envoy-original-dst-host") }),
        ),
        (
            original(json!({"use_http_header": true, "http_header_name": "X-To"})),
            ClusterKind::OriginalDst(OriginalDst { port: None, header: header("x-to") }),
        ),
        (
            custom("dns.v3.DnsCluster", json!({"all_addresses_in_single_endpoint": true})),
            ClusterKind::LogicalDns(dns),
        ),
        (
            custom(
                "dynamic_forward_proxy.v3.ClusterConfig",
                json!({"dns_cache_config": {"name": "d", "dns_lookup_family": "V4_ONLY"}}),
            ),
            ClusterKind::DynamicForward(Dns { family: Family::V4, refresh: Duration::from_secs(60), ..dns }),
        ),
    ] {
        assert_eq!(kind(fields.clone()), Ok(expected), "{fields}");
    }
}

#[test]
fn names_are_asked_for_as_often_as_is_said() {
    let expected = Dns {
        family: Family::V6,
        refresh: Duration::from_secs(30),
        follows_ttl: true,
        retry: Some(Duration::from_secs(2)),
        jitter: Duration::from_secs(1),
    };
    let fields = json!({
        "dns_refresh_rate": "30s", "respect_dns_ttl": true, "dns_jitter": "1s",
        "dns_failure_refresh_rate": {"base_interval": "2s"}, "dns_lookup_family": "V6_ONLY",
    });
    let mut old = fields.clone();
    old["type"] = "STRICT_DNS".into();

    assert_eq!(kind(old), Ok(ClusterKind::StrictDns(expected)));
    assert_eq!(kind(custom("dns.v3.DnsCluster", fields)), Ok(ClusterKind::StrictDns(expected)));
}

#[test]
fn what_is_not_known_is_refused_with_its_path() {
    for (fields, place) in [
        (json!({"type": "STRICT_DNS", "dns_refresh_rate": "0s"}), "dns_refresh_rate"),
        (json!({"cluster_type": {"name": "x"}}), "cluster_type.typed_config"),
        (
            custom("dynamic_forward_proxy.v3.ClusterConfig", json!({"sub_clusters_config": {}})),
            "cluster_type.typed_config.sub_clusters_config",
        ),
        (
            json!({"type": "ORIGINAL_DST", "original_dst_lb_config": {"metadata_key": {"key": "k"}}}),
            "original_dst_lb_config.metadata_key",
        ),
    ] {
        let error = kind(fields.clone()).unwrap_err();
        assert!(error.starts_with(place), "{fields}: {error}");
    }
}
