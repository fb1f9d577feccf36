// Recordings are read from files, which the crate itself never does.
#![allow(clippy::disallowed_methods, clippy::print_stderr, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::envoy::config::cluster::v3::Cluster;
use crate::envoy::config::core::v3::{Address, Metadata, Node};
use crate::envoy::config::listener::v3::Listener;
use crate::envoy::config::route::v3::Route;
use crate::{Any, any, istio};

fn listener() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "0.0.0.0_9080",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 9080}},
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "p",
                    "cluster": "c",
                    "idle_timeout": "1.500s"
                }
            }]
        }],
        "per_connection_buffer_limit_bytes": 32768,
        "traffic_direction": "OUTBOUND"
    })
}

#[test]
fn an_any_inside_an_any_is_opened_both_ways() {
    let packed: Any = from_json(&listener()).unwrap();

    let message: Listener = any::unpack(&packed).unwrap();
    assert_eq!(message.name, "0.0.0.0_9080");
    assert_eq!(message.traffic_direction, 2);
    assert_eq!(to_json(&packed), listener());
}

#[test]
fn fields_may_be_spelled_as_json_has_it_and_what_users_named_stays() {
    let metadata = json!({"filter_metadata": {"io.istio": {"own_key": 1}}});
    let metadata: Metadata = from_json(&metadata).unwrap();
    let packed: Any = from_json(&listener()).unwrap();

    let listener = to_json_as(&packed, Spelling::Json);

    assert_eq!(
        to_json_as(&metadata, Spelling::Json),
        json!({"filterMetadata": {"io.istio": {"own_key": 1}}})
    );
    assert_eq!(listener["filterChains"][0]["filters"][0]["typedConfig"]["statPrefix"], "p");
    assert_eq!(listener["address"]["socketAddress"]["portValue"], 9080);
}

#[test]
fn a_message_of_its_own_needs_no_type() {
    let node: Node =
        from_json(&json!({"id": "sidecar~1", "metadata": {"LABELS": {"app": "a"}, "N": null}})).unwrap();

    assert_eq!(node.metadata.as_ref().unwrap().fields.len(), 2);
    assert_eq!(to_json(&node), json!({"id": "sidecar~1", "metadata": {"LABELS": {"app": "a"}, "N": null}}));
}

#[test]
fn camel_case_names_and_numbers_as_text_are_read_as_well() {
    let cluster: Cluster = from_json(&json!({
        "name": "c", "connectTimeout": "5s", "type": 3, "perConnectionBufferLimitBytes": "1024",
        "lb_policy": "LEAST_REQUEST"
    }))
    .unwrap();

    let expected = json!({
        "name": "c", "type": "EDS", "connect_timeout": "5s", "per_connection_buffer_limit_bytes": 1024,
        "lb_policy": "LEAST_REQUEST"
    });
    assert_eq!(to_json(&cluster), expected);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let cases = [
        (json!({"nam": "x"}), "nam", "no such field"),
        (
            json!({"address": {"socket_address": {"port_value": "http"}}}),
            "address.socket_address.port_value",
            "http",
        ),
        (
            json!({"address": {"socket_address": {"port_value": -1}}}),
            "address.socket_address.port_value",
            "range",
        ),
        (json!({"address": {"socket_address": {}, "pipe": {}}}), "address.pipe", "another choice"),
        (json!({"filter_chains": {}}), "filter_chains", "expected a list"),
        (json!({"traffic_direction": "SIDEWAYS"}), "traffic_direction", "INBOUND"),
        (json!({"listener_filters_timeout": "soon"}), "listener_filters_timeout", ""),
        (
            json!({"filter_chains": [{"filters": [{"typed_config": {"name": "x"}}]}]}),
            "filter_chains[0].filters[0].typed_config",
            "@type",
        ),
        (
            json!({"filter_chains": [{"filters": [{"typed_config": {"@type": "x.y/Nobody"}}]}]}),
            "filter_chains[0].filters[0].typed_config",
            "x.y/Nobody",
        ),
        (
            json!({"filter_chains": [{"filters": [{"typed_config": {"@type": tcp, "cluster": 1}}]}]}),
            "filter_chains[0].filters[0].typed_config.cluster",
            "expected text",
        ),
        (json!([]), "$", "expected an object"),
    ];
    for (json, path, message) in cases {
        let error = from_json::<Listener>(&json).unwrap_err();
        assert_eq!(error.path, path, "{json}");
        assert!(error.message.contains(message), "{json}: {error}");
    }
}

#[test]
fn an_unknown_or_broken_any_is_written_as_its_bytes() {
    let unknown = Any { type_url: "x.y/Nobody".to_owned(), value: vec![0xff, 0x00] };
    let broken =
        Any { type_url: "x.y/envoy.config.listener.v3.Listener".to_owned(), value: vec![0x0a, 0x09] };

    assert_eq!(to_json(&unknown), json!({"@type": "x.y/Nobody", "value": "/wA="}));
    assert_eq!(to_json(&broken)["value"], "Cgk=");
}

#[test]
fn a_well_known_message_in_an_any_stands_under_value() {
    let json = json!({"@type": "type.googleapis.com/google.protobuf.Duration", "value": "2s"});

    let packed: Any = from_json(&json).unwrap();

    assert_eq!(to_json(&packed), json);
}

