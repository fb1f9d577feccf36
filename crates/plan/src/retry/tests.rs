#![allow(clippy::unwrap_used)]

use proto::envoy::config::route::v3::retry_policy::{RetryBackOff, RetryHostPredicate};
use proto::google::protobuf::{Duration as Wire, UInt32Value};

use super::*;

fn retry(on: &str) -> Retry {
    Retry::compile(&RetryPolicy { retry_on: on.into(), ..RetryPolicy::default() }).unwrap()
}

#[test]
fn answers_are_judged_by_the_reasons_given() {
    for (on, statuses, not) in [
        ("5xx", &[500, 503, 599][..], &[499, 200][..]),
        ("gateway-error", &[502, 503, 504], &[500, 501]),
        ("retriable-4xx", &[409], &[404, 500]),
        ("connect-failure,refused-stream", &[], &[500, 503]),
        ("nonsense, 5xx ", &[500], &[400]),
    ] {
        let retry = retry(on);
        let wants =
            |status: &u16| retry.wants_answer(StatusCode::from_u16(*status).unwrap(), &HeaderMap::new());

        assert!(statuses.iter().all(wants), "{on}");
        assert!(!not.iter().any(wants), "{on}");
    }
}

#[test]
fn statuses_and_headers_of_the_policys_own_are_kept_to() {
    let policy = RetryPolicy {
        retry_on: "retriable-status-codes,unavailable".into(),
        retriable_status_codes: vec![418],
        ..RetryPolicy::default()
    };
    let retry = Retry::compile(&policy).unwrap();
    let unavailable: HeaderMap =
        [("grpc-status".parse().unwrap(), "14".parse().unwrap())].into_iter().collect();

    assert!(retry.wants_answer(StatusCode::IM_A_TEAPOT, &HeaderMap::new()));
    assert!(retry.wants_answer(StatusCode::OK, &unavailable));
    assert!(!retry.wants_answer(StatusCode::OK, &HeaderMap::new()));
}

#[test]
fn failures_are_judged_by_how_far_the_request_came() {
    let istio = retry("connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes");
    assert!(istio.wants_failure(Failure::Connect));
    assert!(istio.wants_failure(Failure::Refused));
    assert!(!istio.wants_failure(Failure::Reset { sent: true }));
    assert!(!istio.wants_failure(Failure::Timeout));

    let early = retry("reset-before-request");
    assert!(early.wants_failure(Failure::Reset { sent: false }));
    assert!(!early.wants_failure(Failure::Reset { sent: true }));

    for on in ["5xx", "gateway-error", "reset"] {
        assert!(retry(on).wants_failure(Failure::Reset { sent: true }), "{on}");
        assert!(retry(on).wants_failure(Failure::Timeout), "{on}");
    }
}

#[test]
fn pauses_double_up_to_the_longest() {
    let retry = retry("5xx");
    let longest = |n| retry.pause(n, u64::MAX - 1).max(retry.pause(n, 999_999)).as_millis();

    assert!((1..=100).all(|n| retry.pause(n, 12_345_678_901) < Duration::from_millis(250)));
    assert!(longest(1) < 25);
    assert_eq!(retry.pause(1, 24_999), Duration::from_micros(24_999));
    assert_eq!(retry.pause(4, 199_999), Duration::from_micros(199_999));
    assert_eq!(retry.pause(5, 250_001), Duration::from_micros(1));
}

#[test]
fn previous_hosts_are_avoided_by_name_and_by_message() {
    let message = proto::Any {
        type_url: "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            .into(),
        value: Vec::new(),
    };
    for config_type in [None, Some(retry_host_predicate::ConfigType::TypedConfig(message))] {
        let name = "envoy.retry_host_predicates.previous_hosts".into();
        let policy = RetryPolicy {
            retry_host_predicate: vec![RetryHostPredicate { name, config_type }],
            host_selection_retry_max_attempts: 5,
            num_retries: Some(UInt32Value { value: 2 }),
            ..RetryPolicy::default()
        };
        let retry = Retry::compile(&policy).unwrap();

        assert!(retry.avoids_previous_hosts);
        assert_eq!((retry.host_attempts, retry.retries), (5, 2));
    }
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    let pause = |base: i64, max: i64| RetryPolicy {
        retry_back_off: Some(RetryBackOff {
            base_interval: Some(Wire { seconds: base, nanos: 0 }),
            max_interval: Some(Wire { seconds: max, nanos: 0 }),
        }),
        ..RetryPolicy::default()
    };
    let omit = RetryHostPredicate {
        name: "envoy.retry_host_predicates.omit_canary_hosts".into(),
        config_type: None,
    };
    for policy in [
        pause(0, 1),
        pause(2, 1),
        pause(-1, 1),
        RetryPolicy { retriable_status_codes: vec![99_999], ..RetryPolicy::default() },
        RetryPolicy { retry_host_predicate: vec![omit], ..RetryPolicy::default() },
    ] {
        assert!(Retry::compile(&policy).is_err(), "{policy:?}");
    }
}

#[test]
fn the_priorities_of_tried_endpoints_can_be_left_out() {
    let policy = |frequency: i32| -> RetryPolicy {
        let config = serde_json::json!({
            "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            "update_frequency": frequency,
        });
        proto::json::from_json(&serde_json::json!({"retry_priority": {"name": "x", "typed_config": config}}))
            .unwrap()
    };

    assert_eq!(Retry::compile(&policy(2)).unwrap().priority_frequency, Some(2));
    let error = Retry::compile(&policy(0)).unwrap_err().to_string();
    assert!(error.starts_with("retry_priority.typed_config.update_frequency"), "{error}");
}
