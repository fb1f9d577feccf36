#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn compile(fields: &Value) -> Result<Balancer, String> {
    let mut json = json!({"name": "c"});
    fields.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    Balancer::compile(&proto::json::from_json(&json).unwrap()).map_err(|wrong| wrong.to_string())
}

fn typed(name: &str, mut fields: Value) -> Value {
    fields["@type"] = format!("type.googleapis.com/envoy.extensions.load_balancing_policies.{name}").into();
    let policy = json!({"typed_extension_config": {"name": name, "typed_config": fields}});
    json!({"load_balancing_policy": {"policies": [policy]}})
}

fn ring(least: u64, most: u64, function: HashFunction) -> Option<Policy> {
    Some(Policy::RingHash { least, most, function })
}

#[test]
fn every_policy_is_known_in_its_old_and_its_new_form() {
    let hashing = json!({"minimum_ring_size": 10, "maximum_ring_size": 20});
    for (fields, expected) in [
        (json!({}), Some(Policy::RoundRobin)),
        (json!({"lb_policy": "LEAST_REQUEST"}), Some(Policy::LEAST_REQUEST)),
        (
            json!({"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {
                "choice_count": 5, "active_request_bias": {"default_value": 0.5, "runtime_key": "k"},
            }}),
            Some(Policy::LeastRequest { choices: 5, bias: 0.5 }),
        ),
        (json!({"lb_policy": "RANDOM"}), Some(Policy::Random)),
        (json!({"lb_policy": "RING_HASH"}), ring(1024, 8_388_608, HashFunction::Xx)),
        (json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": hashing}), ring(10, 20, HashFunction::Xx)),
        (
            json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2"}}),
            ring(1024, 8_388_608, HashFunction::Murmur),
        ),
        (json!({"lb_policy": "MAGLEV"}), Some(Policy::Maglev { size: 65_537 })),
        (
            json!({"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 101}}),
            Some(Policy::Maglev { size: 101 }),
        ),
        (json!({"lb_policy": "CLUSTER_PROVIDED"}), None),
        (typed("round_robin.v3.RoundRobin", json!({})), Some(Policy::RoundRobin)),
        (
            typed("least_request.v3.LeastRequest", json!({"choice_count": 3})),
            Some(Policy::LeastRequest { choices: 3, bias: 1.0 }),
        ),
        (
            typed("least_request.v3.LeastRequest", json!({"selection_method": "FULL_SCAN"})),
            Some(Policy::LeastRequest { choices: u32::MAX, bias: 1.0 }),
        ),
        (typed("random.v3.Random", json!({})), Some(Policy::Random)),
        (typed("ring_hash.v3.RingHash", hashing.clone()), ring(10, 20, HashFunction::Xx)),
        (
            typed("ring_hash.v3.RingHash", json!({"hash_function": "MURMUR_HASH_2"})),
            ring(1024, 8_388_608, HashFunction::Murmur),
        ),
        (typed("maglev.v3.Maglev", json!({})), Some(Policy::MAGLEV)),
        (typed("cluster_provided.v3.ClusterProvided", json!({})), None),
    ] {
        assert_eq!(compile(&fields).map(|balancer| balancer.policy), Ok(expected), "{fields}");
    }
}

#[test]
fn of_a_list_the_first_that_is_known_counts() {
    let mut fields = typed("random.v3.Random", json!({}));
    let unknown = json!({"typed_extension_config": {"name": "x", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst",
    }}});
    let list = fields["load_balancing_policy"]["policies"].as_array_mut().unwrap();
    list.insert(0, unknown.clone());

    assert_eq!(compile(&fields).unwrap().policy, Some(Policy::Random));
    let only = json!({"load_balancing_policy": {"policies": [unknown]}});
    assert_eq!(compile(&only).unwrap_err(), "load_balancing_policy.policies: has none that is supported");
}

#[test]
fn localities_panic_and_growth_are_said_in_either_form() {
    let growth = json!({"slow_start_window": "60s", "min_weight_percent": {"value": 20}});
    let slow = SlowStart { window: Duration::from_secs(60), aggression: 1.0, least: 0.2 };
    let old = compile(&json!({
        "round_robin_lb_config": {"slow_start_config": growth},
        "common_lb_config": {"locality_weighted_lb_config": {}, "healthy_panic_threshold": {"value": 33.4}},
    }))
    .unwrap();
    assert_eq!((old.by_locality, old.panic_percent, old.slow_start), (true, 33, Some(slow)));

    let locality = json!({"locality_weighted_lb_config": {}});
    let new = typed(
        "least_request.v3.LeastRequest",
        json!({"slow_start_config": growth, "locality_lb_config": locality}),
    );
    let new = compile(&new).unwrap();
    assert_eq!((new.by_locality, new.panic_percent, new.slow_start), (true, 50, Some(slow)));

    let zones = json!({"common_lb_config": {"zone_aware_lb_config": {"fail_traffic_on_panic": true}}});
    let zones = compile(&zones).unwrap();
    assert!(zones.fails_on_panic && !zones.by_locality);
}

#[test]
fn what_a_session_may_ask_for_can_be_said() {
    let all = json!({"common_lb_config": {"override_host_status": {"statuses": ["HEALTHY", "DRAINING"]}}});

    assert_eq!(compile(&all).unwrap().named, [Health::Healthy, Health::Draining]);
    assert_eq!(compile(&json!({})).unwrap().named, [Health::Healthy, Health::Degraded]);
}

#[test]
fn what_envoy_refuses_is_refused_with_its_path() {
    let both = |mut fields: Value| {
        fields["common_lb_config"] = json!({"locality_weighted_lb_config": {}});
        fields
    };
    for (fields, place) in [
        (json!({"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"}), "lb_policy"),
        (json!({"common_lb_config": {"healthy_panic_threshold": {"value": 101}}}), "common_lb_config"),
        (
            json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 9, "maximum_ring_size": 8}}),
            "ring_hash_lb_config.minimum_ring_size",
        ),
        (
            json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"maximum_ring_size": 8_388_609}}),
            "ring_hash_lb_config.maximum_ring_size",
        ),
        (
            json!({"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 100}}),
            "maglev_lb_config.table_size",
        ),
        (
            json!({"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 1}}),
            "least_request_lb_config.choice_count",
        ),
        (
            typed("maglev.v3.Maglev", json!({"consistent_hashing_lb_config": {"hash_balance_factor": 50}})),
            "load_balancing_policy.policies[0].consistent_hashing_lb_config.hash_balance_factor",
        ),
        (both(typed("random.v3.Random", json!({}))), "common_lb_config"),
    ] {
        let error = compile(&fields).unwrap_err();
        assert!(error.starts_with(place), "{fields}: {error}");
    }
}
