#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn compile(thresholds: Value) -> Result<Breakers, String> {
    let json = json!({"name": "c", "circuit_breakers": {"thresholds": thresholds}});
    breakers(&proto::json::from_json(&json).unwrap()).map_err(|wrong| wrong.to_string())
}

#[test]
fn what_is_not_said_is_envoys_default() {
    let expected = Breakers {
        connections: Some(1024),
        pending: Some(1024),
        requests: Some(1024),
        retries: Some(3),
        budget: None,
    };

    assert_eq!(compile(json!([])), Ok(expected));
    assert_eq!(compile(json!([{}])), Ok(expected));
    assert_eq!(compile(json!([{"priority": "HIGH", "max_requests": 9}])), Ok(expected));
}

#[test]
fn the_largest_number_is_no_limit() {
    let most = u32::MAX;
    let all = json!([{"max_connections": most, "max_pending_requests": most, "max_requests": 7, "max_retries": most}]);

    assert_eq!(compile(all), Ok(Breakers { requests: Some(7), ..Breakers::NONE }));
}

#[test]
fn a_budget_has_its_own_defaults() {
    let budget = |fields: Value| compile(json!([{"retry_budget": fields}])).unwrap().budget.unwrap();

    assert_eq!(budget(json!({})), RetryBudget::default());
    let own =
        json!({"budget_percent": {"value": 25.5}, "min_retry_concurrency": 10, "budget_interval": "2s"});
    let interval = Some(Duration::from_secs(2));
    assert_eq!(budget(own), RetryBudget { percent: 25.5, least: 10, interval });
    assert_eq!(budget(json!({"budget_interval": "0s"})), RetryBudget::default());
    let error = compile(json!([{"retry_budget": {"budget_percent": {"value": 101}}}])).unwrap_err();
    assert!(error.starts_with("circuit_breakers.thresholds.retry_budget.budget_percent"), "{error}");
}
