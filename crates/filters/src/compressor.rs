//! `envoy.filters.http.compressor`: gzip for answers to clients that take it.
//!
//! Every chunk is flushed as it comes, so that a stream stays one.

mod negotiate;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use filter::{BodyVerdict, Built, Exchange, Filter, FilterConfig, Phases, Session, Verdict};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, UPGRADE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::extensions::compression::gzip::compressor::v3::Gzip;
use proto::envoy::extensions::filters::http::compressor::v3::compressor::{
    CommonDirectionConfig, ResponseDirectionConfig,
};
use proto::envoy::extensions::filters::http::compressor::v3::compressor_per_route::Override;
use proto::envoy::extensions::filters::http::compressor::v3::{Compressor as Message, CompressorPerRoute};

/// What is compressed where the configuration does not say.
const CONTENT_TYPES: [&str; 8] = [
    "application/javascript",
    "application/json",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/plain",
    "text/xml",
];

/// Compresses answers.
#[derive(Debug)]
struct Compressor {
    name: Box<str>,
    rule: Arc<Rule>,
}

#[derive(Debug)]
struct Rule {
    level: Compression,
    min_length: u64,
    content_types: Vec<Box<str>>,
    disable_on_etag: bool,
    weaken_etag: bool,
    hides_accept_encoding: bool,
    uncompressible: Vec<u32>,
}

pub(crate) fn make(config: FilterConfig<'_>) -> Result<Built, String> {
    let message: Message = proto::any::unpack(config.listener)?;
    let Some(mut rule) = Rule::compile(&message)? else { return Ok(Built::Inert) };
    if let Some(any) = config.route {
        let route: CompressorPerRoute = proto::any::unpack(any)?;
        match route.r#override {
            Some(Override::Disabled(true)) => return Ok(Built::Inert),
            Some(Override::Disabled(false)) => return Err("disabled can only be true".into()),
            Some(Override::Overrides(overrides)) => {
                if let Some(library) = &overrides.compressor_library {
                    rule.level = level(library)?;
                }
                let hides = overrides.response_direction_config.and_then(|c| c.remove_accept_encoding_header);
                rule.hides_accept_encoding = hides.map_or(rule.hides_accept_encoding, |hides| hides.value);
            }
            None => {}
        }
    }
    Ok(Built::Filter(Arc::new(Compressor { name: config.name.into(), rule: Arc::new(rule) })))
}

impl Rule {
    #[allow(deprecated, reason = "old configurations say it outside of the response's own settings")]
    fn compile(message: &Message) -> Result<Option<Self>, String> {
        let library = message.compressor_library.as_ref().ok_or("compressor_library is missing")?;
        let requests = message.request_direction_config.as_ref().and_then(|c| c.common_config.as_ref());
        if requests.is_some_and(is_enabled) {
            return Err("request_direction_config: requests are not compressed".into());
        }
        let response = message.response_direction_config.clone().unwrap_or_else(|| ResponseDirectionConfig {
            common_config: Some(CommonDirectionConfig {
                enabled: message.runtime_enabled.clone(),
                min_content_length: message.content_length,
                content_type: message.content_type.clone(),
                content_type_matcher: Vec::new(),
            }),
            disable_on_etag_header: message.disable_on_etag_header,
            remove_accept_encoding_header: message.remove_accept_encoding_header,
            ..ResponseDirectionConfig::default()
        });
        let common = response.common_config.unwrap_or_default();
        if !is_enabled(&common) {
            return Ok(None);
        }
        if !common.content_type_matcher.is_empty() {
            return Err(
                "response_direction_config.common_config.content_type_matcher is not supported".into()
            );
        }
        if response.status_header_enabled {
            return Err("response_direction_config.status_header_enabled is not supported".into());
        }
        let content_types = match common.content_type.as_slice() {
            [] => CONTENT_TYPES.iter().map(|kind| (*kind).into()).collect(),
            own => own.iter().map(|kind| kind.to_ascii_lowercase().into_boxed_str()).collect(),
        };
        Ok(Some(Self {
            level: level(library)?,
            min_length: common.min_content_length.map_or(30, |length| u64::from(length.value)),
            content_types,
            disable_on_etag: response.disable_on_etag_header,
            weaken_etag: response.weaken_etag_on_compress,
            hides_accept_encoding: response.remove_accept_encoding_header,
            uncompressible: response.uncompressible_response_codes,
        }))
    }

