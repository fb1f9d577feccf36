//! Which headers of a request travel on to the services behind it.

use http::HeaderMap;

/// What links the spans of one trace in the tracers Istio's sample knows, and who the user is.
const FORWARDED: [&str; 21] = [
    "authorization",
    "b3",
    "cookie",
    "end-user",
    "grpc-trace-bin",
    "jwt",
    "sw8",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-cloud-trace-context",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-trace-id",
    "x-ot-span-context",
    "x-request-id",
];

/// Copies the headers that travel on.
pub fn forwarded(incoming: &HeaderMap) -> HeaderMap {
    let mut outgoing = HeaderMap::new();
    for name in FORWARDED {
        if let Some(value) = incoming.get(name) {
            outgoing.insert(name, value.clone());
        }
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tracing_headers_travel_on_and_others_do_not() {
        let mut incoming = HeaderMap::new();
        incoming.insert("X-Request-Id", HeaderValue::from_static("1"));
        incoming.insert("accept", HeaderValue::from_static("text/html"));

        let outgoing = forwarded(&incoming);

        assert_eq!(outgoing.get("x-request-id"), Some(&HeaderValue::from_static("1")));
        assert_eq!(outgoing.len(), 1);
    }
}
