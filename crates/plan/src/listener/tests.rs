#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::sieve::Transport;
use crate::tests_support::{any, http_filter, listener, registry, tcp_filter};

fn compile(json: &Value) -> Result<Listener, String> {
    let message: wire::Listener = proto::any::unpack(&any(crate::LISTENER, json.clone())).unwrap();
    Listener::compile(&message, &registry()).map_err(|wrong| wrong.to_string())
}

fn with(field: &str, value: Value) -> Value {
    let mut json = listener("l", 80, tcp_filter("c"));
    json[field] = value;
    json
}

#[test]
fn defaults_are_envoys() {
    let listener = compile(&with("name", json!("l"))).unwrap();

    assert!(listener.bind_to_port && !listener.use_original_dst && !listener.restores_destination);
    assert_eq!(listener.inspect_timeout, Some(Duration::from_secs(15)));
    assert_eq!(listener.direction, Direction::Unspecified);
    assert_eq!(compile(&with("listener_filters_timeout", json!("0s"))).unwrap().inspect_timeout, None);
}

#[test]
fn an_inspector_is_off_where_its_predicate_says() {
    let range = |start: u16, end: u16| json!({"destination_port_range": {"start": start, "end": end}});
    let filter = json!({
        "name": "http_inspector",
        "filter_disabled": {"or_match": {"rules": [range(80, 81), {"not_match": range(1, 1000)}]}},
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"},
    });

    let inspector = compile(&with("listener_filters", json!([filter]))).unwrap().http_inspector.unwrap();

    for (port, expected) in [(80, false), (81, true), (999, true), (1000, false)] {
        assert_eq!(inspector.is_on(port), expected, "{port}");
    }
}

#[test]
fn the_default_chain_takes_what_no_other_does() {
    let mut json = listener("l", 80, http_filter(json!({"rds": {"route_config_name": "80"}})));
    json["filter_chains"][0]["filter_chain_match"] =
        json!({"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]});
    json["default_filter_chain"] = json!({"name": "rest", "filters": [tcp_filter("c")]});
    let listener = compile(&json).unwrap();
    let chain = |protocols: &[&str]| {
        let to = Connection {
            destination: "10.0.0.1:80".parse().unwrap(),
            server_name: None,
            transport: Transport::RawBuffer,
            protocols,
        };
        listener.select(&to).unwrap().name.to_string()
    };

    assert_eq!(chain(&["http/1.1"]), "");
    assert_eq!(chain(&[]), "rest");
}

#[test]
fn filters_that_only_observe_are_named_with_their_reason() {
    let mut json = listener("l", 80, tcp_filter("c"));
    let stats =
        json!({"name": "istio.stats", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}});
    let mongo = json!({
        "name": "mongo",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy",
            "stat_prefix": "m",
        },
    });
    json["filter_chains"][0]["filters"] = json!([stats, mongo, tcp_filter("c")]);

    let listener = compile(&json).unwrap();

    let inert: Vec<_> = listener.chains[0].inert.iter().map(|f| &*f.name).collect();
    assert_eq!(inert, ["istio.stats", "mongo"]);
}

#[test]
fn tls_is_kept_as_data() {
    let mut json = listener("l", 443, tcp_filter("c"));
    json["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [{"name": "default"}],
                "combined_validation_context": {
                    "default_validation_context": {},
                    "validation_context_sds_secret_config": {"name": "ROOTCA"},
                },
            },
        },
    });

    let tls = compile(&json).unwrap().chains[0].tls.clone().unwrap();

    let expected = Tls {
        certificates: vec!["default".into()],
        roots: Some("ROOTCA".into()),
        alpn: vec!["h2".into()],
        server_name: None,
        requires_client_certificate: true,
    };
    assert_eq!(tls, expected);
}

#[test]
fn the_format_of_a_log_is_found_in_each_place_it_can_stand() {
    let log = |fields: Value| {
        let mut file = json!({
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
        });
        fields.as_object().unwrap().iter().for_each(|(key, value)| file[key] = value.clone());
        let listener = compile(&with("access_log", json!([{"name": "file", "typed_config": file}]))).unwrap();
        listener.access_log[0].format.as_deref().map(str::to_owned)
    };

    assert_eq!(log(json!({})), None);
    for fields in [
        json!({"format": "x\n"}),
        json!({"log_format": {"text_format": "x\n"}}),
        json!({"log_format": {"text_format_source": {"inline_string": "x\n"}}}),
    ] {
        assert_eq!(log(fields).as_deref(), Some("x\n"));
    }
}

#[test]
fn what_would_serve_others_than_asked_is_refused_with_its_path() {
    let chain = |field: &str, value: Value| {
        let mut json = listener("l", 80, tcp_filter("c"));
        json["filter_chains"][0][field] = value;
        json
    };
    let rbac = json!({
        "name": "rbac",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "stat_prefix": "x"},
    });
    let http = |fields: Value| listener("l", 80, http_filter(fields));
    let rds = json!({"route_config_name": "r"});
    for (json, place) in [
        (with("name", json!("")), "name"),
        (with("address", json!({"pipe": {"path": "/x"}})), "address.pipe"),
        (with("filter_chains", json!([])), "filter_chains"),
        (with("freebind", json!(true)), "freebind"),
        (with("udp_listener_config", json!({})), "udp_listener_config"),
        (chain("filters", json!([rbac, tcp_filter("c")])), "filter_chains[0].filters[0].typed_config"),
        (chain("filters", json!([rbac])), "filter_chains[0].filters[0].typed_config"),
        (chain("filters", json!([])), "filter_chains[0].filters"),
        (
            chain("filter_chain_match", json!({"source_type": "EXTERNAL"})),
            "filter_chains[0].filter_chain_match.source_type",
        ),
        (http(json!({})), "filter_chains[0].filters[0].typed_config.route_specifier"),
        (
            http(json!({"rds": rds, "local_reply_config": {}})),
            "filter_chains[0].filters[0].typed_config.local_reply_config",
        ),
        (
            http(json!({"rds": rds, "http_filters": []})),
            "filter_chains[0].filters[0].typed_config.http_filters",
        ),
        (
            http(json!({"rds": rds, "codec_type": "HTTP3"})),
            "filter_chains[0].filters[0].typed_config.codec_type",
        ),
        (
            http(json!({"rds": rds, "http_filters": [rbac]})),
            "filter_chains[0].filters[0].typed_config.http_filters[0]",
        ),
    ] {
        let error = compile(&json).unwrap_err();
        assert!(error.starts_with(place), "{place}: {error}");
    }
}

#[test]
fn an_optional_filter_nobody_knows_is_left_out_and_said() {
    let unknown = json!({
        "name": "new",
        "is_optional": true,
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.csrf.v3.CsrfPolicy"},
    });
    let router = json!({
        "name": "router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    });
    let fields = json!({"rds": {"route_config_name": "r"}, "http_filters": [unknown, router]});

    let listener = compile(&listener("l", 80, http_filter(fields))).unwrap();

    assert_eq!(&*listener.managers().next().unwrap().filters.inert[0].name, "new");
}
