//! Where accesses are logged, and in what form.

use std::sync::Arc;

use proto::envoy::config::accesslog::v3 as accesslog;
use proto::envoy::config::core::v3::{
    SubstitutionFormatString, data_source, substitution_format_string::Format,
};
use proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat};

use crate::read::{At, Wrong, each, named};

/// A file that lines of an access log are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The file.
    pub path: Arc<str>,
    /// The format of a line; none for Envoy's own.
    pub format: Option<Arc<str>>,
}

pub(crate) fn access_logs(messages: &[accesslog::AccessLog]) -> Result<Vec<AccessLog>, Wrong> {
    let logs = each(messages, "access_log", |message| {
        let Some(accesslog::access_log::ConfigType::TypedConfig(any)) = &message.config_type else {
            return Err(Wrong::new("typed_config", "is missing"));
        };
        // A log that cannot be written takes nothing from the traffic; files are the kind that can.
        if proto::any::type_name(&any.type_url) != "envoy.extensions.access_loggers.file.v3.FileAccessLog" {
            return Ok(None);
        }
        let file: FileAccessLog = proto::any::unpack(any).at("typed_config")?;
        Ok(Some(AccessLog { path: named(&file.path, "typed_config.path")?, format: log_format(&file) }))
    })?;
    Ok(logs.into_iter().flatten().collect())
}

#[allow(deprecated, reason = "old control planes still write the old spellings")]
fn log_format(file: &FileAccessLog) -> Option<Arc<str>> {
    let text = match file.access_log_format.as_ref()? {
        AccessLogFormat::Format(text) => text,
        AccessLogFormat::LogFormat(SubstitutionFormatString { format, .. }) => match format.as_ref()? {
            Format::TextFormat(text) => text,
            Format::TextFormatSource(source) => match source.specifier.as_ref()? {
                data_source::Specifier::InlineString(text) => text,
                _ => return None,
            },
            Format::JsonFormat(_) => return None,
        },
        AccessLogFormat::JsonFormat(_) | AccessLogFormat::TypedJsonFormat(_) => return None,
    };
    Some(text.as_str().into())
}
