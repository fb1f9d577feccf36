//! Header operations.

use proto::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use proto::envoy::config::route::v3::Route;
use proto::envoy::config::route::v3::weighted_cluster::ClusterWeight;

use api::virtual_service::{HeaderEdits, HeaderOperations};

/// Puts operations on a route, in order.
pub(crate) fn apply(operations: &[&HeaderOperations], route: &mut Route) {
    for operation in operations {
        route.request_headers_to_add.extend(added(&operation.request));
        route.request_headers_to_remove.extend(removed(&operation.request));
        route.response_headers_to_add.extend(added(&operation.response));
        route.response_headers_to_remove.extend(removed(&operation.response));
    }
}

/// Puts operations on one destination of several.
pub(crate) fn apply_weighted(operations: &HeaderOperations, cluster: &mut ClusterWeight) {
    cluster.request_headers_to_add = added(&operations.request).collect();
    cluster.request_headers_to_remove = removed(&operations.request).collect();
    cluster.response_headers_to_add = added(&operations.response).collect();
    cluster.response_headers_to_remove = removed(&operations.response).collect();
}

/// The host that a request is given by a header operation: it has a place of its own in a route.
pub(crate) fn authority(edits: &HeaderEdits) -> Option<&str> {
    let mut given = edits.set.iter().chain(&edits.add).filter(|(name, _)| is_authority(name));
    given.next().map(|(_, value)| value.as_str())
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// Whether a header is none that an operation may change: a request's pseudo-headers and its host.
fn is_fixed(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

fn removed(edits: &HeaderEdits) -> impl Iterator<Item = String> {
    edits.remove.iter().filter(|name| !is_fixed(name)).cloned()
}

fn added(edits: &HeaderEdits) -> impl Iterator<Item = HeaderValueOption> {
    let set = edits.set.iter().map(|(name, value)| (name, value, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = edits.add.iter().map(|(name, value)| (name, value, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add).filter(|(name, ..)| !is_fixed(name)).map(|(name, value, action)| HeaderValueOption {
        header: Some(HeaderValue { key: name.clone(), value: value.clone(), ..Default::default() }),
        append_action: action.into(),
        ..Default::default()
    })
}
