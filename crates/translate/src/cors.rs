//! Cross-origin rules.

use proto::Any;
use proto::envoy::extensions::filters::http::cors::v3 as envoy;

use api::virtual_service::CorsPolicy;

use crate::wire;

/// The filter that acts on a route's cross-origin rules.
pub(crate) const FILTER: &str = "envoy.filters.http.cors";

/// The filter's configuration for one route.
pub(crate) fn config(policy: &CorsPolicy) -> Any {
    proto::any::pack(&envoy::CorsPolicy {
        allow_origin_string_match: policy.allow_origins.iter().map(wire::text).collect(),
        allow_methods: policy.allow_methods.join(","),
        allow_headers: policy.allow_headers.join(","),
        expose_headers: policy.expose_headers.join(","),
        max_age: policy.max_age.map(|age| age.as_secs().to_string()).unwrap_or_default(),
        allow_credentials: wire::bool(policy.allows_credentials),
        filter_enabled: wire::fraction(100.0),
        forward_not_matching_preflights: wire::bool(policy.forwards_unmatched_preflights),
        ..Default::default()
    })
}
