#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::manager::Underscores;
use crate::path::EscapedSlashes;
use crate::sieve::{Transport, matched};
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
fn a_listener_may_have_unix_sockets() {
    let pipe = |path: &str, mode: u32| json!({"pipe": {"path": path, "mode": mode}});
    let mut json = with("address", pipe("/run/proxy.sock", 0o660));
    json["additional_addresses"] = json!([
        {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 80}}},
        {"address": pipe("/run/other.sock", 0o660)},
    ]);

    let listener = compile(&json).unwrap();

    let addresses: Vec<String> = listener.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["/run/proxy.sock", "127.0.0.1:80", "/run/other.sock"]);
    assert_eq!(listener.mode, Some(0o660));
    assert_eq!(compile(&with("address", pipe("@proxy", 0))).unwrap().mode, None);
    json["additional_addresses"][1]["address"] = pipe("/run/other.sock", 0);
    let why = compile(&json).unwrap_err();
    assert!(why.starts_with("additional_addresses[1].address.pipe.mode"), "{why}");
}

#[test]
fn what_unix_sockets_have_nothing_of_is_refused_beside_them() {
    let original = json!([{"name": "o", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}}]);
    for (field, value) in [
        ("bind_to_port", json!(false)),
        ("use_original_dst", json!(true)),
        ("listener_filters", original),
        ("transparent", json!(true)),
        ("tcp_keepalive", json!({"keepalive_probes": 3})),
    ] {
        let mut json = with("address", json!({"pipe": {"path": "/run/proxy.sock"}}));
        json[field] = value;
        let why = compile(&json).unwrap_err();
        assert!(why.starts_with(field), "{field}: {why}");
    }
}

