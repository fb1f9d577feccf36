//! Conditions of routes.

use proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use proto::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use proto::envoy::config::route::v3::route_match::PathSpecifier;
use proto::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};

use api::virtual_service::{HttpMatch, StringMatch, ValueMatch};

use crate::wire;

pub(crate) fn route_match(condition: &HttpMatch) -> RouteMatch {
    let path = match &condition.uri {
        None => PathSpecifier::Prefix("/".into()),
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.clone()),
        Some(StringMatch::Prefix(prefix)) => PathSpecifier::Prefix(prefix.clone()),
        Some(StringMatch::Regex(regex)) => PathSpecifier::SafeRegex(wire::regex(regex)),
    };
    let mut headers: Vec<HeaderMatcher> =
        condition.headers.iter().map(|(name, value)| header(name, value)).collect();
    headers.extend(condition.without_headers.iter().map(|(name, value)| without(name, value)));
    let pseudo = [
        (":method", &condition.method),
        (":authority", &condition.authority),
        (":scheme", &condition.scheme),
    ];
    headers.extend(pseudo.into_iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| header(name, &ValueMatch::Value(value.clone())))
    }));
    RouteMatch {
        case_sensitive: wire::bool(!condition.ignore_uri_case),
        headers,
        query_parameters: condition.query_params.iter().map(|(name, value)| query(name, value)).collect(),
        path_specifier: Some(path),
        ..Default::default()
    }
}

/// Whether any value will do, as long as there is one.
fn is_presence(value: &ValueMatch) -> bool {
    match value {
        ValueMatch::Present => true,
        ValueMatch::Value(StringMatch::Regex(regex)) => regex == "*" || regex == ".*",
        ValueMatch::Value(_) => false,
    }
}

fn header(name: &str, value: &ValueMatch) -> HeaderMatcher {
    let specifier = match value {
        ValueMatch::Value(text) if !is_presence(value) => HeaderMatchSpecifier::StringMatch(wire::text(text)),
        _ => HeaderMatchSpecifier::PresentMatch(true),
    };
    HeaderMatcher {
        name: name.to_ascii_lowercase(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

/// A header that is missing does not match either, so it counts as an empty one.
fn without(name: &str, value: &ValueMatch) -> HeaderMatcher {
    HeaderMatcher {
        invert_match: true,
        treat_missing_header_as_empty: !is_presence(value),
        ..header(name, value)
    }
}

fn query(name: &str, value: &ValueMatch) -> QueryParameterMatcher {
    let specifier = match value {
        ValueMatch::Value(text) if !is_presence(value) => {
            QueryParameterMatchSpecifier::StringMatch(wire::text(text))
        }
        _ => QueryParameterMatchSpecifier::PresentMatch(true),
    };
    QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(specifier) }
}
