//! What a route does besides choosing a destination: headers, retries, faults, CORS, mirrors.

use super::destination::read_destination;
use super::matches::string_match;
use super::{
    Abort, AbortStatus, CorsPolicy, Delay, Fault, HeaderEdits, HeaderOperations, Mirror, Retries, StringMatch,
};
use crate::check;
use crate::read::At;

/// Reads `headers` of a route or a destination.
pub(super) fn header_operations(parent: &At<'_>) -> HeaderOperations {
    let Some(at) = parent.field("headers") else { return HeaderOperations::default() };
    HeaderOperations {
        request: at.field("request").map(|field| header_edits(&field, true)).unwrap_or_default(),
        response: at.field("response").map(|field| header_edits(&field, false)).unwrap_or_default(),
    }
}

fn header_edits(at: &At<'_>, is_request: bool) -> HeaderEdits {
    for field in ["set", "add"].iter().filter_map(|name| at.field(name)) {
        for entry in field.entries() {
            check_header_name(&entry, entry.name(), is_request);
            if let Some(message) = entry.node.text().and_then(check::header_value_error) {
                entry.error("wrong-value", message);
            }
        }
    }
    for item in at.list("remove") {
        check_header_name(&item, item.node.text().unwrap_or_default(), false);
    }
    HeaderEdits { set: at.map("set"), add: at.map("add"), remove: at.texts("remove") }
}

fn check_header_name(at: &At<'_>, name: &str, may_be_authority: bool) {
    let is_authority = may_be_authority && name.eq_ignore_ascii_case(":authority");
    if !is_authority && !check::is_header_name(name) {
        at.error_at_key("wrong-value", format!("{name:?} does not name a header that can be changed"));
    }
}

/// Reads `retries`.
pub(crate) fn retries(at: &At<'_>) -> Retries {
    let attempts = at.whole("attempts").unwrap_or(0);
    let dependent = ["perTryTimeout", "retryOn", "retryRemoteLocalities", "backoff"];
    if attempts == 0
        && at.field("attempts").is_some()
        && let Some(field) = dependent.iter().find_map(|name| at.field(name))
    {
        field.error_at_key("conflict", "`attempts: 0` disables retries; this has no meaning beside it");
    }
    let retry_on = at.text("retryOn");
    if let (Some(field), Some(words)) = (at.field("retryOn"), retry_on) {
        for word in words.split(',').map(str::trim).filter(|word| !is_retry_condition(word)) {
            let hint = match check::nearest(word, RETRY_CONDITIONS.iter().copied()) {
                Some(near) => format!("; did you mean {near}?"),
                None => String::new(),
            };
            field.error("wrong-value", format!("{word:?} is no condition for a retry{hint}"));
        }
    }
    Retries {
        attempts,
        per_try_timeout: at.duration("perTryTimeout"),
        retry_on: retry_on.map(str::to_owned),
        backoff: at.duration("backoff"),
        ignores_previous_hosts: at.bool("retryIgnorePreviousHosts"),
        tries_remote_localities: at.bool("retryRemoteLocalities").unwrap_or(false),
    }
}

const RETRY_CONDITIONS: [&str; 17] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
    "unknown",
];

/// One of Envoy's words for HTTP and gRPC, or a status code.
fn is_retry_condition(word: &str) -> bool {
    RETRY_CONDITIONS.contains(&word) || word.parse::<u16>().is_ok_and(|code| (100..600).contains(&code))
}

/// Reads `fault`.
pub(super) fn fault(at: &At<'_>) -> Fault {
    if at.field("delay").is_none() && at.field("abort").is_none() {
        at.missing("delay", "a fault needs `delay` or `abort`");
    }
    Fault {
        delay: at.field("delay").and_then(|field| delay(&field)),
        abort: at.field("abort").and_then(|field| abort(&field)),
    }
}

fn delay(at: &At<'_>) -> Option<Delay> {
    if at.field("fixedDelay").is_none() && at.field("exponentialDelay").is_none() {
        at.missing("fixedDelay", "a delay needs `fixedDelay`");
    }
    let percentage = at.percentage("percentage").or_else(|| at.field("percent")?.number());
    Some(Delay { duration: at.duration("fixedDelay")?, percentage: share(at, percentage, "delayed") })
}

