//! The access log: Istio's text or JSON, or what somebody wrote instead.

use proto::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use proto::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, ResponseFlagFilter, access_log::ConfigType,
};
use proto::envoy::config::core::v3::substitution_format_string::Format;
use proto::envoy::config::core::v3::{DataSource, SubstitutionFormatString, data_source::Specifier};
use proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat};
use proto::google::protobuf::{Struct, Value, value::Kind};

use api::mesh_config::{AccessLog as Settings, LogEncoding};

use crate::origin;

const FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% ",
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ",
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
);

/// The fields of Istio's JSON.
const FIELDS: [(&str, &str); 26] = [
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("istio_policy_status", "%DYNAMIC_METADATA(istio.mixer:status)%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("traceID", "%TRACE_ID%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// The log of every exchange.
pub(crate) fn of(log: &Settings) -> Vec<AccessLog> {
    file(log).into_iter().collect()
}

/// The log of connections that no filter chain takes.
pub(crate) fn of_unmatched(log: &Settings) -> Vec<AccessLog> {
    let no_route = ResponseFlagFilter { flags: vec!["NR".into()] };
    let filter = AccessLogFilter { filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(no_route)) };
    file(log).into_iter().map(|log| AccessLog { filter: Some(filter.clone()), ..log }).collect()
}

/// The file; None where nothing is written.
fn file(log: &Settings) -> Option<AccessLog> {
    let path = log.file.clone().filter(|path| !path.is_empty())?;
    let format = match log.encoding {
        LogEncoding::Json => Format::JsonFormat(json(&log.format)),
        LogEncoding::Text => Format::TextFormatSource(DataSource {
            specifier: Some(Specifier::InlineString(text(&log.format))),
            ..Default::default()
        }),
    };
    let format = SubstitutionFormatString { format: Some(format), ..Default::default() };
    let file = FileAccessLog { path, access_log_format: Some(AccessLogFormat::LogFormat(format)) };
    Some(AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(proto::any::pack(&file))),
    })
}

/// A text format ends its line.
fn text(written: &str) -> String {
    match written {
        "" => FORMAT.to_owned(),
        line if line.ends_with('\n') => line.to_owned(),
        line => format!("{line}\n"),
    }
}

/// The fields that somebody wrote as a JSON object of texts, else Istio's.
fn json(written: &str) -> Struct {
    let own: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(written).ok();
    match own {
        Some(own) => Struct { fields: own.into_iter().map(|(key, value)| (key, of_json(value))).collect() },
        None => origin::fields(FIELDS.map(|(key, value)| (key, origin::text(value))).into()),
    }
}

fn of_json(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => origin::text(text),
        Json::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, of_json(value)));
            Value { kind: Some(Kind::StructValue(Struct { fields: fields.collect() })) }
        }
        other => origin::text(other.to_string()),
    }
}
