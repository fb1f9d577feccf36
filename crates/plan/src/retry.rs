//! When a request is sent again, how often, and after what pause.

#[cfg(test)]
mod tests;

use std::time::Duration;

use filter::HeaderMatch;
use http::{HeaderMap, StatusCode};
use proto::envoy::config::route::v3::RetryPolicy;
use proto::envoy::config::route::v3::retry_policy::{self, retry_host_predicate};
use proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

use crate::read::{At, Within, Wrong, duration, each, limit, number, refuse};

/// A retry policy.
#[derive(Clone, Debug)]
pub struct Retry {
    /// What is worth another attempt.
    pub on: RetryOn,
    /// How many attempts may follow the first.
    pub retries: u32,
    /// How long one attempt may take; none for as long as the whole request.
    pub per_try_timeout: Option<Duration>,
    /// How long one attempt may be silent.
    pub per_try_idle_timeout: Option<Duration>,
    /// The statuses `retriable-status-codes` means.
    pub statuses: Vec<StatusCode>,
    /// The response headers `retriable-headers` means.
    pub headers: Vec<HeaderMatch>,
    /// The requests it is for: those that fulfil any; all where empty.
    pub requests: Vec<HeaderMatch>,
    /// The pause before the first retry; it doubles with each.
    pub base_interval: Duration,
    /// The longest pause.
    pub max_interval: Duration,
    /// Whether endpoints that were tried already are avoided.
    pub avoids_previous_hosts: bool,
    /// How often another endpoint is looked for then.
    pub host_attempts: u32,
    /// After how many endpoints their priorities are left out too; none for never.
    pub priority_frequency: Option<u32>,
}

/// A set of reasons to try again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u32);

/// The reasons' names, each with its bit.
const REASONS: [(&str, RetryOn); 16] = [
    ("5xx", RetryOn::FIVE_XX),
    ("gateway-error", RetryOn::GATEWAY_ERROR),
    ("reset", RetryOn::RESET),
    ("reset-before-request", RetryOn::RESET_BEFORE_REQUEST),
    ("connect-failure", RetryOn::CONNECT_FAILURE),
    ("envoy-ratelimited", RetryOn::RATE_LIMITED),
    ("retriable-4xx", RetryOn::RETRIABLE_4XX),
    ("refused-stream", RetryOn::REFUSED_STREAM),
    ("retriable-status-codes", RetryOn::STATUS_CODES),
    ("retriable-headers", RetryOn::HEADERS),
    ("http3-post-connect-failure", RetryOn(0)),
    ("cancelled", RetryOn::CANCELLED),
    ("deadline-exceeded", RetryOn::DEADLINE_EXCEEDED),
    ("internal", RetryOn::INTERNAL),
    ("resource-exhausted", RetryOn::RESOURCE_EXHAUSTED),
    ("unavailable", RetryOn::UNAVAILABLE),
];

impl RetryOn {
    /// Any 5xx, and no answer at all.
    pub const FIVE_XX: Self = Self(1);
    /// 502, 503 and 504.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// The stream ended without an answer.
    pub const RESET: Self = Self(1 << 2);
    /// The stream ended before the request was sent.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    /// No connection could be made.
    pub const CONNECT_FAILURE: Self = Self(1 << 4);
    /// The answer carries `x-envoy-ratelimited`.
    pub const RATE_LIMITED: Self = Self(1 << 5);
    /// 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 6);
    /// The upstream refused the stream before it looked at it.
    pub const REFUSED_STREAM: Self = Self(1 << 7);
    /// One of the policy's statuses.
    pub const STATUS_CODES: Self = Self(1 << 8);
    /// One of the policy's response headers.
    pub const HEADERS: Self = Self(1 << 9);
    /// gRPC: 1.
    pub const CANCELLED: Self = Self(1 << 10);
    /// gRPC: 4.
    pub const DEADLINE_EXCEEDED: Self = Self(1 << 11);
    /// gRPC: 13.
    pub const INTERNAL: Self = Self(1 << 12);
    /// gRPC: 8.
    pub const RESOURCE_EXHAUSTED: Self = Self(1 << 13);
    /// gRPC: 14.
    pub const UNAVAILABLE: Self = Self(1 << 14);

