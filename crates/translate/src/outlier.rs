//! Outlier detection: when an endpoint is taken out for a while.

use proto::envoy::config::cluster::v3 as envoy;
use proto::envoy::config::common::matcher::v3::match_predicate::{MatchSet, Rule};
use proto::envoy::config::common::matcher::v3::{HttpHeadersMatch, MatchPredicate};
use proto::envoy::config::route::v3::HeaderMatcher;
use proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options as http;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};

use api::outlier::OutlierDetection;

use crate::wire;

/// Success rates never count: Istio counts errors in a row only.
pub(crate) fn detection(outliers: &OutlierDetection) -> envoy::OutlierDetection {
    // Zero errors in a row count none at all.
    let enforced = |limit: Option<u32>| limit.and_then(|limit| wire::u32(if limit > 0 { 100 } else { 0 }));
    let mut out = envoy::OutlierDetection {
        enforcing_success_rate: wire::u32(0),
        consecutive_5xx: outliers.consecutive_5xx_errors.and_then(wire::u32),
        enforcing_consecutive_5xx: enforced(outliers.consecutive_5xx_errors),
        consecutive_gateway_failure: outliers.consecutive_gateway_errors.and_then(wire::u32),
        enforcing_consecutive_gateway_failure: enforced(outliers.consecutive_gateway_errors),
        interval: outliers.interval.and_then(wire::duration),
        base_ejection_time: outliers.base_ejection_time.and_then(wire::duration),
        max_ejection_percent: outliers.max_ejection_percent.filter(|most| *most > 0).and_then(wire::u32),
        ..Default::default()
    };
    if outliers.splits_local_origin_errors {
        out.split_external_local_origin_errors = true;
        out.enforcing_local_origin_success_rate = wire::u32(0);
        let limit = outliers.consecutive_local_origin_failures.filter(|limit| *limit > 0);
        out.consecutive_local_origin_failure = limit.and_then(wire::u32);
        out.enforcing_consecutive_local_origin_failure = enforced(limit);
    }
    out
}

/// Which answers count as errors; None is the proxy's own, 5xx.
pub(crate) fn errors(outliers: &OutlierDetection) -> Option<http::OutlierDetection> {
    let mut rules: Vec<MatchPredicate> = outliers.http_error_codes.iter().map(|code| has(*code)).collect();
    let error_matcher = match rules.len() {
        0 => return None,
        // A choice needs two things to choose among.
        1 => rules.pop(),
        _ => Some(MatchPredicate { rule: Some(Rule::OrMatch(MatchSet { rules })) }),
    };
    Some(http::OutlierDetection { error_matcher })
}

/// Answers with this status.
fn has(status: u16) -> MatchPredicate {
    let exact =
        StringMatcher { match_pattern: Some(MatchPattern::Exact(status.to_string())), ..Default::default() };
    let header = HeaderMatcher {
        name: ":status".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exact)),
        ..Default::default()
    };
    let headers = HttpHeadersMatch { headers: vec![header] };
    MatchPredicate { rule: Some(Rule::HttpResponseHeadersMatch(headers)) }
}
