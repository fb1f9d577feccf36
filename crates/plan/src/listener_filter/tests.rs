#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn filter(message: &str, mut fields: Value) -> Value {
    let message = format!("type.googleapis.com/envoy.extensions.filters.listener.{message}");
    fields["@type"] = message.into();
    json!({"name": "x", "typed_config": fields})
}

fn proxy_protocol(fields: Value) -> Value {
    filter("proxy_protocol.v3.ProxyProtocol", fields)
}

fn compile(all: &[Value]) -> Result<ListenerFilters, String> {
    let all: Vec<wire::ListenerFilter> =
        all.iter().map(|json| proto::json::from_json(json).unwrap()).collect();
    ListenerFilters::compile(&all, false).map_err(|wrong| wrong.to_string())
}

#[test]
fn an_inspector_is_off_where_its_predicate_says() {
    let range = |start: u16, end: u16| json!({"destination_port_range": {"start": start, "end": end}});
    let mut inspector = filter("http_inspector.v3.HttpInspector", json!({}));
    inspector["filter_disabled"] =
        json!({"or_match": {"rules": [range(80, 81), {"not_match": range(1, 1000)}]}});

    let inspector = compile(&[inspector]).unwrap().http_inspector.unwrap();

    for (port, expected) in [(80, false), (81, true), (999, true), (1000, false)] {
        assert_eq!(inspector.is_on(port), expected, "{port}");
    }
}

#[test]
fn a_proxy_header_is_expected_in_the_versions_allowed() {
    let accepts = |fields| compile(&[proxy_protocol(fields)]).unwrap().proxy_protocol.unwrap();

    let usual = AcceptsProxy { allows_without: false, v1: true, v2: true };
    assert_eq!(accepts(json!({})), usual);
    assert_eq!(accepts(json!({"disallowed_versions": ["V1"]})), AcceptsProxy { v1: false, ..usual });
    let lenient = json!({"allow_requests_without_proxy_protocol": true});
    assert_eq!(accepts(lenient), AcceptsProxy { allows_without: true, ..usual });
}

#[test]
fn what_would_look_at_other_bytes_is_refused() {
    let tls = || filter("tls_inspector.v3.TlsInspector", json!({}));
    for (all, place) in [
        (vec![tls(), proxy_protocol(json!({}))], "listener_filters[1]"),
        (
            vec![proxy_protocol(json!({"disallowed_versions": ["V1", "V2"]}))],
            "listener_filters[0].typed_config.disallowed_versions",
        ),
        (vec![proxy_protocol(json!({"rules": [{}]}))], "listener_filters[0].typed_config.rules"),
        (vec![filter("original_src.v3.OriginalSrc", json!({}))], "listener_filters[0].typed_config"),
    ] {
        let error = compile(&all).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
    assert!(compile(&[proxy_protocol(json!({})), tls()]).is_ok());
}