    /// Reads Envoy's comma-separated list; names it does not know mean nothing, as in Envoy.
    pub fn parse(list: &str) -> Self {
        let known = |name: &str| REASONS.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason);
        Self(list.split(',').filter_map(|name| known(name.trim())).fold(0, |all, reason| all | reason.0))
    }

    /// Envoy's names of these.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        REASONS.iter().filter(move |(_, reason)| self.contains(*reason)).map(|(name, _)| *name)
    }

    /// Whether any of `reasons` is among these.
    pub const fn contains(self, reasons: Self) -> bool {
        self.0 & reasons.0 != 0
    }
}

/// How an attempt ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The upstream refused the stream before it looked at it.
    Refused,
    /// The stream ended; `sent` tells whether any of the request had gone out.
    Reset {
        /// Whether any of the request had been sent.
        sent: bool,
    },
    /// The attempt took longer than the policy allows it.
    Timeout,
}

/// The one extension there is: the priorities of endpoints that were tried are left out.
fn priority_frequency(message: &retry_policy::RetryPriority) -> Result<u32, Wrong> {
    let Some(retry_policy::retry_priority::ConfigType::TypedConfig(any)) = &message.config_type else {
        return Err(Wrong::new("typed_config", "is missing"));
    };
    let name = proto::any::type_name(&any.type_url);
    if name != "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig" {
        return Err(Wrong::new("typed_config", format!("{name} is not supported")));
    }
    let config: PreviousPrioritiesConfig = proto::any::unpack(any).at("typed_config")?;
    match u32::try_from(config.update_frequency) {
        Ok(frequency) if frequency > 0 => Ok(frequency),
        _ => Err(Wrong::new("typed_config.update_frequency", "must be more than zero")),
    }
}

impl Retry {
    pub(crate) fn compile(message: &RetryPolicy) -> Result<Self, Wrong> {
        refuse(!message.retry_options_predicates.is_empty(), "retry_options_predicates")?;
        refuse(message.rate_limited_retry_back_off.is_some(), "rate_limited_retry_back_off")?;
        refuse(message.refresh_cluster_on_retry, "refresh_cluster_on_retry")?;
        let statuses = each(&message.retriable_status_codes, "retriable_status_codes", |code| {
            let status = u16::try_from(*code).ok().and_then(|code| StatusCode::from_u16(code).ok());
            status.ok_or_else(|| Wrong::new("", format!("{code} is not a status")))
        })?;
        let matches = |list, path| each(list, path, |m| HeaderMatch::compile(m).at("header"));
        let mut avoids_previous_hosts = false;
        for (i, predicate) in message.retry_host_predicate.iter().enumerate() {
            let kind = match &predicate.config_type {
                Some(retry_host_predicate::ConfigType::TypedConfig(any)) => {
                    proto::any::type_name(&any.type_url)
                }
                // Old control planes name the predicate only.
                None => predicate.name.as_str(),
            };
            if !kind.contains("previous_hosts") {
                return Err(Wrong::new(
                    format!("retry_host_predicate[{i}]"),
                    format!("{kind} is not supported"),
                ));
            }
            avoids_previous_hosts = true;
        }
        let (mut base_interval, mut max_interval) = (Duration::from_millis(25), None);
        if let Some(pause) = &message.retry_back_off {
            let base = duration(&pause.base_interval, "base_interval").within("retry_back_off")?;
            let Some(base) = base.filter(|base| !base.is_zero()) else {
                return Err(Wrong::new("retry_back_off.base_interval", "must be more than zero"));
            };
            base_interval = base.max(Duration::from_millis(1));
            max_interval = duration(&pause.max_interval, "retry_back_off.max_interval")?;
            if max_interval.is_some_and(|max| max < base) {
                return Err(Wrong::new("retry_back_off.max_interval", "is less than the base interval"));
            }
        }
        Ok(Self {
            on: RetryOn::parse(&message.retry_on),
            retries: number(&message.num_retries).unwrap_or(1),
            per_try_timeout: limit(&message.per_try_timeout, "per_try_timeout")?,
            per_try_idle_timeout: limit(&message.per_try_idle_timeout, "per_try_idle_timeout")?,
            statuses,
            headers: matches(&message.retriable_headers, "retriable_headers")?,
            requests: matches(&message.retriable_request_headers, "retriable_request_headers")?,
            base_interval,
            max_interval: max_interval.unwrap_or(base_interval.saturating_mul(10)),
            avoids_previous_hosts,
            host_attempts: u32::try_from(message.host_selection_retry_max_attempts).unwrap_or(0).max(1),
            priority_frequency: match &message.retry_priority {
                Some(priority) => Some(priority_frequency(priority).within("retry_priority")?),
                None => None,
            },
        })
    }

