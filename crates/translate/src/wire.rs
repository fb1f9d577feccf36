//! The small change of Envoy's messages: addresses, wrapped numbers, percentages, extensions.

use std::net::IpAddr;
use std::time::Duration;

use proto::envoy::config::core::v3 as core;
use proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};
use proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use proto::google::protobuf as google;

use api::virtual_service::StringMatch;
use base::Address;

pub(crate) fn bool(value: bool) -> Option<google::BoolValue> {
    Some(google::BoolValue { value })
}

pub(crate) fn u32(value: u32) -> Option<google::UInt32Value> {
    Some(google::UInt32Value { value })
}

pub(crate) fn duration(duration: Duration) -> Option<google::Duration> {
    Some(google::Duration {
        // Protobuf's own bound on a duration, ten thousand years.
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).min(315_576_000_000),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    })
}

pub(crate) fn address(address: &Address) -> Option<core::Address> {
    match address {
        Address::Ip(address) => named_address(&address.ip().to_string(), address.port()),
        Address::Pipe(path) => pipe(path),
    }
}

pub(crate) fn pipe(path: &str) -> Option<core::Address> {
    let pipe = core::Pipe { path: path.to_owned(), ..Default::default() };
    Some(core::Address { address: Some(core::address::Address::Pipe(pipe)) })
}

pub(crate) fn named_address(host: &str, port: u16) -> Option<core::Address> {
    let address = core::address::Address::SocketAddress(socket_address(host, port));
    Some(core::Address { address: Some(address) })
}

pub(crate) fn source(ip: IpAddr) -> core::BindConfig {
    core::BindConfig { source_address: Some(socket_address(&ip.to_string(), 0)), ..Default::default() }
}

fn socket_address(host: &str, port: u16) -> core::SocketAddress {
    core::SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    }
}

/// Resources come over the stream that brought the one naming them, and are waited for.
pub(crate) fn ads() -> Option<core::ConfigSource> {
    Some(core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        initial_fetch_timeout: duration(Duration::ZERO),
        resource_api_version: core::ApiVersion::V3.into(),
        ..Default::default()
    })
}

/// A percentage to four places.
pub(crate) fn percent(percentage: f64) -> FractionalPercent {
    // A float in this range converts exactly, and a NaN to zero.
    let numerator = (percentage * 10_000.0).round().clamp(0.0, 1_000_000.0) as u32;
    FractionalPercent { numerator, denominator: DenominatorType::Million.into() }
}

pub(crate) fn fraction(percentage: f64) -> Option<core::RuntimeFractionalPercent> {
    Some(core::RuntimeFractionalPercent { default_value: Some(percent(percentage)), ..Default::default() })
}

pub(crate) fn regex(regex: &str) -> RegexMatcher {
    RegexMatcher { regex: regex.to_owned(), ..Default::default() }
}

pub(crate) fn text(value: &StringMatch) -> StringMatcher {
    let pattern = match value {
        StringMatch::Exact(text) => MatchPattern::Exact(text.clone()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
        StringMatch::Regex(text) => MatchPattern::SafeRegex(regex(text)),
    };
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}
