//! The access log, in Istio's default text.

use proto::envoy::config::accesslog::v3::{AccessLog, access_log::ConfigType};
use proto::envoy::config::core::v3::substitution_format_string::Format;
use proto::envoy::config::core::v3::{DataSource, SubstitutionFormatString, data_source::Specifier};
use proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat};

const FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% ",
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ",
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
);

/// A log of every exchange, to standard output where the proxy has no better place.
pub(crate) fn standard_output() -> Vec<AccessLog> {
    let source = DataSource { specifier: Some(Specifier::InlineString(FORMAT.into())), ..Default::default() };
    let format =
        SubstitutionFormatString { format: Some(Format::TextFormatSource(source)), ..Default::default() };
    let file = FileAccessLog {
        path: "/dev/stdout".into(),
        access_log_format: Some(AccessLogFormat::LogFormat(format)),
    };
    vec![AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(proto::any::pack(&file))),
    }]
}
