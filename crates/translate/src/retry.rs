//! Retries: Istio's defaults, and what a route says instead.

use std::num::NonZeroU16;

use proto::envoy::config::route::v3::RetryPolicy;
use proto::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate::ConfigType,
};
use proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

use api::virtual_service::Retries;

use crate::wire;

/// What Istio tries again where nobody says otherwise: requests that cannot have had an effect.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

const BY_STATUS: &str = "retriable-status-codes";

/// Two more attempts on hosts not tried yet.
pub(crate) fn standard() -> RetryPolicy {
    RetryPolicy {
        retry_on: RETRY_ON.into(),
        num_retries: wire::u32(2),
        retry_host_predicate: vec![previous_hosts()],
        host_selection_retry_max_attempts: 5,
        ..Default::default()
    }
}

/// A workload that closes an idle connection must not fail the request that was just sent on it.
pub(crate) fn before_the_workload() -> RetryPolicy {
    RetryPolicy { retry_on: "reset-before-request".into(), num_retries: wire::u32(2), ..Default::default() }
}

/// A route's retries; None where it wants no other attempt.
pub(crate) fn policy(retries: Option<&Retries>) -> Option<RetryPolicy> {
    let Some(retries) = retries else { return Some(standard()) };
    if retries.attempts == 0 {
        return None;
    }
    let mut out = standard();
    out.num_retries = wire::u32(retries.attempts);
    out.per_try_timeout = retries.per_try_timeout.and_then(wire::duration);
    out.retry_back_off = retries
        .backoff
        .map(|base| RetryBackOff { base_interval: wire::duration(base), ..Default::default() });
    if !retries.ignores_previous_hosts {
        out.retry_host_predicate.clear();
    }
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

#[cfg(test)]
mod tests {
    use super::conditions;

    #[test]
    fn status_codes_among_the_words_bring_their_own_word() {
        assert_eq!(conditions("5xx, 503,reset"), (vec!["5xx", "reset", "retriable-status-codes"], vec![503]));
        assert_eq!(conditions("retriable-status-codes,429"), (vec!["retriable-status-codes"], vec![429]));
        assert_eq!(conditions("gateway-error"), (vec!["gateway-error"], vec![]));
    }
}