    /// Whether an answer could be compressed for somebody: then caches must know that it depends on the client.
    fn is_compressible(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let is_part = matches!(status.as_u16(), 100..200 | 204 | 205 | 206 | 304);
        let is_kept = self.uncompressible.contains(&u32::from(status.as_u16()))
            || headers.contains_key(CONTENT_ENCODING)
            || headers.contains_key(UPGRADE)
            || (self.disable_on_etag && headers.contains_key(ETAG));
        !(is_part || is_kept)
            && self.has_length(headers)
            && self.has_content_type(headers)
            && !negotiate::has_token(headers, &CACHE_CONTROL, "no-transform")
    }

    /// An answer whose length nobody knows may be long.
    fn has_length(&self, headers: &HeaderMap) -> bool {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        length.is_none_or(|length| length.parse::<u64>().is_ok_and(|length| length >= self.min_length))
    }

    fn has_content_type(&self, headers: &HeaderMap) -> bool {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        kind.is_some_and(|kind| self.content_types.iter().any(|known| known.eq_ignore_ascii_case(kind)))
    }
}

fn is_enabled(common: &CommonDirectionConfig) -> bool {
    common.enabled.as_ref().and_then(|flag| flag.default_value).is_none_or(|enabled| enabled.value)
}

fn level(library: &TypedExtensionConfig) -> Result<Compression, String> {
    let any = library.typed_config.as_ref().ok_or("compressor_library.typed_config is missing")?;
    let gzip: Gzip = proto::any::unpack(any).map_err(|why| format!("compressor_library: {why}"))?;
    match u32::try_from(gzip.compression_level) {
        Ok(0) => Ok(Compression::default()),
        Ok(level @ 1..=9) => Ok(Compression::new(level)),
        _ => Err(format!("compressor_library: {} is not a level", gzip.compression_level)),
    }
}

impl Filter for Compressor {
    fn name(&self) -> &str {
        &self.name
    }

    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD.and(Phases::RESPONSE_HEAD).and(Phases::RESPONSE_BODY)
    }

    fn open(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(Answering { rule: Arc::clone(&self.rule), is_accepted: false, encoder: None }))
    }
}

/// One exchange whose answer may be compressed.
struct Answering {
    rule: Arc<Rule>,
    is_accepted: bool,
    /// There while the body is being compressed.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Answering {
    fn compress(&mut self, chunk: &Bytes, end: bool) -> std::io::Result<Bytes> {
        let Some(encoder) = &mut self.encoder else { return Ok(chunk.clone()) };
        encoder.write_all(chunk)?;
        if end {
            return Ok(self.encoder.take().map_or(Ok(Vec::new()), GzEncoder::finish)?.into());
        }
        encoder.flush()?;
        Ok(std::mem::take(encoder.get_mut()).into())
    }
}

impl Session for Answering {
    fn request_head(&mut self, x: &mut Exchange) -> Verdict {
        self.is_accepted = x.request.method != Method::HEAD && negotiate::takes_gzip(&x.request.headers);
        if self.rule.hides_accept_encoding {
            x.request.headers.remove(ACCEPT_ENCODING);
        }
        Verdict::Continue
    }

    fn response_head(&mut self, x: &mut Exchange) -> Verdict {
        let Some(response) = &mut x.response else { return Verdict::Continue };
        if !self.rule.is_compressible(response.status, &response.headers) {
            return Verdict::Continue;
        }
        let headers = &mut response.headers;
        if !negotiate::has_token(headers, &VARY, "accept-encoding") {
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if self.is_accepted {
            headers.remove(CONTENT_LENGTH);
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            negotiate::adapt_etag(headers, self.rule.weaken_etag);
            self.encoder = Some(GzEncoder::new(Vec::new(), self.rule.level));
        }
        Verdict::Continue
    }

    fn response_body(&mut self, _x: &mut Exchange, chunk: &Bytes, end: bool) -> BodyVerdict {
        if self.encoder.is_none() || (chunk.is_empty() && !end) {
            return BodyVerdict::Pass;
        }
        match self.compress(chunk, end) {
            Ok(bytes) => BodyVerdict::Replace(bytes),
            // Writing to memory does not fail; if it ever does, half a stream must not look like a whole one.
            Err(_) => BodyVerdict::Reply(filter::LocalReply::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                Bytes::new(),
                "compression_failed",
            )),
        }
    }
}
