//! How HTTP/1 is written, on either side.

#[cfg(test)]
mod tests;

use proto::envoy::config::core::v3::Http1ProtocolOptions;
use proto::envoy::config::core::v3::http1_protocol_options::header_key_format::HeaderFormat;

use crate::read::{Within, Wrong, refuse};

/// How the names of headers are written on HTTP/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// In lower case.
    #[default]
    Lower,
    /// As they came from the other side.
    Preserved,
    /// With a capital at the beginning of every word.
    Proper,
}

impl HeaderCase {
    /// What the options of one side say of it.
    pub(crate) fn compile(message: Option<&Http1ProtocolOptions>) -> Result<Self, Wrong> {
        let Some(message) = message else { return Ok(Self::Lower) };
        refuse(message.send_fully_qualified_url, "send_fully_qualified_url")?;
        refuse(!message.default_host_for_http_10.is_empty(), "default_host_for_http_10")?;
        refuse(!message.ignore_http_11_upgrade.is_empty(), "ignore_http_11_upgrade")?;
        let path = "header_key_format";
        match message.header_key_format.as_ref().and_then(|format| format.header_format.as_ref()) {
            None => Ok(Self::Lower),
            Some(HeaderFormat::ProperCaseWords(_)) => Ok(Self::Proper),
            Some(HeaderFormat::StatefulFormatter(formatter)) => {
                let any = formatter.typed_config.as_ref();
                let name = any.map_or("", |any| proto::any::type_name(&any.type_url));
                match name {
                    "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig" => {
                        Ok(Self::Preserved)
                    }
                    other => Err(Wrong::new("stateful_formatter", format!("{other:?} is not supported"))),
                }
            }
        }
        .within(path)
    }
}
