//! Policies of CORS in the places where they stood before there was a filter.

use std::collections::HashMap;

use proto::Any;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;

/// The filter that policies in the old places are meant for.
pub(crate) const CORS: &str = "envoy.filters.http.cors";

/// Puts a policy from its old place where the filter looks for it, unless there is one already.
pub(crate) fn add_cors(filters: &mut HashMap<String, Any>, old: Option<&wire::CorsPolicy>) {
    let Some(old) = old.filter(|_| !filters.contains_key(CORS)) else { return };
    let filter_enabled = old.enabled_specifier.as_ref().map(|specifier| match specifier {
        wire::cors_policy::EnabledSpecifier::FilterEnabled(enabled) => enabled.clone(),
    });
    let policy = CorsPolicy {
        allow_origin_string_match: old.allow_origin_string_match.clone(),
        allow_methods: old.allow_methods.clone(),
        allow_headers: old.allow_headers.clone(),
        expose_headers: old.expose_headers.clone(),
        max_age: old.max_age.clone(),
        allow_credentials: old.allow_credentials,
        filter_enabled,
        shadow_enabled: old.shadow_enabled.clone(),
        allow_private_network_access: old.allow_private_network_access,
        forward_not_matching_preflights: old.forward_not_matching_preflights,
    };
    filters.insert(CORS.to_owned(), proto::any::pack(&policy));
}
