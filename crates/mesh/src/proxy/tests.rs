#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

const ID: &str = "sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local";

#[test]
fn a_local_sidecar_is_read_whole() {
    let metadata = json!({
        "NAMESPACE": "default",
        "LABELS": {"app": "reviews", "version": "v1"},
        "INTERCEPTION_MODE": "NONE",
        "INSTANCE_IPS": "127.77.3.1,127.77.3.9",
        "WEFT_LOCAL": {"mesh": 77.0, "workload": 3},
        "HTTP_PROXY_PORT": "15007",
        "PROGRAM_PORTS": {"9080": 41234},
        "UNPRIVILEGED_POD": "true",
    });

    let proxy = Proxy::new(ID, &metadata, &["weft".to_owned()]).unwrap();

    assert_eq!(proxy.labels, Labels::from([("app", "reviews"), ("version", "v1")]));
    assert_eq!(proxy.local, Some(LocalNet { mesh: 77, workload: 3 }));
    assert_eq!((proxy.interception, proxy.dialect), (Interception::None, Dialect::Weft));
    assert_eq!((proxy.http_proxy_port, proxy.program_ports.get(&9080)), (Some(15007), Some(&41234)));
    assert_eq!(proxy.addresses.len(), 2);
    assert!(!proxy.may_bind(80) && proxy.may_bind(1024));
}

#[test]
fn a_node_without_metadata_is_a_captured_sidecar_of_a_stock_envoy() {
    let proxy = Proxy::new(ID, &json!({}), &[]).unwrap();

    assert_eq!((proxy.interception, proxy.dialect), (Interception::Redirect, Dialect::Envoy));
    assert_eq!(proxy.namespace, "default");
    assert!(proxy.may_bind(80));
}

#[test]
fn hostile_metadata_is_refused_by_name() {
    for (metadata, named) in [
        (json!({"WEFT_LOCAL": {"mesh": 255, "workload": 1}}), "WEFT_LOCAL"),
        (json!({"WEFT_LOCAL": "x"}), "WEFT_LOCAL"),
        (json!({"LABELS": [1]}), "LABELS"),
        (json!({"LABELS": {"a": 1}}), "LABELS"),
        (json!({"INSTANCE_IPS": "nowhere"}), "INSTANCE_IPS"),
        (json!({"INTERCEPTION_MODE": "SOME"}), "INTERCEPTION_MODE"),
        (json!({"HTTP_PROXY_PORT": 1.5}), "HTTP_PROXY_PORT"),
        (json!({"HTTP_PROXY_PORT": "0"}), "HTTP_PROXY_PORT"),
        (json!({"PROGRAM_PORTS": {"x": 1}}), "PROGRAM_PORTS"),
        (json!({"GATEWAY_BIND": "everywhere"}), "GATEWAY_BIND"),
    ] {
        let error = Proxy::new(ID, &metadata, &[]).unwrap_err();

        assert!(error.contains(named), "{metadata}: {error}");
    }
}

#[test]
fn the_name_of_a_workload_is_no_part_of_its_scope() {
    let one = Proxy::new(ID, &json!({}), &[]).unwrap();
    let other = Proxy::new(&ID.replace("reviews-v1", "reviews-v1b"), &json!({}), &[]).unwrap();
    let elsewhere =
        Proxy::new(&ID.replace("reviews-v1.default", "reviews-v1.demo"), &json!({}), &[]).unwrap();

    assert_eq!(one.scope(), other.scope());
    assert_ne!(one.scope(), elsewhere.scope());
}
