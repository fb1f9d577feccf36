//! `outlierDetection`: when an endpoint is taken out for a while.

use std::time::Duration;

use crate::read::At;
use crate::schema::{DURATION, Field, I32, Shape, U32, ok, warned};

/// When an endpoint is taken out for a while; what is None is left to the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OutlierDetection {
    /// How many errors in a row are too many; zero counts none.
    pub consecutive_5xx_errors: Option<u32>,
    /// How many errors of gateways (502, 503, 504) in a row are too many; zero counts none.
    pub consecutive_gateway_errors: Option<u32>,
    /// Whether errors of the connection are counted apart from those the endpoint answers.
    pub splits_local_origin_errors: bool,
    /// How many errors of the connection in a row are too many; zero counts none.
    pub consecutive_local_origin_failures: Option<u32>,
    /// The statuses that count as errors, and no others; 5xx where empty.
    pub http_error_codes: Vec<u16>,
    /// How long from one look to the next.
    pub interval: Option<Duration>,
    /// How long an endpoint stays out, times how often it has been.
    pub base_ejection_time: Option<Duration>,
    /// The most endpoints that may be out, in percent.
    pub max_ejection_percent: Option<u32>,
    /// The least endpoints that must be healthy, in percent; below it all of them are used. Zero is never.
    pub min_health_percent: u32,
}

pub(crate) const FIELDS: &[Field] = &[
    warned("consecutiveErrors", I32, "write `consecutive5xxErrors` or `consecutiveGatewayErrors`"),
    ok("splitExternalLocalOriginErrors", Shape::Bool),
    ok("consecutiveLocalOriginFailures", U32),
    ok("consecutiveGatewayErrors", U32),
    ok("consecutive5xxErrors", U32),
    ok("outlierDetectionHttpErrorCodes", Shape::List(&Shape::Int(100, 599))),
    ok("interval", DURATION),
    ok("baseEjectionTime", DURATION),
    ok("maxEjectionPercent", Shape::Int(0, 100)),
    ok("minHealthPercent", Shape::Int(0, 100)),
];

/// Reads `outlierDetection`.
pub(crate) fn read(at: &At<'_>) -> OutlierDetection {
    let splits = at.bool("splitExternalLocalOriginErrors").unwrap_or(false);
    if let Some(field) = at.field("consecutiveLocalOriginFailures").filter(|_| !splits) {
        field.warn_at_key("no-effect", "this counts only beside `splitExternalLocalOriginErrors: true`");
    }
    OutlierDetection {
        consecutive_5xx_errors: at.whole("consecutive5xxErrors"),
        consecutive_gateway_errors: at.whole("consecutiveGatewayErrors"),
        splits_local_origin_errors: splits,
        consecutive_local_origin_failures: at.whole("consecutiveLocalOriginFailures"),
        http_error_codes: at
            .list("outlierDetectionHttpErrorCodes")
            .iter()
            .filter_map(|item| u16::try_from(item.int()?).ok())
            .collect(),
        interval: at.duration("interval"),
        base_ejection_time: at.duration("baseEjectionTime"),
        max_ejection_percent: at.positive("maxEjectionPercent"),
        min_health_percent: at.whole("minHealthPercent").unwrap_or(0),
    }
}
