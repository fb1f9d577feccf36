#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn compile(fields: &Value) -> Result<Arc<Outlier>, String> {
    outlier(&proto::json::from_json(fields).unwrap()).map_err(|wrong| wrong.to_string())
}

#[test]
fn what_is_not_said_is_envoys_default() {
    assert_eq!(*compile(&json!({})).unwrap(), Outlier::default());
}

#[test]
fn the_longest_time_out_is_never_less_than_the_first() {
    let long = compile(&json!({"base_ejection_time": "600s"})).unwrap();
    assert_eq!(long.max_time, Duration::from_secs(600));

    let error = compile(&json!({"base_ejection_time": "30s", "max_ejection_time": "20s"})).unwrap_err();
    assert_eq!(error, "max_ejection_time: is less than base_ejection_time");
}

#[test]
fn what_istio_writes_is_read() {
    let rules = compile(&json!({
        "consecutive_5xx": 7, "consecutive_gateway_failure": 3, "interval": "300s", "base_ejection_time": "900s",
        "max_ejection_percent": 100, "enforcing_consecutive_5xx": 100, "enforcing_consecutive_gateway_failure": 100,
        "enforcing_success_rate": 0, "split_external_local_origin_errors": true,
        "consecutive_local_origin_failure": 4, "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
    }))
    .unwrap();

    assert_eq!(
        rules.streaks,
        Streaks { server_errors: 7, gateway_errors: 3, local_failures: 4, splits_local: true }
    );
    assert_eq!((rules.interval, rules.max_percent), (Duration::from_secs(300), 100));
    assert_eq!((rules.enforcing.gateway_errors, rules.enforcing.success_rate), (100, 0));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    for (fields, place) in [
        (json!({"interval": "0s"}), "interval"),
        (json!({"enforcing_success_rate": 101}), "enforcing_success_rate"),
        (json!({"failure_percentage_threshold": 200}), "failure_percentage_threshold"),
        (json!({"detect_degraded_hosts": true}), "detect_degraded_hosts"),
    ] {
        let error = compile(&fields).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}
