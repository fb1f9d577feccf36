//! Metric and label names as Istio's dashboards and Kiali read them; no other place spells them.

/// HTTP and gRPC requests.
pub const REQUESTS_TOTAL: &str = "istio_requests_total";
/// How long requests took, in milliseconds.
pub const REQUEST_DURATION: &str = "istio_request_duration_milliseconds";
/// How large request bodies were.
pub const REQUEST_BYTES: &str = "istio_request_bytes";
/// How large response bodies were.
pub const RESPONSE_BYTES: &str = "istio_response_bytes";
/// Messages of gRPC requests.
pub const REQUEST_MESSAGES: &str = "istio_request_messages_total";
/// Messages of gRPC responses.
pub const RESPONSE_MESSAGES: &str = "istio_response_messages_total";
/// TCP connections opened.
pub const TCP_OPENED: &str = "istio_tcp_connections_opened_total";
/// TCP connections closed.
pub const TCP_CLOSED: &str = "istio_tcp_connections_closed_total";
/// Bytes sent to TCP clients.
pub const TCP_SENT: &str = "istio_tcp_sent_bytes_total";
/// Bytes received from TCP clients.
pub const TCP_RECEIVED: &str = "istio_tcp_received_bytes_total";

/// Accounts whose labels were folded into `unknown` because a worker's series are used up.
pub const SERIES_FOLDED: &str = "weft_metric_series_folded_total";

/// Which side reports.
pub const REPORTER: &str = "reporter";
/// The client's workload.
pub const SOURCE_WORKLOAD: &str = "source_workload";
/// The client's canonical service.
pub const SOURCE_CANONICAL_SERVICE: &str = "source_canonical_service";
/// The client's canonical revision.
pub const SOURCE_CANONICAL_REVISION: &str = "source_canonical_revision";
/// The client's namespace.
pub const SOURCE_WORKLOAD_NAMESPACE: &str = "source_workload_namespace";
/// The client's identity.
pub const SOURCE_PRINCIPAL: &str = "source_principal";
/// The client's `app` label.
pub const SOURCE_APP: &str = "source_app";
/// The client's `version` label.
pub const SOURCE_VERSION: &str = "source_version";
/// The client's cluster.
pub const SOURCE_CLUSTER: &str = "source_cluster";
/// The server's workload.
pub const DESTINATION_WORKLOAD: &str = "destination_workload";
/// The server's namespace.
pub const DESTINATION_WORKLOAD_NAMESPACE: &str = "destination_workload_namespace";
/// The server's identity.
pub const DESTINATION_PRINCIPAL: &str = "destination_principal";
/// The server's `app` label.
pub const DESTINATION_APP: &str = "destination_app";
/// The server's `version` label.
pub const DESTINATION_VERSION: &str = "destination_version";
/// The host the request was meant for.
pub const DESTINATION_SERVICE: &str = "destination_service";
/// The server's canonical service.
pub const DESTINATION_CANONICAL_SERVICE: &str = "destination_canonical_service";
/// The server's canonical revision.
pub const DESTINATION_CANONICAL_REVISION: &str = "destination_canonical_revision";
/// The name of the service the request was meant for.
pub const DESTINATION_SERVICE_NAME: &str = "destination_service_name";
/// The namespace of the service the request was meant for.
pub const DESTINATION_SERVICE_NAMESPACE: &str = "destination_service_namespace";
/// The server's cluster.
pub const DESTINATION_CLUSTER: &str = "destination_cluster";
/// `http`, `grpc` or `tcp`.
pub const REQUEST_PROTOCOL: &str = "request_protocol";
/// The response's status; 0 where the client went away before one.
pub const RESPONSE_CODE: &str = "response_code";
/// The response's gRPC status, empty for anything but gRPC.
pub const GRPC_RESPONSE_STATUS: &str = "grpc_response_status";
/// The response flags in Envoy's short form, `-` for none.
pub const RESPONSE_FLAGS: &str = "response_flags";
/// How the connection was secured.
pub const CONNECTION_SECURITY_POLICY: &str = "connection_security_policy";

/// What stands for a fact nobody knows.
pub const UNKNOWN: &str = "unknown";

/// Envoy's default histogram buckets, in the histogram's own unit; `+Inf` follows.
pub const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];
