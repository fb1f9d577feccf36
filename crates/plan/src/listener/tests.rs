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
        (with("address", json!({"pipe": {"path": "/x"}})), "address.pipe"),
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