#[test]
fn nesting_without_end_is_refused() {
    let mut json = json!({});
    for _ in 0..400 {
        json = json!({"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "typed_config": json});
    }
    let mut packed = Any::default();
    for _ in 0..400 {
        packed = any::pack(&crate::envoy::config::core::v3::TypedExtensionConfig {
            name: String::new(),
            typed_config: Some(packed),
        });
    }

    assert!(from_json::<Any>(&json).unwrap_err().message.contains("deep"));
    assert!(to_json(&packed).is_object());
}

#[test]
fn equal_json_becomes_equal_bytes_whatever_the_order_of_its_maps() {
    let fields: BTreeMap<String, Value> =
        (0..40).map(|i| (format!("k{i}"), json!({"a": i, "b": "x"}))).collect();
    let json = json!({"filter_metadata": {"istio": fields, "weft.origin": fields}});
    let read = || any::encode(&from_json::<Metadata>(&json).unwrap());

    let first = read();

    assert!((0..8).all(|_| read() == first));
}

/// Both describe the same wire: what the structs write, the descriptors read by name, and nothing is left over.
#[test]
fn the_hand_written_messages_agree_with_their_descriptors() {
    let alpn = istio::AlpnConfig {
        alpn_override: vec![istio::AlpnOverride {
            upstream_protocol: 2,
            alpn_override: vec!["istio-h2".into()],
        }],
    };
    let stats = json!({
        "debug": true, "max_peer_cache_size": 7, "stat_prefix": "p", "field_separator": ";", "value_separator": "=",
        "disable_host_header_fallback": true, "tcp_reporting_duration": "15s",
        "metrics": [{"dimensions": {"a": "b"}, "name": "n", "tags_to_remove": ["t"], "match": "m", "drop": true}],
        "definitions": [{"name": "n", "value": "v", "type": "HISTOGRAM"}],
        "reporter": "SERVER_GATEWAY", "rotation_interval": "1s", "graceful_deletion_interval": "2s"
    });
    let table = json!({"table": {"a.b": {
        "ips": ["1.2.3.4"], "registry": "Kubernetes", "shortname": "a", "namespace": "b", "alt_hosts": ["x"]
    }}});
    let exchange =
        json!({"protocol": "istio-peer-exchange", "enable_discovery": true, "additional_labels": ["l"]});
    let typed = json!({"type_url": "x/y", "value": {"a": [1, {"b": null}]}});

    assert_eq!(
        to_json(&alpn),
        json!({"alpn_override": [{"upstream_protocol": "HTTP2", "alpn_override": ["istio-h2"]}]})
    );
    assert_eq!(to_json(&from_json::<istio::StatsConfig>(&stats).unwrap()), stats);
    assert_eq!(to_json(&from_json::<istio::NameTable>(&table).unwrap()), table);
    assert_eq!(to_json(&from_json::<istio::MetadataExchange>(&exchange).unwrap()), exchange);
    assert_eq!(to_json(&from_json::<istio::UdpaTypedStruct>(&typed).unwrap()), typed);
    assert_eq!(to_json(&from_json::<istio::TypedStruct>(&typed).unwrap()), typed);
    assert!(knows("type.googleapis.com/istio.v1.HealthInformation"));
}

#[test]
fn the_descriptors_are_those_of_the_package_this_build_links() {
    let lock =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock")).unwrap();
    let package = concat!("name = \"envoy-types\"\nversion = \"", env!("ENVOY_TYPES_VERSION"), "\"");

    assert!(lock.contains(package), "built from {package}: `cargo clean -p proto` makes it anew");
}

/// The peers' recordings, when they are there.
fn recordings() -> Vec<PathBuf> {
    let Some(suites) = testkit::suites() else { return Vec::new() };
    let worlds = std::fs::read_dir(suites.join("istiod")).unwrap();
    let folders = worlds.flatten().filter_map(|world| std::fs::read_dir(world.path()).ok());
    let files =
        folders.flat_map(|proxies| proxies.flatten()).filter_map(|p| std::fs::read_dir(p.path()).ok());
    files.flat_map(|files| files.flatten().map(|file| file.path())).collect()
}

/// JSON → binary → JSON → binary: both the JSON and the bytes come out equal.
fn there_and_back<M: Message + Name + Default + PartialEq>(json: &Value) -> Result<Vec<u8>, JsonError> {
    let first: M = from_json(json)?;
    let told = to_json(&first);
    let second: M = from_json(&told)?;
    assert!(first == second, "{told}");
    assert_eq!(any::encode(&first), any::encode(&second), "{told}");
    assert_eq!(told, to_json(&second));
    assert_eq!(&told, json);
    Ok(any::encode(&second))
}

#[test]
fn everything_recorded_from_istiod_survives_there_and_back() {
    let mut read = 0;
    for path in recordings() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let convert = match name {
            "Cluster.json" | "ClusterLoadAssignment.json" | "Listener.json" | "RouteConfiguration.json" => {
                there_and_back::<Any>
            }
            "node.json" => there_and_back::<Node>,
            _ => continue,
        };
        let json: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for resource in json.as_array().unwrap_or(&vec![json.clone()]) {
            let bytes = convert(resource).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(!bytes.is_empty());
            read += 1;
        }
    }
    eprintln!("{read} recorded resources read");
}

#[test]
fn every_kind_of_scalar_keeps_its_meaning() {
    let route: Route = from_json(&json!({
        "match": {"prefix": "", "runtime_fraction": {"default_value": {"numerator": 5, "denominator": "MILLION"}}},
        "direct_response": {"status": 404.0, "body": {"inline_bytes": "AQID/w=="}}
    }))
    .unwrap();
    let address: Address = from_json(&json!({"pipe": {"path": "@x", "mode": 420}})).unwrap();

    let told = to_json(&route);
    assert_eq!(told["match"]["prefix"], "");
    assert_eq!(told["direct_response"]["status"], 404);
    assert_eq!(told["direct_response"]["body"]["inline_bytes"], "AQID/w==");
    assert_eq!(to_json(&address)["pipe"]["mode"], 420);
}
