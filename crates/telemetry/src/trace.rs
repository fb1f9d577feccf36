//! The headers a program must pass on from the request it serves to those it makes, or its traces fall apart.

/// Lowercase names, those of every tracer a mesh may be given.
pub const PROPAGATED: [&str; 17] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
];

/// Whether a program passes this header on; names are compared as HTTP compares them.
pub fn is_propagated(name: &str) -> bool {
    PROPAGATED.iter().any(|propagated| propagated.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case() {
        assert!(is_propagated("X-B3-TraceId"));
        assert!(!is_propagated("cookie"));
    }
}
