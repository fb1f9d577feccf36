//! Outlier detection: when an endpoint is taken out for a while.

use proto::envoy::config::cluster::v3 as envoy;

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