#[test]
fn the_ends_of_a_unix_socket_match_what_is_local_and_no_network() {
    let mut json = with("address", json!({"pipe": {"path": "/run/proxy.sock"}}));
    let mut ours = json["filter_chains"][0].clone();
    let mut far = ours.clone();
    (ours["name"], far["name"]) = (json!("local"), json!("far"));
    ours["filter_chain_match"] = json!({"source_type": "SAME_IP_OR_LOOPBACK"});
    far["filter_chain_match"] = json!({"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]});
    json["filter_chains"] = json!([far, ours]);
    let end = matched(&"/run/proxy.sock".parse().unwrap());

    let listener = compile(&json).unwrap();

    let to = Connection {
        destination: end,
        source: end,
        direct_source: end,
        server_name: None,
        transport: Transport::RawBuffer,
        protocols: &[],
    };
    assert_eq!(&*listener.select(&to).unwrap().name, "local");
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
            source: "10.0.0.9:1".parse().unwrap(),
            direct_source: "10.0.0.9:1".parse().unwrap(),
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
fn a_server_name_can_name_the_cluster() {
    let mut json = listener("l", 80, tcp_filter("BlackHoleCluster"));
    let sni = json!({
        "name": "envoy.filters.network.sni_cluster",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster"},
    });
    json["filter_chains"][0]["filters"] = json!([sni, tcp_filter("BlackHoleCluster")]);

    let listener = compile(&json).unwrap();

    let Terminal::Tcp(proxy) = &listener.chains[0].terminal else { panic!() };
    assert!(proxy.follows_sni && listener.chains[0].inert.is_empty());
}

#[test]
fn a_server_name_can_name_the_host_of_a_dynamic_cluster() {
    let before = |config: Value, last: Value| {
        let mut filter = json!({"name": "by-name", "typed_config": {"@type":
            "type.googleapis.com/envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"}});
        config.as_object().unwrap().iter().for_each(|(k, v)| filter["typed_config"][k] = v.clone());
        let mut json = listener("l", 443, tcp_filter("c"));
        json["filter_chains"][0]["filters"] = json!([filter, last]);
        json["listener_filters"] = json!([{"name": "tls", "typed_config": {"@type":
            "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}]);
        compile(&json)
    };
    let cache = json!({"name": "cache", "dns_lookup_family": "V4_ONLY"});
    let whole = json!({"dns_cache_config": cache, "port_value": 8443});

    let listener = before(whole.clone(), tcp_filter("c")).unwrap();

    assert!(listener.looks_for_tls(443), "without the greeting there is no name");
    let Terminal::Tcp(proxy) = &listener.chains[0].terminal else { panic!() };
    assert_eq!(proxy.named(Some("a.test")).as_deref(), Some("a.test:8443"));
    assert_eq!((proxy.named(Some("")), proxy.named(None)), (None, None));
    assert!(listener.chains[0].inert.is_empty());
    let refused = |config, path: &str| {
        let why = before(config, tcp_filter("c")).unwrap_err();
        assert!(why.contains(&format!("filters[0].typed_config.{path}")), "{why}");
    };
    refused(json!({"port_value": 1}), "dns_cache_config: is missing");
    refused(json!({"dns_cache_config": {"name": ""}, "port_value": 1}), "dns_cache_config.name");
    refused(json!({"dns_cache_config": cache}), "port_value: is missing");
    refused(json!({"dns_cache_config": cache, "port_value": 0}), "port_value");
    refused(json!({"dns_cache_config": cache, "port_value": 70_000}), "port_value");
    refused(
        json!({"dns_cache_config": cache, "port_value": 1, "save_upstream_address": true}),
        "save_upstream_address",
    );
    let http = http_filter(json!({"rds": {"route_config_name": "80"}}));
    assert!(before(whole, http).unwrap_err().contains("is for a TCP proxy only"));
}

#[test]
fn a_chain_names_the_secrets_it_needs() {
    let mut json = listener("l", 443, tcp_filter("c"));
    json["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "default"}]},
        },
    });
    json["filter_chains"][0]["transport_socket_connect_timeout"] = "15s".into();

    let listener = compile(&json).unwrap();

    assert_eq!(listener.secrets().map(|name| &**name).collect::<Vec<_>>(), ["default"]);
    assert_eq!(listener.chains[0].tls_timeout, Some(Duration::from_secs(15)));
}

#[test]
fn what_is_not_done_is_said() {
    let mut json = with("connection_balance_config", json!({"exact_balance": {}}));
    json["tcp_backlog_size"] = 77.into();

    let listener = compile(&json).unwrap();

    assert_eq!(listener.backlog, Some(77));
    assert_eq!(listener.degraded.iter().map(|d| d.path).collect::<Vec<_>>(), ["connection_balance_config"]);
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
        (with("address", json!({"pipe": {"path": "x"}})), "address.pipe.path"),
        (with("address", json!({"pipe": {"path": "@x", "mode": 1}})), "address.pipe.mode"),
        (with("address", json!({"pipe": {"path": "/x", "mode": 0o1000}})), "address.pipe.mode"),
        (with("filter_chains", json!([])), "filter_chains"),
        (with("freebind", json!(true)), "freebind"),
        (with("udp_listener_config", json!({})), "udp_listener_config"),
        (chain("filters", json!([rbac, tcp_filter("c")])), "filter_chains[0].filters[0].typed_config"),
        (chain("filters", json!([rbac])), "filter_chains[0].filters[0].typed_config"),
        (chain("filters", json!([])), "filter_chains[0].filters"),
        (
            chain("filter_chain_match", json!({"source_ports": [70_000]})),
            "filter_chains[0].filter_chain_match.source_ports[0]",
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

#[test]
fn the_limits_of_clients_connections_are_read() {
    let manager = |fields: Value| {
        let mut fields = fields;
        fields["rds"] = json!({"route_config_name": "r"});
        let listener = compile(&listener("l", 80, http_filter(fields)))?;
        Ok::<_, String>(Arc::clone(listener.managers().next().unwrap()))
    };
    let edge = manager(json!({
        "common_http_protocol_options": {
            "idle_timeout": "3600s", "max_connection_duration": "7200s", "max_stream_duration": "60s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100, "initial_stream_window_size": 65536,
            "initial_connection_window_size": 1048576,
        },
        "request_timeout": "300s", "request_headers_timeout": "60s", "stream_idle_timeout": "300s",
        "delayed_close_timeout": "0s",
        "merge_slashes": true, "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
    }))
    .unwrap();
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!((edge.idle_timeout, edge.max_connection_duration), (seconds(3600), seconds(7200)));
    assert_eq!((edge.request_timeout, edge.head_timeout), (seconds(300), seconds(60)));
    assert_eq!((edge.stream_idle_timeout, edge.max_stream_duration), (seconds(300), seconds(60)));
    assert_eq!((edge.delayed_close, edge.underscores), (None, Underscores::Reject));
    let windows = (edge.max_streams, edge.stream_window, edge.connection_window);
    assert_eq!(windows, (Some(100), Some(1 << 16), Some(1 << 20)));
    assert!(edge.path.merges_slashes && edge.path.escaped_slashes == EscapedSlashes::UnescapeAndRedirect);

    let usual = manager(json!({})).unwrap();
    assert_eq!((usual.delayed_close, usual.underscores), (seconds(1), Underscores::Allow));
    assert_eq!((usual.stream_window, usual.max_stream_duration), (None, None));
    let small = manager(json!({"http2_protocol_options": {"initial_stream_window_size": 1000}}));
    assert!(small.unwrap_err().contains("http2_protocol_options"));
}
