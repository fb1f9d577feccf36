//! Retries: Istio's defaults, and what a route says instead.

use std::num::NonZeroU16;

use proto::envoy::config::route::v3::RetryPolicy;
use proto::envoy::config::route::v3::retry_policy::retry_host_predicate::ConfigType;
use proto::envoy::config::route::v3::retry_policy::retry_priority::ConfigType as PriorityConfig;
use proto::envoy::config::route::v3::retry_policy::{RetryBackOff, RetryHostPredicate, RetryPriority};
use proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

use api::virtual_service::Retries;

use crate::wire;

/// What Istio tries again where nobody says otherwise: requests that cannot have had an effect.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

const BY_STATUS: &str = "retriable-status-codes";

/// Two more attempts; `comes_back` is whether they may go to hosts that were tried already.
fn standard(comes_back: bool) -> RetryPolicy {
    RetryPolicy {
        retry_on: RETRY_ON.into(),
        num_retries: wire::u32(2),
        retry_host_predicate: if comes_back { Vec::new() } else { vec![previous_hosts()] },
        host_selection_retry_max_attempts: 5,
        ..Default::default()
    }
}

/// A workload that closes an idle connection must not fail the request that was just sent on it.
pub(crate) fn before_the_workload() -> RetryPolicy {
    RetryPolicy { retry_on: "reset-before-request".into(), num_retries: wire::u32(2), ..Default::default() }
}

/// A route's retries, or those of the mesh; None where no other attempt is wanted. `is_hashed` is whether something
/// of the request decides its host.
pub(crate) fn policy(retries: Option<&Retries>, is_hashed: bool) -> Option<RetryPolicy> {
    let Some(retries) = retries else { return Some(standard(is_hashed)) };
    if retries.attempts == 0 {
        return None;
    }
    let mut out = standard(!retries.ignores_previous_hosts.unwrap_or(!is_hashed));
    out.num_retries = wire::u32(retries.attempts);
    out.per_try_timeout = retries.per_try_timeout.and_then(wire::duration);
    out.retry_back_off = retries
        .backoff
        .map(|base| RetryBackOff { base_interval: wire::duration(base), ..Default::default() });
    out.retry_priority = retries.tries_remote_localities.then(previous_priorities);
    if let Some(written) = &retries.retry_on {
        let (words, codes) = conditions(written);
        out.retry_on = words.join(",");
        out.retriable_status_codes = codes;
    }
    Some(out)
}

/// Splits words from status codes, which need a word of their own.
fn conditions(written: &str) -> (Vec<&str>, Vec<u32>) {
    let mut words = Vec::new();
    let mut codes = Vec::new();
    for part in written.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.parse::<NonZeroU16>() {
            Ok(code) => codes.push(u32::from(code.get())),
            Err(_) => words.push(part),
        }
    }
    if !codes.is_empty() && !words.contains(&BY_STATUS) {
        words.push(BY_STATUS);
    }
    (words, codes)
}

fn previous_hosts() -> RetryHostPredicate {
    RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".into(),
        config_type: Some(ConfigType::TypedConfig(proto::any::pack(&PreviousHostsPredicate {}))),
    }
}

/// After every second attempt the priorities tried so far are left out.
fn previous_priorities() -> RetryPriority {
    let config = PreviousPrioritiesConfig { update_frequency: 2 };
    RetryPriority {
        name: "envoy.retry_priorities.previous_priorities".into(),
        config_type: Some(PriorityConfig::TypedConfig(proto::any::pack(&config))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(retries: Retries) -> RetryPolicy {
        policy(Some(&retries), false).expect("attempts are wanted")
    }

    fn retries(attempts: u32) -> Retries {
        Retries {
            attempts,
            per_try_timeout: None,
            retry_on: None,
            backoff: None,
            ignores_previous_hosts: None,
            tries_remote_localities: false,
        }
    }

    #[test]
    fn no_attempts_are_no_policy() {
        assert_eq!(policy(Some(&retries(0)), false), None);
    }

    #[test]
    fn what_is_not_written_is_istios_own() {
        let policy = written(Retries { backoff: Some(Duration::from_millis(5)), ..retries(7) });

        assert_eq!(policy.retry_on, RETRY_ON);
        assert_eq!(policy.num_retries, wire::u32(7));
        assert_eq!(policy.retry_host_predicate.len(), 1);
        assert_eq!(policy.host_selection_retry_max_attempts, 5);
    }

    #[test]
    fn a_hashed_request_may_come_to_the_same_host_again_unless_the_route_says_otherwise() {
        let passes_over = |written: Option<bool>, is_hashed| {
            let retries = Retries { ignores_previous_hosts: written, ..retries(1) };
            !policy(Some(&retries), is_hashed).expect("attempts are wanted").retry_host_predicate.is_empty()
        };

        assert!(policy(None, true).expect("attempts are wanted").retry_host_predicate.is_empty());
        assert_eq!((passes_over(None, false), passes_over(None, true)), (true, false));
        assert_eq!((passes_over(Some(true), false), passes_over(Some(true), true)), (true, true));
        assert_eq!((passes_over(Some(false), false), passes_over(Some(false), true)), (false, false));
    }

    #[test]
    fn other_localities_are_tried_by_priority() {
        let policy = written(Retries { tries_remote_localities: true, ..retries(1) });

        assert!(policy.retry_priority.is_some_and(|priority| priority.name.ends_with("previous_priorities")));
    }

    #[test]
    fn status_codes_among_the_words_bring_their_own_word() {
        assert_eq!(conditions("5xx, 503,reset"), (vec!["5xx", "reset", "retriable-status-codes"], vec![503]));
        assert_eq!(conditions("retriable-status-codes,429"), (vec!["retriable-status-codes"], vec![429]));
        assert_eq!(conditions("gateway-error"), (vec!["gateway-error"], vec![]));
    }
}
