#![allow(clippy::unwrap_used)]

use filter::{Facts, Moment};
use serde_json::{Value, json};

use super::*;

fn compile(fields: Value) -> Result<TcpProxy, String> {
    let mut json = json!({"stat_prefix": "x", "cluster": "c"});
    fields.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    if json.get("weighted_clusters").is_some() {
        json.as_object_mut().unwrap().remove("cluster");
    }
    TcpProxy::compile(&proto::json::from_json(&json).unwrap()).map_err(|wrong| wrong.to_string())
}

fn peer() -> Peer {
    Peer { remote: "10.0.0.9:1234".parse().unwrap(), local: "10.0.0.1:443".parse().unwrap() }
}

#[test]
fn connections_are_shared_out_by_weight() {
    let proxy = compile(json!({"weighted_clusters": {"clusters": [
        {"name": "a", "weight": 1}, {"name": "b", "weight": 3},
    ]}}))
    .unwrap();

    let names: Vec<_> = (0..4).map(|random| proxy.choose(None, random).unwrap()).collect();

    assert_eq!(names, ["a", "b", "b", "b"]);
}

#[test]
fn a_server_name_names_the_cluster_where_it_is_asked_to() {
    let mut proxy = compile(json!({})).unwrap();
    assert_eq!(proxy.choose(Some("outbound_.80_._.a"), 0), Some("c"));

    proxy.follows_sni = true;

    assert_eq!(proxy.choose(Some("outbound_.80_._.a"), 0), Some("outbound_.80_._.a"));
    assert_eq!(proxy.choose(Some(""), 0), Some("c"));
    assert_eq!(proxy.choose(None, 0), Some("c"));
}

#[test]
fn the_clients_address_is_hashed_without_its_port() {
    let proxy = compile(json!({"hash_policy": [{"source_ip": {}}]})).unwrap();

    assert_eq!(proxy.hashed(&peer()), Some(balance::hash(b"10.0.0.9")));
    assert_eq!(compile(json!({})).unwrap().hashed(&peer()), None);
}

#[test]
fn times_are_envoys_where_nothing_is_said() {
    let usual = compile(json!({})).unwrap();
    assert_eq!((usual.idle_timeout, usual.max_duration), (Some(Duration::from_secs(3600)), None));

    let own = compile(json!({"idle_timeout": "0s", "max_downstream_connection_duration": "5s"})).unwrap();
    assert_eq!((own.idle_timeout, own.max_duration), (None, Some(Duration::from_secs(5))));
}

#[test]
fn a_tunnel_is_a_connect_or_a_post_to_a_host() {
    let tunnel = |fields: Value| *compile(json!({"tunneling_config": fields})).unwrap().tunnel.unwrap();
    let connect = tunnel(json!({"hostname": "far.example:443"}));
    assert_eq!((connect.host(None, &peer()).as_str(), connect.post_path), ("far.example:443", None));

    let post =
        tunnel(json!({"hostname": "%REQUESTED_SERVER_NAME%:%DOWNSTREAM_LOCAL_PORT%", "use_post": true}));
    assert_eq!(post.host(Some("a.example"), &peer()), "a.example:443");
    assert_eq!(post.post_path.as_deref(), Some("/"));

    let added = json!([{"header": {"key": "x-from", "value": "%DOWNSTREAM_REMOTE_ADDRESS%"}}]);
    let told = tunnel(json!({"hostname": "h", "headers_to_add": added}));
    let facts = Facts::new(Moment::default(), peer(), 0);
    let request = http::Request::new(()).into_parts().0;
    let mut x = Exchange { request, response: None, facts };
    assert_eq!(told.headers(&mut x, HeaderScope::default())["x-from"], "10.0.0.9:1234");
}

#[test]
fn what_would_go_elsewhere_is_refused_with_its_path() {
    for (fields, place) in [
        (json!({"metadata_match": {}}), "metadata_match"),
        (json!({"weighted_clusters": {"clusters": [{"name": "a"}]}}), "weighted_clusters.clusters[0].weight"),
        (json!({"weighted_clusters": {}}), "weighted_clusters.clusters"),
        (json!({"hash_policy": [{"filter_state": {"key": "k"}}]}), "hash_policy[0].policy_specifier"),
        (json!({"tunneling_config": {"hostname": ""}}), "tunneling_config.hostname"),
        (json!({"tunneling_config": {"hostname": "%X%"}}), "tunneling_config.hostname"),
        (json!({"tunneling_config": {"hostname": "a%"}}), "tunneling_config.hostname"),
        (json!({"tunneling_config": {"hostname": "a", "post_path": "/p"}}), "tunneling_config.post_path"),
        (json!({"upstream_connect_mode": "ON_DOWNSTREAM_DATA"}), "upstream_connect_mode"),
    ] {
        let error = compile(fields).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}