    /// Whether this request may be sent again at all.
    pub fn concerns(&self, request: &http::request::Parts) -> bool {
        self.requests.is_empty() || self.requests.iter().any(|condition| condition.matches(request))
    }

    /// Whether an answer is worth another attempt.
    pub fn wants_answer(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let code = status.as_u16();
        let on = |reason| self.on.contains(reason);
        (on(RetryOn::FIVE_XX) && code >= 500)
            || (on(RetryOn::GATEWAY_ERROR) && (502..=504).contains(&code))
            || (on(RetryOn::RETRIABLE_4XX) && code == 409)
            || (on(RetryOn::RATE_LIMITED) && headers.contains_key("x-envoy-ratelimited"))
            || (on(RetryOn::STATUS_CODES) && self.statuses.contains(&status))
            || (on(RetryOn::HEADERS)
                && self.headers.iter().any(|condition| condition.matches_response(status, headers)))
            || self.wants_grpc(headers)
    }

    fn wants_grpc(&self, headers: &HeaderMap) -> bool {
        let reason = match headers.get("grpc-status").map(|status| status.as_bytes()) {
            Some(b"1") => RetryOn::CANCELLED,
            Some(b"4") => RetryOn::DEADLINE_EXCEEDED,
            Some(b"8") => RetryOn::RESOURCE_EXHAUSTED,
            Some(b"13") => RetryOn::INTERNAL,
            Some(b"14") => RetryOn::UNAVAILABLE,
            _ => return false,
        };
        self.on.contains(reason)
    }

    /// Whether an attempt that brought no answer is worth another.
    pub fn wants_failure(&self, failure: Failure) -> bool {
        let any = RetryOn(RetryOn::FIVE_XX.0 | RetryOn::RESET.0);
        let gateway = RetryOn::GATEWAY_ERROR;
        let reasons = match failure {
            Failure::Connect => {
                any.0 | gateway.0 | RetryOn::CONNECT_FAILURE.0 | RetryOn::RESET_BEFORE_REQUEST.0
            }
            Failure::Refused => {
                any.0 | gateway.0 | RetryOn::REFUSED_STREAM.0 | RetryOn::RESET_BEFORE_REQUEST.0
            }
            Failure::Reset { sent: false } => any.0 | gateway.0 | RetryOn::RESET_BEFORE_REQUEST.0,
            Failure::Reset { sent: true } => any.0 | gateway.0,
            // Counts as the 504 the client would get.
            Failure::Timeout => any.0 | gateway.0,
        };
        self.on.contains(RetryOn(reasons))
    }

    /// The pause before the retry of this number, from 1: anything up to the doubled base interval.
    pub fn pause(&self, retry: u32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.base_interval.saturating_mul(factor).min(self.max_interval);
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(random % micros)
    }
}