fn abort(at: &At<'_>) -> Option<Abort> {
    let (http, grpc) = (at.field("httpStatus"), at.field("grpcStatus"));
    let status = match (http, grpc) {
        (Some(_), Some(grpc)) => {
            grpc.error_at_key("conflict", "`httpStatus` and `grpcStatus` exclude each other");
            return None;
        }
        (Some(http), None) => AbortStatus::Http(check::status(&http)?),
        (None, Some(grpc)) => AbortStatus::Grpc(grpc_status(&grpc)?),
        (None, None) => {
            if at.field("http2Error").is_none() {
                at.missing("httpStatus", "an abort needs `httpStatus` or `grpcStatus`");
            }
            return None;
        }
    };
    Some(Abort { status, percentage: share(at, at.percentage("percentage"), "aborted") })
}

/// gRPC's statuses, in the order of their numbers.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn grpc_status(at: &At<'_>) -> Option<u8> {
    let word = at.node.text()?;
    let status = GRPC_STATUSES.iter().position(|status| *status == word).and_then(|n| u8::try_from(n).ok());
    if status.is_none() {
        let hint = match check::nearest(word, GRPC_STATUSES.into_iter()) {
            Some(near) => format!("; did you mean {near}?"),
            None => String::new(),
        };
        at.error("wrong-value", format!("{word:?} is no gRPC status{hint}"));
    }
    status
}

/// Istio's rule: without a percentage a fault strikes nobody, which nobody expects.
fn share(at: &At<'_>, percentage: Option<f64>, what: &str) -> f64 {
    percentage.unwrap_or_else(|| {
        at.warn_at_key(
            "no-effect",
            format!("without `percentage` no request is {what}; write {{value: 100}}"),
        );
        0.0
    })
}

/// Reads `corsPolicy`.
pub(super) fn cors(at: &At<'_>) -> CorsPolicy {
    let mut allow_origins: Vec<StringMatch> =
        at.list("allowOrigins").iter().filter_map(|item| string_match(item, true)).collect();
    let deprecated = at.texts("allowOrigin");
    if !deprecated.is_empty() && allow_origins.is_empty() {
        // The old field knows exact origins and `*`.
        allow_origins.extend(deprecated.into_iter().map(|origin| match origin.as_str() {
            "*" => StringMatch::Regex(".*".into()),
            _ => StringMatch::Exact(origin),
        }));
    }
    for item in at.list("allowMethods") {
        if item.node.text().is_some_and(|method| !is_method(method)) {
            item.error("wrong-value", "this is no HTTP method; methods are upper-case");
        }
    }
    for item in ["allowHeaders", "exposeHeaders"].iter().flat_map(|name| at.list(name)) {
        let name = item.node.text().unwrap_or_default();
        if name != "*" {
            check_header_name(&item, name, false);
        }
    }
    CorsPolicy {
        allow_origins,
        allow_methods: at.texts("allowMethods"),
        allow_headers: at.texts("allowHeaders"),
        expose_headers: at.texts("exposeHeaders"),
        max_age: at.duration("maxAge"),
        allows_credentials: at.bool("allowCredentials").unwrap_or(false),
        forwards_unmatched_preflights: at.text("unmatchedPreflights") != Some("IGNORE"),
    }
}

fn is_method(method: &str) -> bool {
    method == "*" || (!method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'))
}

/// Reads `mirror` with its percentage, or `mirrors`.
pub(super) fn mirrors(at: &At<'_>) -> Vec<Mirror> {
    let many = at.list("mirrors");
    for field in ["mirrorPercent", "mirror_percent"].iter().filter_map(|name| at.field(name)) {
        field.warn_at_key("deprecated", "write `mirrorPercentage: {value: …}`");
    }
    if at.field("mirror").is_some() {
        if !many.is_empty() {
            at.error("conflict", "`mirror` and `mirrors` exclude each other");
        }
        let percentage = at
            .percentage("mirrorPercentage")
            .or_else(|| ["mirrorPercent", "mirror_percent"].iter().find_map(|name| at.field(name)?.number()))
            .unwrap_or(100.0);
        return read_destination(at, "mirror")
            .map(|destination| Mirror { destination, percentage })
            .into_iter()
            .collect();
    }
    many.iter()
        .filter_map(|item| {
            let destination = read_destination(item, "destination")?;
            Some(Mirror { destination, percentage: item.percentage("percentage").unwrap_or(100.0) })
        })
        .collect()
}
