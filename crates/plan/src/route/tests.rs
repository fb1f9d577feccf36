#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::tests_support::get;

fn forward(json: Value) -> Result<Forward, String> {
    let message: wire::RouteAction = proto::json::from_json(&json).unwrap();
    let around = Around {
        retry: None,
        mirrors: &[],
        request_headers: &[],
        response_headers: &[],
        specific_last: false,
        max_body: 0,
    };
    Forward::compile(&message, &around, &mut 0).map_err(|wrong| wrong.to_string())
}

#[test]
fn a_request_may_take_as_long_as_the_shortest_limit_says() {
    let seconds = |s| Some(Duration::from_secs(s));
    let grpc = [("content-type", "application/grpc"), ("grpc-timeout", "7S")];
    let silent = [("content-type", "application/grpc")];
    let max =
        |own: &str, header: &str| json!({"max_stream_duration": own, "grpc_timeout_header_max": header});
    for (action, headers, expected) in [
        (json!({}), &[][..], seconds(15)),
        (json!({"timeout": "0s"}), &[], None),
        (json!({"timeout": "3s"}), &[], seconds(3)),
        (json!({"timeout": "0s", "max_stream_duration": max("0s", "0s")}), &[], None),
        (json!({"timeout": "0s", "max_stream_duration": max("0s", "0s")}), &grpc, seconds(7)),
        (json!({"timeout": "0s", "max_stream_duration": max("0s", "5s")}), &grpc, seconds(5)),
        (json!({"timeout": "0s", "max_stream_duration": max("9s", "0s")}), &silent, seconds(9)),
        (json!({"timeout": "2s", "max_stream_duration": max("9s", "0s")}), &grpc, seconds(7)),
        (json!({"timeout": "2s", "max_stream_duration": max("9s", "0s")}), &[], seconds(9)),
        (json!({"timeout": "2s", "max_grpc_timeout": "2s"}), &[], seconds(2)),
        (json!({"timeout": "2s", "max_grpc_timeout": "2s"}), &grpc, seconds(2)),
        (json!({"timeout": "0s", "max_grpc_timeout": "0s"}), &grpc, seconds(7)),
        (json!({"timeout": "0s"}), &grpc, None),
    ] {
        let mut action = action;
        action["cluster"] = "c".into();
        assert_eq!(forward(action.clone()).unwrap().limit(&get("/", headers)), expected, "{action}");
    }
}

#[test]
fn what_a_route_says_of_a_streams_time_overrules_the_manager() {
    let grpc = [("grpc-timeout", "7S")];
    for (duration, plain, own) in [
        (None, true, true),
        (Some(json!({})), true, true),
        (Some(json!({"max_stream_duration": "0s"})), false, false),
        (Some(json!({"grpc_timeout_header_max": "0s"})), true, false),
    ] {
        let mut action = json!({"cluster": "c", "timeout": "0s"});
        action["max_stream_duration"] = duration.clone().unwrap_or_default();
        let forward = forward(action).unwrap();

        let leaves = [&[][..], &grpc].map(|headers| forward.leaves_duration_to_manager(&get("/", headers)));

        assert_eq!(leaves, [plain, own], "{duration:?}");
    }
}

#[test]
fn a_grpc_timeout_is_a_short_number_and_a_unit() {
    for (text, expected) in [
        ("1H", Some(Duration::from_secs(3600))),
        ("2M", Some(Duration::from_secs(120))),
        ("250m", Some(Duration::from_millis(250))),
        ("99999999n", Some(Duration::from_nanos(99_999_999))),
        ("999999999S", None),
        ("S", None),
        ("-1S", None),
        ("1s", None),
        ("", None),
    ] {
        assert_eq!(grpc_timeout(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn weights_are_shares_of_their_sum() {
    let all = [("a", 1), ("b", 0), ("c", 3)];
    let drawn: String = (0..8).map(|random| weighted(&all, |item| item.1, random).unwrap().0).collect();

    assert_eq!(drawn, "acccaccc");
    assert_eq!(weighted(&all[..1], |item| item.1, 9), Some(&("a", 1)));
    assert_eq!(weighted(&all[1..2], |item| item.1, 9), Some(&("b", 0)));
}

#[test]
fn actions_that_would_go_elsewhere_are_refused() {
    for (field, value) in [
        ("metadata_match", json!({"filter_metadata": {}})),
        ("internal_redirect_policy", json!({})),
        ("hedge_policy", json!({})),
        ("path_rewrite_policy", json!({"name": "x"})),
    ] {
        let error = forward(json!({"cluster": "c", field: value})).unwrap_err();
        assert_eq!(error, format!("{field}: is not supported"));
    }
    let hash = json!({"cluster": "c", "hash_policy": [{"filter_state": {"key": "k"}}]});
    assert_eq!(forward(hash).unwrap_err(), "hash_policy[0].policy_specifier: is not supported");
}

#[test]
fn a_retry_policy_that_never_retries_is_none() {
    let of = |policy: Value| forward(json!({"cluster": "c", "retry_policy": policy})).unwrap().retry;

    assert!(of(json!({"retry_on": "5xx", "num_retries": 0})).is_none());
    assert!(of(json!({"retry_on": ""})).is_none());
    assert_eq!(of(json!({"retry_on": "5xx"})).unwrap().retries, 1);
}

#[test]
fn a_route_may_upgrade_where_its_manager_would_not() {
    let action =
        json!({"cluster": "c", "upgrade_configs": [{"upgrade_type": "WebSocket", "enabled": false}]});
    let forward = forward(action).unwrap();

    assert!(!forward.may_upgrade("websocket", true));
    assert!(forward.may_upgrade("h2c", true));
}
