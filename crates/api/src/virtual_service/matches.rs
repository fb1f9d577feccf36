//! The conditions of a route.

use std::collections::BTreeMap;

use super::destination::gateway_ref;
use super::{HttpMatch, StringMatch, ValueMatch};
use crate::check;
use crate::read::At;

/// Reads one entry of `match`.
pub(super) fn http_match(at: &At<'_>, has_gateway: bool) -> HttpMatch {
    if let Some(labels) = at.field("sourceLabels") {
        check::labels(&labels);
    }
    check::namespace(at, "sourceNamespace");
    HttpMatch {
        name: at.text("name").unwrap_or_default().into(),
        uri: uri_match(at),
        scheme: text_match(at, "scheme"),
        method: text_match(at, "method"),
        authority: text_match(at, "authority"),
        headers: header_matches(at, "headers", has_gateway),
        without_headers: header_matches(at, "withoutHeaders", has_gateway),
        query_params: value_matches(at, "queryParams"),
        port: at.port("port"),
        ignore_uri_case: at.bool("ignoreUriCase").unwrap_or(false),
        gateways: at.list("gateways").iter().filter_map(gateway_ref).collect(),
        source_labels: at.labels("sourceLabels"),
        source_namespace: at.text("sourceNamespace").map(str::to_owned),
        stat_prefix: at.text("statPrefix").map(str::to_owned),
    }
}

/// Whether a redirect finds a prefix to replace: the match is by prefix, or by nothing at all.
pub(super) fn is_prefix_or_catch_all(condition: &HttpMatch) -> bool {
    matches!(condition.uri, None | Some(StringMatch::Prefix(_)))
}

/// An empty prefix is every path.
fn uri_match(at: &At<'_>) -> Option<StringMatch> {
    let field = at.field("uri")?;
    match (field.field("prefix"), field.node.entries().len()) {
        (Some(prefix), 1) if prefix.node.text() == Some("") => None,
        _ => string_match(&field, true),
    }
}

fn text_match(at: &At<'_>, name: &str) -> Option<StringMatch> {
    string_match(&at.field(name)?, true)
}

fn header_matches(at: &At<'_>, name: &str, has_gateway: bool) -> BTreeMap<String, ValueMatch> {
    let Some(field) = at.field(name) else { return BTreeMap::new() };
    for entry in field.entries() {
        let header = entry.name();
        if header.starts_with("@request.auth.claims") {
            let message = if has_gateway {
                "this version refuses matches by the claims of a token: they are not verified"
            } else {
                "claims of a token can be matched at a gateway only"
            };
            entry.error_at_key(if has_gateway { "refused-field" } else { "conflict" }, message);
        } else if !check::is_header_name(header.strip_prefix(':').unwrap_or(header)) {
            entry.error_at_key("wrong-value", format!("{header:?} does not name a header"));
        }
    }
    value_matches(at, name)
}

fn value_matches(at: &At<'_>, name: &str) -> BTreeMap<String, ValueMatch> {
    let Some(field) = at.field(name) else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    // A null has been reported as being of the wrong type.
    for entry in field.entries().filter(|entry| !entry.node.is_null()) {
        if entry.name().is_empty() {
            entry.error_at_key("wrong-value", "a name is empty");
            continue;
        }
        // `*` is no regular expression; Istio has always read it as any value.
        let is_star = entry.field("regex").is_some_and(|regex| regex.node.text() == Some("*"));
        let condition = if is_star || entry.node.entries().is_empty() {
            ValueMatch::Present
        } else {
            match string_match(&entry, false) {
                Some(condition) => ValueMatch::Value(condition),
                None => continue,
            }
        };
        all.insert(entry.name().to_owned(), condition);
    }
    all
}

/// Reads `{exact}`, `{prefix}` or `{regex}`; exactly one of them must be there.
pub(super) fn string_match(at: &At<'_>, exact_must_not_be_empty: bool) -> Option<StringMatch> {
    let (exact, prefix, regex) = (at.field("exact"), at.field("prefix"), at.field("regex"));
    let (field, is_empty_allowed) = match (&exact, &prefix, &regex) {
        (Some(field), None, None) => (field, !exact_must_not_be_empty),
        (None, Some(field), None) | (None, None, Some(field)) => (field, false),
        (None, None, None) => {
            at.error("missing-field", "a condition needs one of `exact`, `prefix` and `regex`");
            return None;
        }
        _ => {
            at.error("conflict", "`exact`, `prefix` and `regex` exclude each other");
            return None;
        }
    };
    let text = field.node.text()?;
    if text.is_empty() && !is_empty_allowed {
        field.error("wrong-value", format!("`{}` is empty", field.name()));
        return None;
    }
    if exact.is_some() {
        return Some(StringMatch::Exact(text.into()));
    }
    if prefix.is_some() {
        return Some(StringMatch::Prefix(text.into()));
    }
    match check::regex_error(text) {
        None => Some(StringMatch::Regex(text.into())),
        Some(message) => {
            field.error("wrong-value", message);
            None
        }
    }
}
