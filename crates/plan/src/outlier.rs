//! When an endpoint is taken out for its answers, as Envoy writes it.

mod errors;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use balance::{Enforcing, FailurePercentage, Outlier, Streaks, SuccessRate};
use proto::envoy::config::cluster::v3::OutlierDetection;
use proto::google::protobuf::{self, UInt32Value};

pub use errors::Errors;

use crate::read::{Wrong, duration, flag, number, refuse};

/// The rules of a cluster.
pub(crate) fn outlier(message: &OutlierDetection) -> Result<Arc<Outlier>, Wrong> {
    let default = Outlier::default();
    refuse(!message.monitors.is_empty(), "monitors")?;
    refuse(flag(&message.detect_degraded_hosts, false), "detect_degraded_hosts")?;
    let base_time = time(&message.base_ejection_time, "base_ejection_time", default.base_time)?;
    let max_time = time(&message.max_ejection_time, "max_ejection_time", default.max_time.max(base_time))?;
    if max_time < base_time {
        return Err(Wrong::new("max_ejection_time", "is less than base_ejection_time"));
    }
    Ok(Arc::new(Outlier {
        streaks: Streaks {
            server_errors: or(&message.consecutive_5xx, default.streaks.server_errors),
            gateway_errors: or(&message.consecutive_gateway_failure, default.streaks.gateway_errors),
            local_failures: or(&message.consecutive_local_origin_failure, default.streaks.local_failures),
            splits_local: message.split_external_local_origin_errors,
        },
        interval: time(&message.interval, "interval", default.interval)?,
        base_time,
        max_time,
        max_jitter: duration(&message.max_ejection_time_jitter, "max_ejection_time_jitter")?
            .unwrap_or(default.max_jitter),
        max_percent: part(&message.max_ejection_percent, "max_ejection_percent", default.max_percent)?,
        always_one: flag(&message.always_eject_one_host, default.always_one),
        enforcing: enforcing(message, default.enforcing)?,
        success_rate: SuccessRate {
            hosts: or(&message.success_rate_minimum_hosts, default.success_rate.hosts),
            volume: or(&message.success_rate_request_volume, default.success_rate.volume),
            deviations: or(&message.success_rate_stdev_factor, default.success_rate.deviations),
        },
        failure_percentage: FailurePercentage {
            hosts: or(&message.failure_percentage_minimum_hosts, default.failure_percentage.hosts),
            volume: or(&message.failure_percentage_request_volume, default.failure_percentage.volume),
            percent: part(
                &message.failure_percentage_threshold,
                "failure_percentage_threshold",
                default.failure_percentage.percent,
            )?,
        },
    }))
}

fn enforcing(message: &OutlierDetection, default: Enforcing) -> Result<Enforcing, Wrong> {
    Ok(Enforcing {
        server_errors: part(
            &message.enforcing_consecutive_5xx,
            "enforcing_consecutive_5xx",
            default.server_errors,
        )?,
        gateway_errors: part(
            &message.enforcing_consecutive_gateway_failure,
            "enforcing_consecutive_gateway_failure",
            default.gateway_errors,
        )?,
        local_failures: part(
            &message.enforcing_consecutive_local_origin_failure,
            "enforcing_consecutive_local_origin_failure",
            default.local_failures,
        )?,
        success_rate: part(&message.enforcing_success_rate, "enforcing_success_rate", default.success_rate)?,
        local_success_rate: part(
            &message.enforcing_local_origin_success_rate,
            "enforcing_local_origin_success_rate",
            default.local_success_rate,
        )?,
        failure_percentage: part(
            &message.enforcing_failure_percentage,
            "enforcing_failure_percentage",
            default.failure_percentage,
        )?,
        local_failure_percentage: part(
            &message.enforcing_failure_percentage_local_origin,
            "enforcing_failure_percentage_local_origin",
            default.local_failure_percentage,
        )?,
    })
}

fn or(own: &Option<UInt32Value>, default: u32) -> u32 {
    number(own).unwrap_or(default)
}

/// A time, which may not be zero.
fn time(own: &Option<protobuf::Duration>, path: &str, default: Duration) -> Result<Duration, Wrong> {
    match duration(own, path)? {
        Some(own) if own.is_zero() => Err(Wrong::new(path, "must be more than zero")),
        own => Ok(own.unwrap_or(default)),
    }
}

/// A whole number of percent.
fn part(own: &Option<UInt32Value>, path: &str, default: u32) -> Result<u32, Wrong> {
    match number(own) {
        Some(percent) if percent > 100 => Err(Wrong::new(path, format!("{percent} is more than 100"))),
        own => Ok(own.unwrap_or(default)),
    }
}
